#include "net/message_inbox.h"

#include <algorithm>

#include "net/grpc.h"

namespace net {
namespace {
// Granting every small message by itself would be a frame each.
constexpr std::size_t kGrantBytes = 64 << 10;
// More room than this is not kept for later. Room that is given back and taken anew costs page
// faults, which are dear where the machine is a virtual one.
constexpr std::size_t kKeptBytes = 1 << 20;
}  // namespace

void MessageInbox::push(std::string_view bytes) {
    if (at_ > bytes_.size() / 2) {
        bytes_.erase(0, at_);
        at_ = 0;
    }
    bytes_.append(bytes);
    wake();
}

void MessageInbox::finish() {
    if (!error_) ended_ = true;
    wake();
}

void MessageInbox::fail(base::Error error) {
    if (!ended_ && !error_) error_ = std::move(error);
    wake();
}

base::Task<std::optional<std::string>> MessageInbox::take() {
    if (waiter_) co_return base::internal_error("two readers of one stream");
    for (;;) {
        std::string_view rest = unread();
        CO_TRY(auto message, grpc_take_frame(&rest, limit_));
        if (message) {
            std::optional<std::string> out(*message);
            use(unread().size() - rest.size());
            co_return out;
        }
        if (error_) co_return *error_;
        if (ended_ && !rest.empty())
            co_return base::internal_error("the stream ended inside a message");
        if (ended_) co_return std::optional<std::string>();
        auto start = [this](base::UniqueFunction<void(bool)> resolve) {
            waiter_ = std::move(resolve);
            grant_all();
        };
        co_await base::suspend<bool>(std::move(start));
    }
}

void MessageInbox::use(std::size_t bytes) {
    at_ += bytes;
    const std::size_t early = std::min(bytes, granted_);
    granted_ -= early;
    owed_ += bytes - early;
    if (at_ == bytes_.size()) {
        bytes_.clear();
        at_ = 0;
        if (bytes_.capacity() > kKeptBytes) bytes_.shrink_to_fit();
    }
    if (owed_ >= kGrantBytes) grant_(std::exchange(owed_, 0));
}

// Also the beginning of a message: its rest may be more than the window has left.
void MessageInbox::grant_all() {
    owed_ += unread().size() - granted_;
    granted_ = unread().size();
    if (owed_ > 0) grant_(std::exchange(owed_, 0));
}

void MessageInbox::wake() {
    if (!waiter_) return;
    auto waiter = std::move(waiter_);
    waiter_ = nullptr;
    waiter(true);
}

}  // namespace net
