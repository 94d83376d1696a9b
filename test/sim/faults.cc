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
        if (!storms_.active()) one_fault();
        fault_loop();
    });
}

void Cluster::one_fault() {
    base::Random& random = world_.random;
    switch (random.below(20)) {
        case 0:
        case 1:
        case 2:
            if (Host* host = random.chance(1, 3) && leader() ? leader() : pick(true))
                crash(*host, random.chance(1, 2));
            return;
        case 3:
            if (!random.chance(1, 4)) return;
            World::cover("power failures everywhere");
            for (auto& [id, host] : hosts_)
                crash(*host, true);
            return;
        case 4:
        case 5:
        case 6:
            for (auto& [id, host] : hosts_)
                if (!host->up() && !host->removed && random.chance(2, 3)) start(*host);
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
            if (Host* host = pick(true)) {
                host->paused_until = world_.now() + random.between(10, 2000) * kMilli;
                world_.trace(fmt::format("pause {}", host->id()));
                World::cover("pauses");
            }
            return;
        case 12:
            // The moment that matters: applied here, durable only elsewhere.
            for (auto& [id, host] : hosts_)
                if (host->up() && host->applied().index > host->replica().core().log().stable()) {
                    World::cover("crashes with the state ahead of the log");
                    return crash(*host, random.chance(1, 2));
                }
            if (Host* lead = leader()) lead->disk().set_speed(50000, 400000);
            return;
        case 13:
        case 14:
        case 15:
            return disk_fault();
        case 16:
            return storms_.begin();
        default:
            if (random.chance(1, 4)) return transfer();
            return with_damage_ ? damage() : change_members();
    }
}

void Cluster::disk_fault() {
    base::Random& random = world_.random;
    Host* host = pick(true);
    if (host == nullptr) return;
    switch (random.below(5)) {
        case 0:
        case 1: {
            const bool slow = random.chance(1, 2);
            if (slow) World::cover("slow disks");
            return host->disk().set_speed(slow ? 5000 : 100, slow ? 400000 : 2000);
        }
        case 2:
            world_.trace(fmt::format("power will fail at {}", host->id()));
            return host->fail_power_after(random.between(1, 40));
        case 3:
            world_.trace(fmt::format("a sync will fail at {}", host->id()));
            if (random.chance(1, 2)) return host->disk().fail_sync();
            host->fs().fail_sync = true;
            host->start_may_fail = true;
            return;
        default: {
            const bool full = random.chance(2, 3);
            world_.trace(
                fmt::format("the disk of {} {}", host->id(), full ? "is full" : "has space"));
            host->disk().set_full(full);
            // The log keeps some space for the database, but not for ever.
            host->fs().full = full && random.chance(1, 3);
            host->start_may_fail = host->start_may_fail || full;
        }
    }
}

void Cluster::partition() {
    base::Random& random = world_.random;
    net_.heal();
    const bool one_way = random.chance(1, 3);
    world_.trace(one_way ? "one-way partition" : "partition");
    World::cover(one_way ? "one-way partitions" : "partitions");
    std::map<raft::NodeId, bool> side;
    for (auto& [id, host] : hosts_)
        side[id] = random.chance(1, 2);
    if (Host* lead = leader(); lead != nullptr && random.chance(1, 2)) {
        // Learners, which have no vote, stay with it.
        const raft::Config& config = lead->replica().core().config();
        for (auto& [id, s] : side)
            s = id == lead->id() || (config.find(id) != nullptr && !config.is_voter(id));
    }
    for (auto& [a, side_a] : side)
        for (auto& [b, side_b] : side)
            if (side_a != side_b && (!one_way || side_a)) net_.block(a, b);
}

namespace {

constexpr std::uint64_t kSegmentBytes = 4096;

// What the member would find in its log if it started now.
raft::WalRecovered look_at(SimDisk& disk, raft::NodeId id) {
    World scratch(1);
    SimDisk copy(scratch);
    copy.files() = disk.files();
    raft::WalOptions options{7, id, kSegmentBytes};
    for (std::uint64_t i = 1; i <= 3; ++i)
        options.fallback.peers.push_back({raft::NodeId(i), false, ""});
    raft::WalRecovered found;
    const auto opened = raft::Wal::open(copy, options, &found, nullptr);
    CHECK(opened.has_value(), "{}", opened ? "" : opened.error().to_string());
    return found;
}

// Damages the log where that can be told from a torn write: not in what was written last.
void damage_log(SimDisk& disk, raft::NodeId id, bool misdirect) {
    const auto intact = disk.files();
    const raft::Index last = look_at(disk, id).log.last;
    if (!(misdirect ? disk.misdirect() : disk.rot())) return;
    World::cover(misdirect ? "writes of the log in a wrong place" : "logs damaged");
    const auto found = look_at(disk, id);
    if (found.damage.empty() && found.log.last < last) disk.files() = intact;
}

}  // namespace

// So few members are damaged that the others can make it good.
bool Cluster::may_damage(const Host& host) const {
    std::size_t damaged = 0;
    for (const auto& [id, other] : hosts_)
        if (other->damaged || other->fs().rotten()) ++damaged;
    return !host.damaged && !host.fs().rotten() && (damaged + 1) * 2 < hosts_.size();
}

// What was durable goes bad.
void Cluster::damage() {
    base::Random& random = world_.random;
    Host* host = pick(true);
    if (host == nullptr || !may_damage(*host)) return;
    const std::uint64_t what = random.below(7);
    host->was_damaged = true;
    // A running member may find it while it runs, or never.
    if (what != 4 || random.chance(1, 2)) crash(*host, random.chance(1, 2));
    world_.trace(fmt::format("damage of kind {} to {}", what, host->id()));
    switch (what) {
        case 0:
        case 1:
        case 5:
            host->damaged = true;
            return damage_log(host->disk(), host->id(), what == 5);
        case 6:
            if (host->disk().rot_vote()) World::cover("copies of votes damaged");
            return;
        case 2:
            World::cover("databases lost");
            host->damaged = true;
            return host->fs().remove("/db");
        case 3:
            if (host->fs().rot("/db", [](const std::string& name) {
                    return name.find("/MANIFEST") != std::string::npos ||
                           name.find("/CURRENT") != std::string::npos;
                }))
                World::cover("catalogues of databases damaged");
            return;
        default:
            if (host->fs().rot("/db", [](const std::string& name) {
                    return name.ends_with(".ldb") || name.ends_with(".log");
                }))
                World::cover("tables or logs of databases damaged");
    }
}

void Cluster::transfer() {
    Host* host = pick(true);
    if (host == nullptr || host->paused()) return;
    Host* target = pick(true);
    host->replica().transfer_leadership(
        world_.random.chance(1, 3) ? raft::kNobody : target->id(),
        [](base::Status status) { World::cover(status ? "transfers done" : "transfers refused"); });
}

void Cluster::change_members() {
    Host* host = pick(true);
    if (host == nullptr || host->paused() || changing_) return;
    base::Random& random = world_.random;
    const std::vector<kvstore::Member> members = host->replica().members();
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
        Host& added = add_host(raft::NodeId(++last_id_), {});
        change.member = {added.id(), fmt::format("m{}", last_id_), {}, {}, what == 0};
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
    changing_ = ever_changed_ = true;
    world_.after(4 * kSecond, [this] { changing_ = false; });
    host->replica().change_membership(
        changes, [this, what, leaving](base::Result<std::vector<kvstore::Member>> result) {
            changing_ = false;
            if (!result) return World::cover("membership changes refused");
            World::cover(fmt::format("membership changes of kind {}", what));
            if (leaving == raft::kNobody) return;
            // Its operator switches it off a little later.
            world_.after(500 * kMilli, [this, id = leaving] {
                Host& gone = *hosts_.at(id);
                crash(gone, false);
                gone.removed = true;
            });
        });
}

}  // namespace sim
