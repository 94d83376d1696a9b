#pragma once
// Cluster: whole simulated members (the real kvstore::Replica with core and write-ahead log, on
// SimDisk, SimNet and simulated time), clients that read and write, faults, and a judge that looks
// after every step.
//
// The judge's rules. Election safety: one leader a term. Leader completeness: a leader's log holds
// every entry applied anywhere. Log matching: same index and term, same past. State machine safety:
// the n-th operation is the same everywhere, at every member, before and after every crash. At most
// once: no write is applied twice. No acknowledged write is lost. Linearizable: an operation sees
// everything that was answered before it began.

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "kvstore/replica/replica.h"
#include "test/sim/map_machine.h"
#include "test/sim/sim_disk.h"
#include "test/sim/sim_net.h"
#include "test/sim/world.h"

namespace sim {

class Cluster {
  public:
    Cluster(World& world, std::size_t members);
    ~Cluster();

    // Faults and load for `duration`, then healing: everything must converge. The error, if any.
    std::optional<std::string> run(Micros duration);

  private:
    struct SimClock;
    struct Node {
        raft::NodeId id;
        bool initial = false;
        bool removed = false;  // stays down
        bool damaged = false;  // and not yet repaired
        std::unique_ptr<SimDisk> disk;
        MapDisk machine_disk;
        // The process:
        std::unique_ptr<kvstore::Clock> clock;
        std::unique_ptr<SimNet::Endpoint> endpoint;
        std::unique_ptr<MapMachine> machine;
        std::unique_ptr<kvstore::Replica> replica;
        Micros paused_until = 0;
        std::uint64_t process = 0;
        bool up() const { return replica != nullptr; }
    };

    // cluster.cc
    void start(Node& node);
    void crash(Node& node);
    void at_node(raft::NodeId id, base::UniqueFunction<void()> f);
    void collect(Node& node);
    Node* pick(bool up);
    Node* leader();
    bool run_until(Micros end);
    void fail(std::string why);

    // clients.cc
    void client_loop();
    void client_write(Node& node);
    void client_read(Node& node);
    void applied(Node& node, std::uint64_t operation, std::uint64_t write);
    bool converged();
    void final_writes();

    // faults.cc
    void fault_loop();
    void one_fault();
    void partition();
    void change_members();
    void transfer();
    void damage();

    // judge.cc
    void judge();
    void judge_leader(const Node& node);
    void judge_matching();

    World& world_;
    SimNet net_;
    std::map<raft::NodeId, std::unique_ptr<Node>> nodes_;
    std::vector<kvstore::Member> initial_;
    std::uint64_t last_id_ = 0;
    bool faults_ = true;
    std::size_t max_load_ = 1;
    std::optional<std::string> failure_;

    // What the judge knows.
    std::map<raft::Term, raft::NodeId> leaders_;
    struct Committed {
        raft::Term term;     // the entry's
        raft::Term seen_in;  // of the member that was first seen to have it applied
    };
    std::map<raft::Index, Committed> committed_;
    std::vector<std::uint64_t> operations_{0};  // the write id of each operation
    std::map<std::uint64_t, std::uint64_t> operation_of_;
    std::uint64_t last_write_ = 0;
    std::uint64_t answered_ = 0;  // the latest operation that a client has seen
    std::uint64_t writes_done_ = 0;
    std::uint64_t final_pending_ = 0;
    bool changing_ = false;
    bool lease_reads_ = false;
    // Members are damaged in this run; then nobody is added or removed.
    bool with_damage_ = false;
};

}  // namespace sim
