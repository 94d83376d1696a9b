#pragma once
// SimDisk: raft::Disk in memory, with a disk's manners: batches take time and are joined, and a
// crash leaves of the batch under way any mixture of its sectors, of those that waited nothing.

#include <deque>
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
    void on_trouble(base::UniqueFunction<void(base::Status)>) override {}

    // The process or the machine dies: what was not synced is there in part or not at all.
    void crash();
    // Each batch takes from `low` to `high`.
    void set_speed(Micros low, Micros high) {
        low_ = low;
        high_ = high;
    }
    // Flips a bit of the log that was durable. False: there was none.
    bool rot();
    // For tests of damage.
    std::map<std::string, std::string>& files() { return files_; }

  private:
    struct Waiting {
        raft::DiskBatch batch;
        base::UniqueFunction<void()> done;
    };
    void start_next();
    void finished(std::uint64_t epoch);
    void put(const raft::DiskBatch::Write& write, std::uint64_t from, std::uint64_t to);
    void crash_batch(const raft::DiskBatch& batch);

    World& world_;
    std::map<std::string, std::string> files_;  // durable
    std::deque<Waiting> queue_;
    std::vector<Waiting> job_;
    std::uint64_t epoch_ = 0;
    Micros low_ = 100;
    Micros high_ = 2000;
};

}  // namespace sim
