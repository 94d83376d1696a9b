// Clients of the simulated cluster: writes with unique values, linearizable reads, and what their
// answers prove.

#include <fmt/format.h>

#include <algorithm>

#include "raft/core/core.h"
#include "test/sim/cluster.h"

namespace sim {

void Cluster::client_loop() {
    if (!faults_) return;
    world_.after(world_.random.between(1, 120) * kMilli, [this] {
        if (!faults_) return;
        const std::uint64_t burst = 1 + world_.random.below(max_load_);
        for (std::uint64_t i = 0; i < burst; ++i) {
            Node* node = pick(true);
            if (node == nullptr || node->paused_until > world_.now()) break;
            if (world_.random.chance(1, 3)) {
                client_read(*node);
            } else {
                client_write(*node);
            }
        }
        client_loop();
    });
}

void Cluster::client_write(Node& node) {
    const std::uint64_t id = ++last_write_;
    const std::uint64_t floor = answered_;
    std::string payload = fmt::format("key{}={}", world_.random.below(5), id);
    if (world_.random.chance(1, 20)) payload.insert(0, std::string(600, 'x'));
    const bool final_write = !faults_;
    node.replica->propose(std::move(payload), [this, id, floor, final_write](
                                                  base::Result<kvstore::ApplyResult> result) {
        if (final_write) --final_pending_;
        if (!result) {
            World::cover("writes failed");
            return;
        }
        const auto* output = dynamic_cast<const MapOutput*>(result->get());
        if (output == nullptr) return fail("an answered write without its answer");
        ++writes_done_;
        World::cover("writes answered");
        world_.trace(fmt::format("write {} is operation {}", id, output->operation));
        const auto it = operation_of_.find(id);
        if (it == operation_of_.end() || it->second != output->operation)
            return fail(fmt::format("write {} was answered but not applied", id));
        if (output->operation <= floor)
            return fail(fmt::format("write {} took effect before it was made", id));
        answered_ = std::max(answered_, output->operation);
    });
}

void Cluster::client_read(Node& node) {
    const std::uint64_t floor = answered_;
    node.replica->read_index([this, floor, &node](base::Result<raft::Index> index) {
        if (!index) {
            World::cover("reads failed");
            return;
        }
        const MapState& state = node.machine->state();
        World::cover("reads answered");
        if (state.applied.index < *index)
            return fail(fmt::format("member {} answers a read before it has applied", node.id));
        if (state.operations < floor)
            return fail(fmt::format("stale read at {}: operation {} of {}", node.id,
                                    state.operations, floor));
        answered_ = std::max(answered_, state.operations);
    });
}

// Every member must make the same n-th operation, and none twice.
void Cluster::applied(Node& node, std::uint64_t operation, std::uint64_t write) {
    if (operation < operations_.size()) {
        if (operations_[operation] != write)
            fail(fmt::format("operation {} is write {} at member {}, but was write {}", operation,
                             write, node.id, operations_[operation]));
        return;
    }
    if (operation != operations_.size())
        return fail(fmt::format("member {} skipped operations before {}", node.id, operation));
    operations_.push_back(write);
    const auto [it, first] = operation_of_.emplace(write, operation);
    if (!first) fail(fmt::format("write {} was applied twice", write));
}

void Cluster::final_writes() {
    for (auto& [id, node] : nodes_) {
        if (!node->up() || node->replica->core().config().find(id) == nullptr) continue;
        ++final_pending_;
        client_write(*node);
    }
}

bool Cluster::converged() {
    Node* lead = leader();
    if (lead == nullptr) return false;
    if (final_pending_ > 0) return false;
    const MapState& state = lead->machine->state();
    if (state.operations + 1 != operations_.size()) return false;
    for (const kvstore::Member& member : lead->replica->members()) {
        Node& node = *nodes_.at(member.id);
        if (!node.up()) return false;
        const MapState& other = node.machine->state();
        if (other.applied != state.applied) return false;
        if (other.operations != state.operations || other.hash != state.hash ||
            other.values != state.values) {
            fail(fmt::format("members {} and {} differ at entry {}", lead->id, node.id,
                             state.applied.index));
            return true;
        }
    }
    if (answered_ > state.operations) {
        fail("an acknowledged write is lost");
        return true;
    }
    return true;
}

}  // namespace sim
