#include "test/sim/map_machine.h"

#include <algorithm>
#include <cstdlib>

#include "base/bytes.h"
#include "base/check.h"

namespace sim {

std::string MapState::encode() const {
    std::string out;
    for (const std::uint64_t v : {operations, hash, applied.index.value(), applied.term.value()})
        base::append_le(&out, v);
    base::append_varint(&out, membership.size());
    out += membership;
    for (const auto& [key, value] : values) {
        base::append_varint(&out, key.size());
        out += key;
        base::append_varint(&out, value);
    }
    return out;
}

MapState MapState::decode(std::string_view in) {
    MapState s;
    CHECK(in.size() >= 32);
    s.operations = base::load_le<std::uint64_t>(&in[0]);
    s.hash = base::load_le<std::uint64_t>(&in[8]);
    s.applied = {raft::Index(base::load_le<std::uint64_t>(&in[16])),
                 raft::Term(base::load_le<std::uint64_t>(&in[24]))};
    in.remove_prefix(32);
    std::uint64_t length = 0;
    CHECK(base::take_varint(&in, &length) && length <= in.size());
    s.membership = in.substr(0, length);
    in.remove_prefix(length);
    while (!in.empty()) {
        std::uint64_t size = 0;
        std::uint64_t value = 0;
        CHECK(base::take_varint(&in, &size) && size <= in.size());
        std::string key(in.substr(0, size));
        in.remove_prefix(size);
        CHECK(base::take_varint(&in, &value));
        s.values[key] = value;
    }
    return s;
}

MapMachine::MapMachine(World& world, MapDisk& disk, Observer observer)
    : world_(world), disk_(disk), observer_(std::move(observer)) {
    state_ = disk_.unsynced.empty() ? disk_.synced : disk_.unsynced.back();
}

kvstore::ApplyResult MapMachine::apply(const kvstore::ApplyContext& context,
                                       std::string_view payload) {
    const std::size_t eq = payload.find('=');
    CHECK(eq != std::string_view::npos);
    const std::uint64_t id =
        std::strtoull(std::string(payload.substr(eq + 1)).c_str(), nullptr, 10);
    state_.values[std::string(payload.substr(0, eq))] = id;
    ++state_.operations;
    for (const char c : payload)
        state_.hash = (state_.hash ^ static_cast<unsigned char>(c)) * 0x100000001b3 + 1;
    observer_(state_.operations, id);
    if (!context.want_output) return nullptr;
    auto output = std::make_unique<MapOutput>();
    output->operation = state_.operations;
    return output;
}

void MapMachine::end_of_batch(raft::Position upto) {
    state_.applied = upto;
    disk_.unsynced.push_back(state_);
    if (disk_.unsynced.size() > 64) {  // the kernel writes back
        disk_.synced = disk_.unsynced.front();
        disk_.unsynced.pop_front();
    }
}

void MapMachine::sync(base::UniqueFunction<void(base::Result<raft::Position>)> done) {
    auto held = std::make_shared<decltype(done)>(std::move(done));
    world_.after(world_.random.between(100, 5000), [this, held, position = state_.applied,
                                                    weak = std::weak_ptr<bool>(alive_)] {
        if (weak.expired()) return;
        while (!disk_.unsynced.empty() && disk_.unsynced.front().applied.index <= position.index) {
            disk_.synced = disk_.unsynced.front();
            disk_.unsynced.pop_front();
        }
        (*held)(position);
    });
}

class MapMachine::Reader final : public kvstore::SnapshotReader {
  public:
    explicit Reader(const MapState& state) : position_(state.applied), bytes_(state.encode()) {}
    raft::Position position() const override { return position_; }
    base::Result<std::string> next(std::size_t max_bytes) override {
        std::string out = bytes_.substr(at_, max_bytes);
        at_ += out.size();
        return out;
    }

  private:
    raft::Position position_;
    std::string bytes_;
    std::size_t at_ = 0;
};

class MapMachine::Writer final : public kvstore::SnapshotWriter {
  public:
    explicit Writer(MapMachine& machine) : machine_(machine) {}
    base::Status write(std::string_view chunk) override {
        bytes_ += chunk;
        return {};
    }
    base::Status finish() override {
        machine_.state_ = MapState::decode(bytes_);
        machine_.disk_.synced = machine_.state_;
        machine_.disk_.unsynced.clear();
        return {};
    }

  private:
    MapMachine& machine_;
    std::string bytes_;
};

base::Result<std::unique_ptr<kvstore::SnapshotReader>> MapMachine::open_snapshot() {
    return std::unique_ptr<kvstore::SnapshotReader>(std::make_unique<Reader>(state_));
}

base::Result<std::unique_ptr<kvstore::SnapshotWriter>> MapMachine::begin_install(raft::Position) {
    return std::unique_ptr<kvstore::SnapshotWriter>(std::make_unique<Writer>(*this));
}

void MapMachine::crash(World& world, MapDisk* disk) {
    const std::uint64_t kept = world.random.below(disk->unsynced.size() + 1);
    if (kept < disk->unsynced.size()) World::cover("applied batches lost in a crash");
    disk->unsynced.resize(kept);
    if (kept > 0) {
        disk->synced = disk->unsynced.back();
        disk->unsynced.clear();
    }
}

}  // namespace sim
