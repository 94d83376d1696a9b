#include "test/sim/cluster.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "raft/core/core.h"

namespace sim {

Cluster::Cluster(World& world, std::size_t members)
    : world_(world),
      net_(world),
      journal_([this](std::string why) { fail(std::move(why)); },
               [this](const kvstore::Command& command, const Reference::Answer& answer) {
                   first_applied(command, answer);
               }),
      watchers_(*this) {
    net_.run_at = [this](raft::NodeId id, base::UniqueFunction<void()> f) {
        const auto it = hosts_.find(id);
        if (it != hosts_.end()) it->second->run(std::move(f));
    };
    net_.on_sent = [this](const raft::Message& message) { storms_.sent(message); };
    max_load_ = 1 + world_.random.below(8);
    lease_reads_ = world_.random.chance(1, 3);
    // One entry a message, or as many as there are.
    message_bytes_ = world_.random.chance(1, 3) ? 1 : 1 << 20;
    value_bytes_ = world_.random.chance(1, 3) ? 4000 : 400;
    with_damage_ = members >= 3 && world_.random.chance(1, 3);
    net_.damages_snapshots = with_damage_;
    for (std::size_t i = 0; i < members; ++i) {
        const raft::NodeId id(++last_id_);
        initial_.push_back({id, fmt::format("m{}", last_id_), {}, {}, false});
    }
    for (const kvstore::Member& member : initial_)
        add_host(member.id, initial_);
}

Cluster::~Cluster() {
    faults_ = false;
    for (auto& [id, host] : hosts_) {
        watchers_.process_gone(*host);
        host->crash(false);
    }
}

Host& Cluster::add_host(raft::NodeId id, std::vector<kvstore::Member> initial) {
    auto host =
        std::make_unique<Host>(world_, net_, journal_,
                               Host::Options{id, std::move(initial), world_.random.below(10),
                                             lease_reads_, message_bytes_});
    host->find_host = [this](raft::NodeId other) -> Host* {
        const auto it = hosts_.find(other);
        return it == hosts_.end() ? nullptr : it->second.get();
    };
    host->on_end = [this](Host& h) {
        watchers_.process_gone(h);
        collect(h);
    };
    return *(hosts_[id] = std::move(host));
}

void Cluster::fail(std::string why) {
    if (!failure_) failure_ = std::move(why);
}

void Cluster::start(Host& host) {
    if (host.up() || host.removed) return;
    const base::Status status = host.start();
    if (status || host.up()) return;
    // A disk that is full or fails is a reason; it is tried again.
    World::cover("starts that failed");
    world_.trace(fmt::format("member {} does not start: {}", host.id(), status.error().message));
    if (host.start_may_fail || host.damaged) return;
    fail(fmt::format("member {} does not start: {}", host.id(), status.error().to_string()));
}

void Cluster::crash(Host& host, bool power) {
    if (!host.up()) return;
    World::cover(power ? "power failures" : "crashes");
    host.crash(power);
}

void Cluster::collect(Host& host) {
    const raft::Counters& c = host.replica().core().counters();
    World::cover("campaigns", c.campaigns);
    World::cover("elections won", c.elections_won);
    World::cover("appends rejected", c.append_rejected);
    World::cover("log suffixes replaced", c.truncations);
    World::cover("leaders that lost their quorum", c.quorum_lost);
    World::cover("leaders with a stalled disk", c.disk_stalls);
    World::cover("snapshots installed", c.snapshots_installed);
    World::cover("leader transfers", c.transfers);
    World::cover("linearizable reads", c.reads);
    World::cover("linearizable reads under a lease", c.lease_reads);
    World::cover("transfers by priority", c.priority_transfers);
    World::cover("entries applied before the own disk had them", c.early_commits);
    if (host.replica().core().log().base().index > raft::Index(0)) World::cover("logs compacted");
    const kvstore::ReplicaCounters& r = host.replica().counters();
    World::cover("torn tails cut", r.torn_tails_cut);
    World::cover("proposals sent again", r.proposals_repeated);
    World::cover("states ahead of their log", r.states_ahead_of_log);
    World::cover("members repaired", c.repairs);
    World::cover("log compactions", r.compactions);
    World::cover("entries applied aside", r.applied_aside);
    World::cover("waits for room in the database", r.waits_for_room);
    World::cover("snapshots that waited for one", r.installs_waited);
    const kvstore::WatchHub& hub = host.machine().hub();
    World::cover("changes read from history for watchers", hub.history_reads());
    if (c.malformed > 0)
        fail(fmt::format("member {} called {} messages malformed", host.id(), c.malformed));
}

Host* Cluster::pick(bool up) {
    std::vector<Host*> some;
    for (auto& [id, host] : hosts_)
        if (host->up() == up && !host->removed) some.push_back(host.get());
    return some.empty() ? nullptr : some[world_.random.below(some.size())];
}

Host* Cluster::leader() {
    for (auto& [id, host] : hosts_)
        if (host->up() && host->replica().is_leader()) return host.get();
    return nullptr;
}

// As the leader sees it.
bool Cluster::is_member(raft::NodeId id) {
    Host* lead = leader();
    return lead == nullptr || lead->replica().core().config().find(id) != nullptr;
}

bool Cluster::run_until(Micros end) {
    while (!failure_ && world_.now() < end) {
        if (!world_.step()) return true;
        judge();
        storms_.step();
    }
    return !failure_;
}

std::optional<std::string> Cluster::run(Micros duration) {
    for (auto& [id, host] : hosts_)
        start(*host);
    client_loop();
    lease_loop();
    watchers_.begin(1 + world_.random.below(4));
    fault_loop();
    if (!run_until(duration)) return failure_;
    heal();
    if (!run_until(world_.now() + 4 * kSecond)) return failure_;
    final_writes();
    const Micros limit = world_.now() + 25 * kSecond;
    while (!failure_ && !converged()) {
        if (world_.now() > limit) {
            fail("no convergence after healing" + describe());
            break;
        }
        run_until(world_.now() + 100 * kMilli);
    }
    if (!failure_) check_history();
    world_.trace(fmt::format("end, {} commands, revision {}", journal_.commands(),
                             journal_.reference().revision()));
    return failure_;
}

// Liveness: everything heals, nothing new breaks; all must agree soon.
void Cluster::heal() {
    world_.trace("heal");
    faults_ = false;
    storms_.end();
    net_.heal();
    net_.set_chances(0, 0, 200, 2000);
    net_.damages_snapshots = false;
    // Members that were removed without our hearing of it stay down.
    for (auto& [id, host] : hosts_) {
        host->disk().set_speed(100, 2000);
        host->disk().set_full(false);
        host->fs().full = false;
        host->fs().fail_sync = false;
        host->fs().cancel_freeze();
        host->start_may_fail = false;
        start(*host);
    }
    // A minority stays broken: it must not keep the others from anything.
    if (with_damage_ || ever_changed_ || last_id_ < 3 || !world_.random.chance(1, 3)) return;
    Host& broken = *hosts_.at(initial_[world_.random.below(initial_.size())].id);
    world_.trace(fmt::format("member {} stays broken", broken.id()));
    World::cover("members that stay broken");
    crash(broken, true);
    broken.removed = true;
}

std::string Cluster::describe() {
    std::string out = fmt::format(" ({} answers missing, {} commands, {} leases)", final_pending_,
                                  journal_.commands(), journal_.reference().leases().size());
    for (auto& [id, host] : hosts_) {
        if (!host->up()) {
            out += fmt::format("; {}: down{}", id, host->removed ? ", removed" : "");
            continue;
        }
        const kvstore::Replica& r = host->replica();
        out += fmt::format("; {}: {} term {} leader {} applied {} commit {} last {} members {}{}",
                           id, raft::role_name(r.role()), r.term(), r.leader(), r.applied_index(),
                           r.committed_index(), r.core().log().last_index(), r.members().size(),
                           r.core().repairing() ? " repairing" : "");
    }
    return out + watchers_.describe();
}

bool Cluster::converged() {
    // Who ended itself (it found damage, most likely) is started again.
    for (auto& [id, host] : hosts_)
        start(*host);
    Host* lead = leader();
    if (lead == nullptr || final_pending_ > 0) return false;
    // Nobody renews leases any more: they all end.
    if (!journal_.reference().leases().empty()) return false;
    if (!watchers_.all_caught_up()) return false;
    if (lead->applied().index < journal_.last()) return false;
    for (const kvstore::Member& member : lead->replica().members()) {
        Host& host = *hosts_.at(member.id);
        if (host.removed) continue;
        if (!host.up() || host.applied() != lead->applied() || host.dying()) return false;
    }
    if (answered_ > lead->applied().index) {
        fail("an acknowledged write is lost");
        return true;
    }
    return same_bytes();
}

// All members hold the same, to the last byte. False: one ended itself when it was looked at, or
// still frees space.
bool Cluster::same_bytes() {
    std::map<std::string, std::string> first;
    raft::NodeId first_id = raft::kNobody;
    Host* lead = leader();
    const std::vector<kvstore::Member> members = lead->replica().members();
    for (const kvstore::Member& member : members) {
        Host& host = *hosts_.at(member.id);
        if (host.removed) continue;
        std::map<std::string, std::string> content;
        bool scrubbing = true;
        host.run([&] {
            scrubbing = host.machine().store().scrubbing();
            auto cursor = host.machine().database().cursor();
            for (cursor->seek(""); cursor->valid(); cursor->next())
                content.emplace(cursor->key(), cursor->value());
        });
        if (!host.up() || scrubbing) return false;
        if (first_id == raft::kNobody) {
            first = std::move(content);
            first_id = member.id;
            continue;
        }
        if (content == first) continue;
        const auto [a, b] =
            std::mismatch(first.begin(), first.end(), content.begin(), content.end());
        fail(fmt::format("members {} and {} do not hold the same bytes: {:?} and {:?}", first_id,
                         member.id, a == first.end() ? "" : a->first,
                         b == content.end() ? "" : b->first));
        return true;
    }
    return true;
}

void Cluster::check_history() {
    std::vector<linearizable::Operation> history;
    for (const CallPtr& call : calls_)
        history.insert(history.end(), call->operations.begin(), call->operations.end());
    if (const auto fault = linearizable::check_revisions(history))
        return fail("revisions out of order: " + *fault);
    const auto outcome = linearizable::check(history);
    if (outcome.verdict == linearizable::Verdict::kNotLinearizable)
        fail("not linearizable: key " + outcome.key + ": " + outcome.explanation);
    if (outcome.verdict == linearizable::Verdict::kUndecided) World::cover("histories undecided");
    World::cover("histories checked");
}

}  // namespace sim
