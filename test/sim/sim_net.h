#pragma once
// SimNet: the network between simulated members. Messages take a random time (so they overtake each
// other) and may be lost, doubled, or blocked per direction; what arrives went through the real
// wire format. Snapshot streams run beside them, chunk by chunk.

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "raft/transport/peers.h"
#include "test/sim/world.h"

namespace sim {

class SimNet {
  public:
    explicit SimNet(World& world) : world_(world) {}

    // One member's end. Dies with the process; `alive` tells its events from a successor's.
    class Endpoint final : public raft::Peers {
      public:
        Endpoint(SimNet& net, raft::NodeId id);
        ~Endpoint() override;
        void start(raft::PeerHandler* handler) override;
        void stop() override;
        void set_peers(std::vector<raft::PeerAddress> peers) override;
        void send(raft::Message message) override;
        void send_snapshot(raft::Message head, raft::ChunkSource chunks,
                           base::UniqueFunction<void(base::Status)> done) override;

        // Nothing that it says is heard any more.
        void silence() { silent_ = true; }

      private:
        friend class SimNet;
        bool silent_ = false;
        SimNet& net_;
        raft::NodeId id_;
        raft::PeerHandler* handler_ = nullptr;
        std::set<raft::NodeId> peers_;
        std::set<raft::NodeId> heard_;
        std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
    };

    // Nobody hears `from` at `to`.
    void block(raft::NodeId from, raft::NodeId to) { blocked_.insert({from, to}); }
    void heal() { blocked_.clear(); }
    void set_chances(std::uint64_t loss_percent, std::uint64_t double_percent, Micros low,
                     Micros high) {
        loss_ = loss_percent;
        doubled_ = double_percent;
        low_ = low;
        high_ = high;
    }
    // How the owner lets an event happen at a member (it may be paused).
    std::function<void(raft::NodeId, base::UniqueFunction<void()>)> run_at;

    // A bit of a snapshot's stream flips now and then.
    bool damages_snapshots = false;
    // Told of every message that is on its way.
    std::function<void(const raft::Message&)> on_sent;

    bool passes(raft::NodeId from, raft::NodeId to) const {
        return blocked_.count({from, to}) == 0;
    }
    Micros delay() { return world_.random.between(low_, high_); }
    // A member's process is gone, and with it its end of streams.
    void process_gone(raft::NodeId id);

  private:
    struct Stream;
    using StreamPtr = std::shared_ptr<Stream>;
    void deliver(std::string bytes, raft::NodeId from, raft::NodeId to);
    void step_stream(const StreamPtr& stream);
    void offer_chunk(const StreamPtr& stream, base::Result<std::string> chunk);
    void end_stream(const StreamPtr& stream, base::Status status);

    World& world_;
    std::map<raft::NodeId, Endpoint*> ends_;
    std::set<std::pair<raft::NodeId, raft::NodeId>> blocked_;
    std::vector<StreamPtr> streams_;  // in the order of their making
    std::uint64_t loss_ = 0;
    std::uint64_t doubled_ = 0;
    Micros low_ = 200;
    Micros high_ = 2000;
};

}  // namespace sim
