#include <fmt/format.h>

#include "base/bytes.h"
#include "base/log.h"
#include "base/random.h"
#include "raft/transport/tcp_impl.h"

namespace raft {
namespace {
constexpr base::Millis kConnectTimeout{5000};
constexpr base::Millis kRetry{500};
constexpr std::size_t kMostKept = 16U << 20U;
}  // namespace

using SnapshotSender = TcpPeers::Impl::SnapshotSender;

SnapshotSender::SnapshotSender(std::shared_ptr<Impl> owner, Message head, ChunkSource chunks,
                               base::UniqueFunction<void(base::Status)> done)
    : owner_(std::move(owner)),
      head_(std::move(head)),
      chunks_(std::move(chunks)),
      done_(std::move(done)),
      id_(base::entropy64() | 1U),
      timer_(owner_->loop),
      patience_(owner_->loop) {}

void SnapshotSender::start() {
    be_patient();
    dial();
}

void SnapshotSender::dial() {
    bool secure = false;
    auto endpoint = owner_->endpoint(head_.to, attempts_++, &secure);
    auto tls = owner_->client_context(secure);
    if (!endpoint || (secure && !tls)) {
        const base::Error error =
            endpoint ? base::unavailable("no certificate for https") : endpoint.error();
        owner_->loop.post([self = shared_from_this(), error] { self->finish(error); });
        return;
    }
    reader_ = FrameReader();
    head_due_ = true;
    welcome_ = end_sent_ = false;
    attempt_ = net::connect(owner_->loop, *endpoint, std::move(tls), kConnectTimeout,
                            [self = shared_from_this()](auto transport) {
                                self->attempt_.reset();
                                if (!transport) return self->broken(transport.error().message);
                                self->transport_ = std::move(*transport);
                                self->transport_->set_owner(self);
                                self->watch();
                                self->transport_->want_flush();
                            });
}

// A connection on which nothing goes on is as good as none.
void SnapshotSender::watch() {
    timer_.after(owner_->options.snapshot_stall, [this] { broken("the receiver does not go on"); });
}

void SnapshotSender::be_patient() {
    patience_.after(owner_->options.snapshot_patience,
                    [this] { finish(base::deadline_exceeded("the receiver does not go on")); });
}

void SnapshotSender::broken(const std::string& why) {
    if (!done_) return;
    auto self = shared_from_this();
    if (auto transport = std::move(transport_)) transport->abort();
    transport_.reset();
    LOG_INFO("peers", "the snapshot for {:x} is interrupted after {} chunks: {}", head_.to, first_,
             why);
    timer_.after(kRetry, [this] { dial(); });
}

void SnapshotSender::finish(base::Status status) {
    auto self = shared_from_this();
    timer_.cancel();
    patience_.cancel();
    if (attempt_) attempt_->cancel();
    attempt_.reset();
    if (auto transport = std::move(transport_)) transport->abort();
    transport_.reset();
    chunks_ = nullptr;
    kept_.clear();
    const auto it = owner_->snapshots.find(head_.to);
    if (it != owner_->snapshots.end() && it->second == self) owner_->snapshots.erase(it);
    if (auto done = std::exchange(done_, nullptr)) done(std::move(status));
}

void SnapshotSender::fill(std::string* out) {
    watch();  // the socket takes more: it goes on
    if (std::exchange(head_due_, false)) {
        append_frame(out, FrameKind::kHello, owner_->hello(head_.to, id_));
        append_frame(out, FrameKind::kSnapshotHead, encode_message(head_));
        return;
    }
    if (!may_send()) return;
    if (next_ == first_ + kept_.size() && !all_read_ && !read_on()) return;
    if (next_ < first_ + kept_.size())
        return append_frame(out, FrameKind::kSnapshotChunk, kept_[next_++ - first_]);
    end_sent_ = true;
    append_frame(out, FrameKind::kSnapshotEnd, "");
}

bool SnapshotSender::may_send() const {
    if (!welcome_ || end_sent_ || !chunks_) return false;
    return next_ < first_ + kept_.size() || all_read_ || kept_bytes_ < kMostKept;
}

// False when there is no going on.
bool SnapshotSender::read_on() {
    auto chunk = chunks_();
    if (!chunk) {
        owner_->loop.post(
            [self = shared_from_this(), error = chunk.error()] { self->finish(error); });
        chunks_ = nullptr;
        return false;
    }
    all_read_ = chunk->empty();
    if (all_read_) return true;
    kept_bytes_ += chunk->size();
    kept_.push_back(std::move(*chunk));
    return true;
}

// Others get their turn of the loop between two chunks.
void SnapshotSender::on_written() {
    watch();
    if (transport_ && may_send()) transport_->want_flush();
}

base::Status SnapshotSender::on_taken(std::string_view body) {
    if (body.size() != sizeof(std::uint64_t)) return base::invalid_argument("malformed frame");
    const auto taken = base::load_le<std::uint64_t>(body.data());
    const std::uint64_t most = welcome_ ? next_ : first_ + kept_.size();
    if (taken < first_ || taken > most)
        return base::Error(
            base::Code::kAborted,
            fmt::format("the receiver has {} chunks of it, of {} to {}", taken, first_, most));
    if (!std::exchange(welcome_, true)) next_ = taken;
    if (taken > first_) be_patient();
    for (; first_ < taken; ++first_) {
        kept_bytes_ -= kept_.front().size();
        kept_.pop_front();
    }
    return {};
}

void SnapshotSender::on_data(std::string_view bytes) {
    auto self = shared_from_this();
    base::Status answer;
    bool answered = false;
    const base::Status status =
        reader_.feed(bytes, kMaxFrame, [&](FrameKind kind, std::string_view body) {
            if (kind == FrameKind::kSnapshotTaken) return on_taken(body);
            if (kind != FrameKind::kSnapshotDone)
                return base::Status(base::invalid_argument("unexpected frame"));
            answered = true;
            if (!body.empty()) answer = base::unavailable(std::string(body));
            return base::Status();
        });
    if (!status) return finish(status);
    if (answered) return finish(std::move(answer));
    watch();
    if (transport_ && may_send()) transport_->want_flush();
}

void SnapshotSender::on_eof() {
    broken("the receiver closed the connection");
}

void SnapshotSender::on_end(const base::Error& why) {
    transport_.reset();
    broken(why.message);
}

}  // namespace raft
