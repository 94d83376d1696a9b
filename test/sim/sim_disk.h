#pragma once
// SimDisk: raft::Disk in memory, with a disk's manners: batches take time and are joined, and a
// crash leaves of the batch under way any mixture of its sectors, of those that waited nothing.

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "raft/wal/disk.h"
#include "test/sim/world.h"

namespace sim {

class SimDisk final : public raft::Disk {
  public:
    explicit SimDisk(World& world) : world_(world) {}

    base::Result<std::vector<std::string>> list() override;
    base::Result<std::string> read(const std::string& name, std::uint64_t offset,
                                   std::uint64_t length) override;
    void submit(raft::DiskBatch batch, base::UniqueFunction<void()> done) override;
    void on_trouble(base::UniqueFunction<void(base::Status)> f) override {
        trouble_ = std::move(f);
    }

    // How the owner lets its process hear that a batch is done. At once when there is none.
    std::function<void(base::UniqueFunction<void()>)> run;

    // The process dies, or the machine: what was not synced is there in part or not at all.
    void crash(bool power = true);
    // No space: batches that make a file wait until there is some.
    void set_full(bool full);
    // The next sync fails: `on_failed_sync` runs in the process, which may not outlive it.
    void fail_sync() { fail_sync_ = true; }
    std::function<void()> on_failed_sync;
    // From now on nothing reaches the disk, although it seems so: the power is failing.
    void freeze() { frozen_ = true; }
    // Each batch takes from `low` to `high`.
    void set_speed(Micros low, Micros high) {
        low_ = low;
        high_ = high;
    }
    // Flips a bit of the log that was durable. False: there was none.
    bool rot();
    // What was written once is also found where something else was: the disk wrote it to a wrong
    // place of the log. False: nothing to do it with.
    bool misdirect();
    // Flips a bit of one copy of the vote. False: the other is not intact.
    bool rot_vote();
    // For tests of damage.
    std::map<std::string, std::string>& files() { return files_; }

  private:
    struct Waiting {
        raft::DiskBatch batch;
        base::UniqueFunction<void()> done;
    };
    void start_next();
    bool waits_for_space() const;
    void finished(std::uint64_t epoch);
    void put(const raft::DiskBatch::Write& write, std::uint64_t from, std::uint64_t to);
    void crash_batch(const raft::DiskBatch& batch);

    World& world_;
    std::map<std::string, std::string> files_;   // durable
    std::deque<raft::DiskBatch::Write> recent_;  // to the log, durable; the newest last
    std::deque<Waiting> queue_;
    std::vector<Waiting> job_;
    std::uint64_t epoch_ = 0;
    bool full_ = false;
    bool frozen_ = false;
    bool fail_sync_ = false;
    base::UniqueFunction<void(base::Status)> trouble_;
    Micros low_ = 100;
    Micros high_ = 2000;
};

}  // namespace sim
