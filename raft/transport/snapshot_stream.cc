#include <fmt/format.h>

#include "raft/transport/tcp_impl.h"

namespace raft {
namespace {
constexpr base::Millis kConnectTimeout{5000};
}

using SnapshotSender = TcpPeers::Impl::SnapshotSender;

SnapshotSender::SnapshotSender(std::shared_ptr<Impl> owner, Message head, ChunkSource chunks,
                               base::UniqueFunction<void(base::Status)> done)
    : owner_(std::move(owner)),
      head_(std::move(head)),
      chunks_(std::move(chunks)),
      done_(std::move(done)),
      timer_(owner_->loop) {}

void SnapshotSender::start() {
    bool secure = false;
    auto endpoint = owner_->endpoint(head_.to, 0, &secure);
    auto tls = owner_->client_context(secure);
    if (!endpoint || (secure && !tls)) {
        const base::Error error =
            endpoint ? base::unavailable("no certificate for https") : endpoint.error();
        owner_->loop.post([self = shared_from_this(), error] { self->finish(error); });
        return;
    }
    attempt_ = net::connect(owner_->loop, *endpoint, std::move(tls), kConnectTimeout,
                            [self = shared_from_this()](auto transport) {
                                self->attempt_.reset();
                                if (!transport) return self->finish(transport.error());
                                self->transport_ = std::move(*transport);
                                self->transport_->set_owner(self);
                                self->watch();
                                self->transport_->want_flush();
                            });
}

// No progress for too long ends the stream.
void SnapshotSender::watch() {
    timer_.after(owner_->options.snapshot_stall,
                 [this] { finish(base::deadline_exceeded("the receiver does not go on")); });
}

void SnapshotSender::finish(base::Status status) {
    auto self = shared_from_this();
    timer_.cancel();
    if (attempt_) attempt_->cancel();
    attempt_.reset();
    if (auto transport = std::move(transport_)) transport->abort();
    transport_.reset();
    chunks_ = nullptr;
    const auto it = owner_->snapshots.find(head_.to);
    if (it != owner_->snapshots.end() && it->second == self) owner_->snapshots.erase(it);
    if (auto done = std::exchange(done_, nullptr)) done(std::move(status));
}

void SnapshotSender::fill(std::string* out) {
    watch();  // the socket takes more: it goes on
    if (head_due_) {
        head_due_ = false;
        append_frame(out, FrameKind::kHello, owner_->hello(head_.to, true));
        append_frame(out, FrameKind::kSnapshotHead, encode_message(head_));
        return;
    }
    if (all_sent_ || !chunks_) return;
    auto chunk = chunks_();
    if (!chunk) {
        owner_->loop.post(
            [self = shared_from_this(), error = chunk.error()] { self->finish(error); });
        chunks_ = nullptr;
        return;
    }
    all_sent_ = chunk->empty();
    append_frame(out, all_sent_ ? FrameKind::kSnapshotEnd : FrameKind::kSnapshotChunk, *chunk);
}

// Others get their turn of the loop between two chunks.
void SnapshotSender::on_written() {
    watch();
    if (transport_ && !all_sent_) transport_->want_flush();
}

void SnapshotSender::on_data(std::string_view bytes) {
    auto self = shared_from_this();
    base::Status answer;
    bool answered = false;
    const base::Status status =
        reader_.feed(bytes, kMaxFrame, [&](FrameKind kind, std::string_view body) {
            if (kind != FrameKind::kSnapshotDone)
                return base::Status(base::invalid_argument("unexpected frame"));
            answered = true;
            if (!body.empty()) answer = base::unavailable(std::string(body));
            return base::Status();
        });
    if (!status) return finish(status);
    if (answered) finish(std::move(answer));
}

void SnapshotSender::on_eof() {
    finish(base::unavailable("the receiver closed the connection"));
}

void SnapshotSender::on_end(const base::Error& why) {
    transport_.reset();
    finish(why);
}

}  // namespace raft
