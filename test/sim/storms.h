#pragma once
// Storms: several faults in the order that it takes to reach a moment which faults at random nearly
// never meet. Each aims at a rule of the consensus; all of it can happen to a real cluster. One at
// a time; no other fault is made meanwhile.

#include <cstdint>

#include "raft/core/types.h"
#include "test/sim/world.h"

namespace raft {
struct Message;
}

namespace sim {

class Cluster;
class Host;

class Storms {
  public:
    explicit Storms(Cluster& cluster) : cluster_(cluster) {}

    bool active() const { return stage_ != Stage::kNone; }
    // Begins one, if the cluster is such that it can.
    void begin();
    void end();

    // What drives it: every message that was put on the network, every leader of a new term, the
    // end of every step.
    void sent(const raft::Message& message);
    void elected(const Host& host);
    void step();

  private:
    enum class Stage : std::uint8_t {
        kNone,
        // A vote is given, the power of who gave it fails, and somebody else asks for it in the
        // same term: Raft's persistence of votes (§3.8).
        kVoteAwaited,
        kVoteGiven,
        // Figure 3.7 of the dissertation: an entry of an old term is on a majority, and who holds
        // a newer one at its place is elected (§3.6.2).
        kOldLeaderAlone,
        kSecondLeaderAlone,
        kOldLeaderBack,
        kOldEntryStored,
    };

    void begin_vote();
    void begin_old_entry();
    // Nothing that `from` says from now on, nor what is under way, is heard.
    void mute(raft::NodeId from);
    void deafen(raft::NodeId to);
    // Its power fails after what runs now, and comes back.
    void restart_soon(raft::NodeId id);

    Cluster& cluster_;
    Stage stage_ = Stage::kNone;
    Micros until_ = 0;
    raft::NodeId first_;
    raft::NodeId second_;
    std::uint64_t number_ = 0;  // of storms
};

}  // namespace sim
