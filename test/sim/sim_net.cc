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
    auto& last = net_.streams_[{id_, stream->head.to}];
    if (const auto old = last.lock()) old->replaced = true;
    last = stream;
    net_.world_.after(net_.delay(), [&net = net_, stream] { net.step_stream(stream); });
}

void SimNet::end_stream(std::shared_ptr<Stream> stream, base::Status status) {
    // The owner of `done` is gone with its process.
    if (!stream->sender.expired()) stream->done(status);
}

void SimNet::step_stream(std::shared_ptr<Stream> stream) {
    if (stream->replaced)
        return end_stream(stream, base::cancelled("another snapshot took its place"));
    const raft::NodeId from = stream->head.from;
    const raft::NodeId to = stream->head.to;
    const auto it = ends_.find(to);
    Endpoint* end = it == ends_.end() ? nullptr : it->second;
    const bool same = end != nullptr && (!stream->begun || !stream->receiver.expired());
    if (!same || end->handler_ == nullptr || !passes(from, to) || stream->sender.expired()) {
        if (same && stream->begun && end->handler_ != nullptr)
            end->handler_->on_snapshot_aborted(from);
        return end_stream(stream, base::unavailable("the stream broke"));
    }
    base::Status status;
    bool finished = false;
    if (!stream->begun) {
        stream->begun = true;
        stream->receiver = end->alive_;
        status = end->handler_->on_snapshot_begin(stream->head);
    } else {
        auto chunk = stream->chunks();
        if (!chunk) {
            status = chunk.error();
        } else if (chunk->empty()) {
            status = end->handler_->on_snapshot_end(from);
            finished = true;
        } else {
            status = end->handler_->on_snapshot_chunk(from, *chunk);
        }
    }
    if (!status || finished) {
        if (finished && status) World::cover("snapshots streamed");
        return end_stream(stream, status);
    }
    world_.after(delay(), [this, stream] { step_stream(stream); });
}

}  // namespace sim
