// What goes wrong in the simulated cluster.

#include <fmt/format.h>

#include "base/check.h"
#include "raft/core/core.h"
#include "raft/wal/wal.h"
#include "test/sim/cluster.h"

namespace sim {

void Cluster::fault_loop() {
    if (!faults_) return;
    world_.after(world_.random.between(50, 900) * kMilli, [this] {
        if (!faults_) return;
        one_fault();
        fault_loop();
    });
}

void Cluster::one_fault() {
    base::Random& random = world_.random;
    switch (random.below(16)) {
        case 0:
        case 1:
        case 2:
            if (Node* node = random.chance(1, 3) && leader() ? leader() : pick(true)) crash(*node);
            return;
        case 3:
            if (!random.chance(1, 4)) return;
            world_.trace("power failure");
            for (auto& [id, node] : nodes_)
                crash(*node);
            return;
        case 4:
        case 5:
        case 6:
            for (auto& [id, node] : nodes_)
                if (!node->up() && !node->removed && random.chance(2, 3)) start(*node);
            return;
        case 7:
        case 8:
            return partition();
        case 9:
            world_.trace("heal the network");
            return net_.heal();
        case 10:
            return net_.set_chances(random.below(4) * 5, random.below(3) * 5, 200,
                                    random.chance(1, 4) ? 150000 : 3000);
        case 11:
            if (Node* node = pick(true)) {
                node->paused_until = world_.now() + random.between(10, 2000) * kMilli;
                world_.trace(fmt::format("pause {}", node->id));
                World::cover("pauses");
            }
            return;
        case 12:
            if (Node* node = pick(true)) {
                const bool slow = random.chance(1, 2);
                node->disk->set_speed(slow ? 5000 : 100, slow ? 400000 : 2000);
            }
            return;
        case 13:
            // The moment that matters: applied here, durable only elsewhere.
            for (auto& [id, node] : nodes_)
                if (node->up() &&
                    node->machine->applied().index > node->replica->core().log().stable()) {
                    World::cover("crashes with the state ahead of the log");
                    return crash(*node);
                }
            if (Node* lead = leader()) lead->disk->set_speed(50000, 400000);
            return;
        default:
            if (random.chance(1, 4)) return transfer();
            return with_damage_ ? damage() : change_members();
    }
}

void Cluster::partition() {
    base::Random& random = world_.random;
    net_.heal();
    const bool one_way = random.chance(1, 3);
    world_.trace(one_way ? "one-way partition" : "partition");
    World::cover(one_way ? "one-way partitions" : "partitions");
    std::map<raft::NodeId, bool> side;
    for (auto& [id, node] : nodes_)
        side[id] = random.chance(1, 2);
    if (Node* lead = leader(); lead != nullptr && random.chance(1, 2))
        for (auto& [id, s] : side)
            s = id == lead->id;
    for (auto& [a, side_a] : side)
        for (auto& [b, side_b] : side)
            if (side_a != side_b && (!one_way || side_a)) net_.block(a, b);
}

namespace {

// What the member would find in its log if it started now.
raft::WalRecovered look_at(SimDisk& disk, raft::NodeId id) {
    World scratch(1);
    SimDisk copy(scratch);
    copy.files() = disk.files();
    raft::WalOptions options{7, id, 2048};
    for (std::uint64_t i = 1; i <= 3; ++i)
        options.fallback.peers.push_back({raft::NodeId(i), false, ""});
    raft::WalRecovered found;
    const auto opened = raft::Wal::open(copy, options, &found, nullptr);
    CHECK(opened.has_value(), "{}", opened ? "" : opened.error().to_string());
    return found;
}

// Damages the log where that can be told from a torn write: not in what was written last.
void rot(SimDisk& disk, raft::NodeId id) {
    const auto intact = disk.files();
    const raft::Index last = look_at(disk, id).log.last;
    if (!disk.rot()) return;
    const auto found = look_at(disk, id);
    if (found.damage.empty() && found.log.last < last) disk.files() = intact;
}

}  // namespace

// What was durable goes bad, on so few members that the others can make it good.
void Cluster::damage() {
    std::size_t damaged = 0;
    for (auto& [id, node] : nodes_)
        damaged += node->damaged ? 1 : 0;
    Node* node = pick(true);
    if (node == nullptr || (damaged + 1) * 2 >= nodes_.size()) return;
    crash(*node);
    const bool log = world_.random.chance(2, 3);
    world_.trace(fmt::format("damage to the {} of {}", log ? "log" : "state", node->id));
    World::cover(log ? "logs damaged" : "states lost");
    node->damaged = true;
    if (log)
        rot(*node->disk, node->id);
    else
        node->machine_disk = {};
}

void Cluster::transfer() {
    Node* node = pick(true);
    if (node == nullptr) return;
    Node* target = pick(true);
    node->replica->transfer_leadership(
        world_.random.chance(1, 3) ? raft::kNobody : target->id,
        [](base::Status status) { World::cover(status ? "transfers done" : "transfers refused"); });
}

void Cluster::change_members() {
    Node* node = pick(true);
    if (node == nullptr || changing_) return;
    base::Random& random = world_.random;
    const std::vector<kvstore::Member> members = node->replica->members();
    kvstore::MembershipChange change;
    using Kind = kvstore::MembershipChange::Kind;
    bool learner = false;
    for (const kvstore::Member& m : members)
        learner = learner || m.learner;
    const std::uint64_t what = learner && random.chance(1, 2) ? 2 : random.below(5);
    std::vector<kvstore::MembershipChange> changes;
    raft::NodeId leaving;
    const auto remove = [&] {
        change.kind = Kind::kRemove;
        change.member.id = leaving = members[random.below(members.size())].id;
        changes.push_back(change);
    };
    if ((what < 2 && members.size() < 5) || (what == 4 && members.size() > 2)) {
        change.kind = what == 0 ? Kind::kAddLearner : Kind::kAddVoter;
        auto fresh = std::make_unique<Node>();
        fresh->id = raft::NodeId(++last_id_);
        fresh->disk = std::make_unique<SimDisk>(world_);
        change.member = {fresh->id, fmt::format("m{}", last_id_), {}, {}, what == 0};
        Node& added = *fresh;
        nodes_[added.id] = std::move(fresh);
        start(added);
        changes.push_back(change);
        if (what == 4) remove();  // both in one step: a joint membership
    } else if (what == 2) {
        change.kind = Kind::kPromote;
        for (const kvstore::Member& m : members)
            if (m.learner) change.member.id = m.id;
        changes.push_back(change);
    } else if (what == 3 && members.size() > 2) {
        remove();
    } else {
        return;
    }
    world_.trace(
        fmt::format("change of members {} {}", static_cast<int>(change.kind), change.member.id));
    changing_ = true;
    world_.after(4 * kSecond, [this] { changing_ = false; });
    node->replica->change_membership(
        changes, [this, what, leaving](base::Result<std::vector<kvstore::Member>> result) {
            changing_ = false;
            if (!result) return World::cover("membership changes refused");
            World::cover(fmt::format("membership changes of kind {}", what));
            if (leaving == raft::kNobody) return;
            // Its operator switches it off a little later.
            world_.after(500 * kMilli, [this, id = leaving] {
                Node& gone = *nodes_.at(id);
                crash(gone);
                gone.removed = true;
            });
        });
}

}  // namespace sim
