#pragma once
// The bytes of one message body on their way from a connection to the coroutine that reads them.
// One reader. Loop's thread only.

#include <optional>
#include <string>
#include <string_view>

#include "base/coro.h"

namespace net {

class Inbox {
  public:
    void push(std::string_view bytes) {
        data_.append(bytes);
        wake();
    }
    void end() {
        ended_ = true;
        wake();
    }
    // What was pushed before stays readable. The first error counts; none after the end.
    void fail(base::Error error) {
        if (!ended_ && !error_) error_ = std::move(error);
        wake();
    }
    std::size_t size() const { return data_.size(); }
    bool ended() const { return ended_; }
    bool over() const { return ended_ || error_.has_value(); }

    // What is there, at least a byte; nullopt at the end; the error. The object must live until
    // then.
    base::Task<std::optional<std::string>> take() {
        if (waiter_) co_return base::internal_error("two readers of one body");
        if (data_.empty() && !over()) {
            auto start = [this](base::UniqueFunction<void(bool)> resolve) {
                waiter_ = std::move(resolve);
            };
            co_await base::suspend<bool>(std::move(start));
        }
        if (!data_.empty()) {
            std::optional<std::string> out(std::move(data_));
            data_.clear();
            co_return out;
        }
        if (error_) co_return *error_;
        co_return std::optional<std::string>();
    }

  private:
    void wake() {
        if (!waiter_) return;
        auto waiter = std::move(waiter_);
        waiter_ = nullptr;
        waiter(true);
    }

    std::string data_;
    std::optional<base::Error> error_;
    base::UniqueFunction<void(bool)> waiter_;
    bool ended_ = false;
};

}  // namespace net
