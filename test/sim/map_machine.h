#pragma once
// MapMachine: a small state machine for the simulator: keys and values, a count of operations and a
// running hash of everything ever applied. Its "disk" loses, in a crash, any number of the last
// batches that were not synced.

#include <deque>
#include <map>
#include <memory>
#include <string>

#include "kvstore/replica/state_machine.h"
#include "test/sim/world.h"

namespace sim {

struct MapState {
    std::map<std::string, std::uint64_t> values;  // the id of the last write
    std::uint64_t operations = 0;
    std::uint64_t hash = 0;
    raft::Position applied;
    std::string membership;

    std::string encode() const;
    static MapState decode(std::string_view bytes);
};

// A write: "key=id".
struct MapOutput final : kvstore::ApplyOutput {
    std::uint64_t operation = 0;  // its place in the order of all operations
};

// What survives a process.
struct MapDisk {
    MapState synced;
    std::deque<MapState> unsynced;  // after each batch since
};

class MapMachine final : public kvstore::StateMachine {
  public:
    // Told of each operation: its number and the write's id.
    using Observer = base::UniqueFunction<void(std::uint64_t, std::uint64_t)>;
    MapMachine(World& world, MapDisk& disk, Observer observer);
    ~MapMachine() override { alive_.reset(); }

    const MapState& state() const { return state_; }

    kvstore::ApplyResult apply(const kvstore::ApplyContext& context,
                               std::string_view payload) override;
    void end_of_batch(raft::Position upto) override;
    void keep_membership(std::string_view bytes) override { state_.membership = bytes; }
    std::string kept_membership() const override { return state_.membership; }
    raft::Position applied() const override { return state_.applied; }
    void sync(base::UniqueFunction<void(base::Result<raft::Position>)> done) override;
    base::Result<std::unique_ptr<kvstore::SnapshotReader>> open_snapshot() override;
    base::Result<std::unique_ptr<kvstore::SnapshotWriter>> begin_install(
        raft::Position position) override;

    static void crash(World& world, MapDisk* disk);

  private:
    class Reader;
    class Writer;
    World& world_;
    MapDisk& disk_;
    Observer observer_;
    MapState state_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace sim
