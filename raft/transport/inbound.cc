#include <fmt/format.h>

#include "base/bytes.h"
#include "base/log.h"
#include "raft/transport/tcp_impl.h"

namespace raft {
namespace {
constexpr base::Millis kHelloPatience{5000};
constexpr std::size_t kMaxHello = 1024;
constexpr std::size_t kMaxAnswers = 1U << 20U;
}  // namespace

using Inbound = TcpPeers::Impl::Inbound;

Inbound::Inbound(std::shared_ptr<Impl> owner) : owner_(std::move(owner)), patience_(owner_->loop) {}

void Inbound::start(std::shared_ptr<net::Transport> transport) {
    transport_ = std::move(transport);
    remote_ = transport_->remote_address();
    patience_.after(kHelloPatience, [this] {
        if (!greeted_) end("nothing was said");
    });
    auto keep = transport_;
    keep->start(shared_from_this());
}

void Inbound::forget() {
    auto self = shared_from_this();
    patience_.cancel();
    owner_->inbound.erase(self);
    const auto it = owner_->talking.find(from_);
    const bool was_talking = it != owner_->talking.end() && it->second == self;
    if (was_talking) owner_->talking.erase(it);
    // Its snapshot may go on with another connection.
    if (auto* stream = this->stream())
        stream->patience.after(
            owner_->options.snapshot_patience,
            [owner = owner_.get(), from = from_] { owner->abandon_receiving(from); });
    // The member's process most likely ended: its leadership too.
    if (was_talking) owner_->report_unreachable(from_);
}

void Inbound::close() {
    patience_.cancel();
    if (auto transport = std::move(transport_)) transport->abort();
    transport_.reset();
}

void Inbound::end(std::string_view why) {
    LOG_WARN("peers", "closing the connection from {}: {}", remote_, why);
    if (auto transport = std::move(transport_)) transport->abort();
    transport_.reset();
    forget();
}

void Inbound::on_eof() {
    if (transport_) transport_->end(base::unavailable("connection closed"));
}

void Inbound::on_end(const base::Error& why) {
    if (!greeted_) LOG_WARN("peers", "a connection from {} ended: {}", remote_, why.message);
    transport_.reset();
    forget();
}

void Inbound::on_data(std::string_view bytes) {
    auto self = shared_from_this();
    if (received_bytes_ != nullptr) received_bytes_->add(bytes.size());
    const base::Status status = reader_.feed(bytes, greeted_ ? kMaxFrame : kMaxHello,
                                             [this](FrameKind kind, std::string_view body) {
                                                 // Closed from within an earlier frame of this
                                                 // read.
                                                 if (!transport_)
                                                     return base::Status(base::cancelled("closed"));
                                                 return on_frame(kind, body);
                                             });
    if (!status && transport_) end(status.error().message);
}

base::Status Inbound::on_hello(std::string_view body) {
    const auto hello = decode_hello(body);
    if (!hello) return base::invalid_argument("bad greeting");
    if (hello->cluster_id != owner_->options.cluster_id)
        return base::invalid_argument(fmt::format("it is of cluster {:x}, this is {:x}",
                                                  hello->cluster_id, owner_->options.cluster_id));
    if (hello->to != owner_->options.id || hello->from == owner_->options.id)
        return base::invalid_argument(
            fmt::format("it looks for member {:x}, this is {:x}", hello->to, owner_->options.id));
    greeted_ = true;
    from_ = hello->from;
    stream_ = hello->stream;
    patience_.cancel();
    received_bytes_ = &base::metrics().counter("etcd_network_peer_received_bytes_total",
                                               "Bytes received from other members.",
                                               {{"From", fmt::format("{:x}", from_)}});
    if (stream_ != 0) return {};
    // What it is about to tell us may be that it leads; what we then send it must not get lost.
    const auto link = owner_->links.find(from_);
    if (link != owner_->links.end()) link->second->hurry();
    auto old = std::exchange(owner_->talking[from_], shared_from_this());
    if (old) {
        old->close();
        owner_->inbound.erase(old);
    }
    return {};
}

base::Status Inbound::on_frame(FrameKind kind, std::string_view body) {
    if (!greeted_) {
        if (kind != FrameKind::kHello) return base::invalid_argument("no greeting");
        return on_hello(body);
    }
    if (stream_ != 0) return on_snapshot_frame(kind, body);
    if (kind != FrameKind::kMessage) return base::invalid_argument("unexpected frame");
    auto message = decode_message(body);
    if (!message) return base::invalid_argument("malformed message");
    if (message->from != from_) return base::invalid_argument("a message in another's name");
    if (owner_->handler != nullptr) owner_->handler->on_message(std::move(*message));
    return {};
}

TcpPeers::Impl::Receiving* Inbound::stream() const {
    const auto it = owner_->receiving.find(from_);
    const bool ours = it != owner_->receiving.end() && it->second->id == stream_ &&
                      it->second->on.lock().get() == this;
    return ours ? it->second.get() : nullptr;
}

base::Status Inbound::on_snapshot_head(std::string_view body) {
    auto head = decode_message(body);
    if (!head || head->from != from_ || head->type != MessageType::kSnapshot)
        return base::invalid_argument("malformed snapshot head");
    const auto it = owner_->receiving.find(from_);
    if (it != owner_->receiving.end()) {
        Receiving& there = *it->second;
        const auto other = there.on.lock();
        if (there.id == stream_) {
            // The sender knows before us that its connection is gone.
            if (other) {
                other->close();
                owner_->inbound.erase(other);
            }
            there.on = weak_from_this();
            there.patience.cancel();
            tell_taken(there.chunks);
            return {};
        }
        // An earlier stream of the same member is over, whatever of it is still under way.
        if (other)
            other->refuse_snapshot(base::cancelled("another snapshot took its place"));
        else
            owner_->abandon_receiving(from_);
    }
    if (const base::Status status = owner_->handler->on_snapshot_begin(*head); !status) {
        answer_snapshot(status);
        return {};
    }
    auto& stream = owner_->receiving[from_];
    stream = std::make_unique<Receiving>(owner_->loop, stream_);
    stream->on = weak_from_this();
    tell_taken(0);
    return {};
}

base::Status Inbound::on_snapshot_frame(FrameKind kind, std::string_view body) {
    PeerHandler* receiver = owner_->handler;
    if (receiver == nullptr) return base::unavailable("stopping");
    Receiving* stream = this->stream();
    if (kind == FrameKind::kSnapshotHead && stream == nullptr) return on_snapshot_head(body);
    if (stream == nullptr) return {};  // refused: what was under way already
    if (kind == FrameKind::kSnapshotChunk) {
        if (const base::Status status = receiver->on_snapshot_chunk(from_, body); !status)
            refuse_snapshot(status);
        else
            tell_taken(++stream->chunks);
        return {};
    }
    if (kind != FrameKind::kSnapshotEnd) return base::invalid_argument("unexpected frame");
    owner_->receiving.erase(from_);
    answer_snapshot(receiver->on_snapshot_end(from_));
    return {};
}

void Inbound::refuse_snapshot(const base::Status& status) {
    owner_->abandon_receiving(from_);
    answer_snapshot(status);
}

void Inbound::tell_taken(std::uint64_t chunks) {
    std::string body;
    base::append_le(&body, chunks);
    append_frame(&out_, FrameKind::kSnapshotTaken, body);
    if (transport_) transport_->want_flush();
}

void Inbound::answer_snapshot(const base::Status& status) {
    append_frame(&out_, FrameKind::kSnapshotDone, status ? "" : status.error().message);
    if (transport_) transport_->want_flush();
}

void Inbound::send(const Message& message) {
    if (!transport_ || out_.size() > kMaxAnswers) return;
    append_message_frame(&out_, message);
    transport_->want_flush();
}

void Inbound::fill(std::string* out) {
    out->append(out_);
    out_.clear();
}

}  // namespace raft
