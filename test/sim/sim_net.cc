#include "test/sim/sim_net.h"

#include "base/check.h"
#include "raft/transport/wire.h"

namespace sim {

SimNet::Endpoint::Endpoint(SimNet& net, raft::NodeId id) : net_(net), id_(id) {
    net_.ends_[id_] = this;
}

SimNet::Endpoint::~Endpoint() {
    alive_.reset();
    const auto it = net_.ends_.find(id_);
    if (it != net_.ends_.end() && it->second == this) net_.ends_.erase(it);
}

void SimNet::Endpoint::start(raft::PeerHandler* handler) {
    handler_ = handler;
}
void SimNet::Endpoint::stop() {
    handler_ = nullptr;
}
void SimNet::Endpoint::set_peers(std::vector<raft::PeerAddress> peers) {
    peers_.clear();
    for (const auto& p : peers)
        peers_.insert(p.id);
}

void SimNet::Endpoint::send(raft::Message message) {
    if (silent_) return;
    const raft::NodeId to = message.to;
    CHECK(message.from == id_);
    // A member that has not learned the membership yet answers whoever speaks to it.
    if (peers_.count(to) == 0 && heard_.count(to) == 0) return;
    base::Random& random = net_.world_.random;
    if (!net_.passes(id_, to) || random.below(100) < net_.loss_) {
        World::cover("messages lost");
        if (random.chance(1, 10))
            net_.world_.after(net_.delay(), [this, to, weak = std::weak_ptr<bool>(alive_)] {
                if (!weak.expired() && handler_ != nullptr) handler_->on_unreachable(to);
            });
        return;
    }
    if (net_.on_sent) net_.on_sent(message);
    const std::string bytes = raft::encode_message(message);
    const bool doubled = random.below(100) < net_.doubled_;
    if (doubled) World::cover("messages doubled");
    for (int i = 0; i < (doubled ? 2 : 1); ++i)
        net_.world_.after(net_.delay(),
                          [&net = net_, bytes, from = id_, to] { net.deliver(bytes, from, to); });
}

void SimNet::deliver(std::string bytes, raft::NodeId from, raft::NodeId to) {
    if (!passes(from, to)) return;
    run_at(to, [this, bytes = std::move(bytes), to] {
        const auto it = ends_.find(to);
        if (it == ends_.end() || it->second->handler_ == nullptr) return;
        auto message = raft::decode_message(bytes);
        CHECK(message.has_value(), "the wire format does not read what it wrote");
        if (world_.verbose) world_.trace(raft::to_string(*message));
        it->second->heard_.insert(message->from);
        it->second->handler_->on_message(std::move(*message));
    });
}

// Its two ends live in their own processes; what passes between them takes time.
struct SimNet::Stream {
    raft::Message head;
    raft::ChunkSource chunks;
    base::UniqueFunction<void(base::Status)> done;
    std::weak_ptr<bool> sender;
    std::weak_ptr<bool> receiver;
    bool begun = false;
    bool replaced = false;
};

void SimNet::Endpoint::send_snapshot(raft::Message head, raft::ChunkSource chunks,
                                     base::UniqueFunction<void(base::Status)> done) {
    auto stream = std::make_shared<Stream>();
    stream->head = std::move(head);
    stream->chunks = std::move(chunks);
    stream->done = std::move(done);
    stream->sender = alive_;
    for (const StreamPtr& old : net_.streams_)
        if (old->head.from == id_ && old->head.to == stream->head.to) old->replaced = true;
    net_.streams_.push_back(stream);
    net_.world_.after(net_.delay(), [&net = net_, stream] { net.step_stream(stream); });
}

void SimNet::process_gone(raft::NodeId id) {
    std::erase_if(streams_, [id](const StreamPtr& stream) {
        if (stream->head.from != id) return false;
        stream->chunks = nullptr;
        stream->done = nullptr;
        return true;
    });
    for (const StreamPtr& stream : streams_)
        if (stream->head.to == id)
            world_.after(delay(), [this, stream] {
                end_stream(stream, base::unavailable("the receiver is gone"));
            });
}

// Tells both ends, those that are still there.
void SimNet::end_stream(const StreamPtr& stream, base::Status status) {
    if (std::erase(streams_, stream) == 0) return;
    const raft::NodeId from = stream->head.from;
    if (!status && stream->begun && !stream->replaced)
        run_at(stream->head.to, [this, stream, from] {
            const auto it = ends_.find(stream->head.to);
            if (it != ends_.end() && !stream->receiver.expired() && it->second->handler_)
                it->second->handler_->on_snapshot_aborted(from);
        });
    run_at(from, [stream, status] {
        if (stream->sender.expired() || !stream->done) return;
        stream->chunks = nullptr;
        stream->done(status);
    });
}

// The sender makes a chunk, and hands it to the network.
void SimNet::step_stream(const StreamPtr& stream) {
    if (stream->replaced || stream->sender.expired() || !passes(stream->head.from, stream->head.to))
        return end_stream(stream, base::unavailable("the stream broke"));
    if (!stream->begun) return offer_chunk(stream, std::string());
    run_at(stream->head.from, [this, stream] {
        if (!stream->chunks) return;
        auto chunk = stream->chunks();
        if (chunk && !chunk->empty() && damages_snapshots && world_.random.chance(1, 60)) {
            World::cover("snapshots damaged on their way");
            flip_a_bit(world_.random, *chunk, chunk->size());
        }
        world_.after(delay(), [this, stream, c = std::move(chunk)]() mutable {
            offer_chunk(stream, std::move(c));
        });
    });
}

// The receiver takes it.
void SimNet::offer_chunk(const StreamPtr& stream, base::Result<std::string> chunk) {
    const raft::NodeId from = stream->head.from;
    const raft::NodeId to = stream->head.to;
    const auto it = ends_.find(to);
    const bool gone = it == ends_.end() || (stream->begun && stream->receiver.expired());
    if (gone || stream->replaced || !passes(from, to) || stream->sender.expired() || !chunk)
        return end_stream(stream, chunk ? base::unavailable("the stream broke") : chunk.error());
    auto taken = [this, stream, from, to, c = std::move(*chunk)] {
        const auto end = ends_.find(to);
        if (stream->replaced || end == ends_.end() || end->second->handler_ == nullptr ||
            (stream->begun && stream->receiver.expired()))
            return end_stream(stream, base::unavailable("the stream broke"));
        raft::PeerHandler& handler = *end->second->handler_;
        base::Status status;
        bool finished = false;
        if (!stream->begun) {
            stream->begun = true;
            stream->receiver = end->second->alive_;
            status = handler.on_snapshot_begin(stream->head);
        } else if (c.empty()) {
            status = handler.on_snapshot_end(from);
            finished = true;
        } else {
            status = handler.on_snapshot_chunk(from, c);
        }
        if (finished && status) World::cover("snapshots streamed");
        if (!status || finished) return end_stream(stream, status);
        world_.after(delay(), [this, stream] { step_stream(stream); });
    };
    run_at(to, std::move(taken));
}

}  // namespace sim
