#pragma once
// Host: one simulated machine of the cluster: its disks, and while it is up the process of a
// member, made of the real parts: kvstore::Node on kvstore::Replica on kvstore::Machine on LevelDB.
// The process's only thread runs from the events of the World: nothing runs while it is paused, and
// what waits dies with it.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "kvstore/node.h"
#include "kvstore/replica/replica.h"
#include "test/sim/journal.h"
#include "test/sim/sim_disk.h"
#include "test/sim/sim_env.h"
#include "test/sim/sim_fs.h"
#include "test/sim/sim_net.h"
#include "test/sim/world.h"

namespace sim {

// Thrown where a real process would abort.
struct ProcessEnded {
    std::string why;
    bool damage = false;
};

class Host {
  public:
    struct Options {
        raft::NodeId id;
        std::vector<kvstore::Member> initial_members;  // empty: it joins
        std::uint64_t keep_entries = 0;
        bool lease_reads = false;
        std::size_t message_bytes = 1 << 20;
    };
    Host(World& world, SimNet& net, Journal& journal, Options options);
    ~Host();
    Host(const Host&) = delete;
    Host& operator=(const Host&) = delete;

    raft::NodeId id() const { return options_.id; }
    bool up() const { return node_ != nullptr; }
    bool paused() const { return paused_until >= world_.now() && paused_until > 0; }
    std::uint64_t process() const { return process_; }

    // Starts the process. An error: it said why not and ended.
    base::Status start();
    // Ends it, with or without the power of its machine.
    void crash(bool power);

    // The power will fail in the middle of something: at the n-th change of a file from now on.
    void fail_power_after(std::uint64_t changes);
    // It has ended already; nobody has noticed yet.
    bool dying() const { return must_end_.has_value(); }

    // Runs `f` in the process: at once or when its pause ends; never when the process ends before.
    void run(base::UniqueFunction<void()> f);
    void run_after(Micros delay, base::UniqueFunction<void()> f);

    kvstore::Node& node() { return *node_; }
    kvstore::Machine& machine() { return *machine_; }
    kvstore::Replica& replica() { return *replica_; }
    const kvstore::Replica& replica() const { return *replica_; }
    raft::Position applied() const { return machine_->applied(); }
    // Milliseconds of its own clock.
    std::int64_t now_ms() const;
    // It sees `percent` of the time that passes.
    std::uint64_t clock_percent() const { return clock_percent_; }
    SimDisk& disk() { return disk_; }
    SimFs& fs() { return fs_; }
    const SimFs& fs() const { return fs_; }

    Micros paused_until = 0;
    bool removed = false;      // from the cluster: stays down
    bool damaged = false;      // and not yet repaired
    bool was_damaged = false;  // ever, by us
    // Asked when a lease must be renewed at the leader.
    std::function<Host*(raft::NodeId)> find_host;
    // Called before the process is gone.
    std::function<void(Host&)> on_end;
    bool start_may_fail = false;  // its disk is full, or fails

  private:
    struct SimClock;
    struct SimTimers;
    kvstore::ReplicaOptions replica_options();
    base::Result<std::unique_ptr<kvstore::Machine>> open_machine();
    void call(base::UniqueFunction<void()>& f);
    void end_process();
    void ask_leader(const kvstore::Member& leader, const std::string& path, std::string message,
                    kvstore::Done<std::string> done);

    World& world_;
    SimNet& net_;
    Journal& journal_;
    Options options_;
    SimDisk disk_;
    SimFs fs_;

    // The process.
    std::uint64_t process_ = 0;
    std::uint64_t clock_percent_ = 100;
    int depth_ = 0;                 // calls into it that are under way
    std::optional<bool> must_end_;  // with the power?
    std::map<std::uint64_t, base::UniqueFunction<void()>> waiting_;
    std::uint64_t last_waiting_ = 0;
    std::shared_ptr<SimEnv> env_;
    std::unique_ptr<SimClock> clock_;
    std::unique_ptr<SimNet::Endpoint> endpoint_;
    std::unique_ptr<kvstore::Machine> machine_;
    std::unique_ptr<JournalledMachine> journalled_;
    std::unique_ptr<kvstore::Replica> replica_;
    std::unique_ptr<kvstore::Node> node_;
};

}  // namespace sim
