#include "test/sim/storms.h"

#include <fmt/format.h>

#include "raft/core/core.h"
#include "test/sim/cluster.h"

namespace sim {

namespace {
constexpr Micros kLongest = 4 * kSecond;
// After the moment that it is about.
constexpr Micros kRest = 1500 * kMilli;
}  // namespace

void Storms::begin() {
    if (cluster_.changing_) return;
    std::size_t up = 0;
    for (const auto& [id, host] : cluster_.hosts_) {
        cluster_.start(*host);
        if (host->up() && !host->removed && !host->paused()) ++up;
    }
    if (up < 3) return;
    ++number_;
    until_ = cluster_.world_.now() + kLongest;
    cluster_.net_.heal();
    cluster_.net_.set_chances(0, 0, 200, 3000);
    for (auto& [id, host] : cluster_.hosts_)
        host->disk().set_speed(100, 2000);
    if (cluster_.world_.random.chance(1, 2))
        begin_vote();
    else
        begin_old_entry();
}

void Storms::end() {
    if (!active()) return;
    stage_ = Stage::kNone;
    cluster_.net_.heal();
    for (auto& [id, host] : cluster_.hosts_)
        cluster_.start(*host);
}

void Storms::mute(raft::NodeId from) {
    for (const auto& [id, host] : cluster_.hosts_)
        if (id != from) cluster_.net_.block(from, id);
}

void Storms::deafen(raft::NodeId to) {
    for (const auto& [id, host] : cluster_.hosts_)
        if (id != to) cluster_.net_.block(id, to);
}

void Storms::restart_soon(raft::NodeId id) {
    cluster_.world_.after(1, [this, id, number = number_] {
        if (number != number_) return;
        Host& host = *cluster_.hosts_.at(id);
        cluster_.crash(host, true);
        cluster_.start(host);
    });
}

// Two that cannot hear each other ask the others for their votes.
void Storms::begin_vote() {
    Host* first = cluster_.pick(true);
    Host* second = cluster_.pick(true);
    while (first == second)
        second = cluster_.pick(true);
    cluster_.world_.trace("storm over a vote");
    stage_ = Stage::kVoteAwaited;
    cluster_.net_.block(first->id(), second->id());
    cluster_.net_.block(second->id(), first->id());
    // Nobody leads.
    for (auto& [id, host] : cluster_.hosts_) {
        if (!host->up() || host->removed) continue;
        cluster_.crash(*host, false);
        cluster_.start(*host);
    }
}

// The leader takes requests that nobody else hears of.
void Storms::begin_old_entry() {
    const Host* leader = cluster_.leader();
    if (leader == nullptr) return;
    cluster_.world_.trace("storm over an entry of an old term");
    stage_ = Stage::kOldLeaderAlone;
    first_ = leader->id();
    mute(first_);
    deafen(first_);
}

void Storms::sent(const raft::Message& m) {
    if (m.reject) return;
    if (stage_ == Stage::kVoteAwaited && m.type == raft::MessageType::kVoteResponse) {
        World::cover("power failures after a vote");
        stage_ = Stage::kVoteGiven;
        until_ = cluster_.world_.now() + kRest;
        // Who won is not heard of.
        mute(m.to);
        return restart_soon(m.from);
    }
    if (stage_ == Stage::kOldLeaderBack && m.type == raft::MessageType::kAppendResponse) {
        const Host& host = *cluster_.hosts_.at(m.to);
        if (!host.up() || !host.replica().is_leader()) return;
        const raft::Core& core = host.replica().core();
        const auto term = core.log().term(m.index);
        if (m.index <= core.log().commit() || !term || *term == core.term()) return;
        World::cover("entries of an old term on a majority");
        stage_ = Stage::kOldEntryStored;
        until_ = cluster_.world_.now() + kRest;
        mute(m.to);
        cluster_.world_.after(50 * kMilli, [this, number = number_, id = m.to] {
            if (number != number_ || stage_ != Stage::kOldEntryStored) return;
            cluster_.crash(*cluster_.hosts_.at(id), true);
            cluster_.net_.heal();
            if (!cluster_.hosts_.at(second_)->up()) cluster_.start(*cluster_.hosts_.at(second_));
        });
    }
}

void Storms::elected(const Host& host) {
    if (stage_ == Stage::kOldLeaderAlone && host.id() != first_) {
        stage_ = Stage::kSecondLeaderAlone;
        second_ = host.id();
        mute(second_);
    }
}

void Storms::step() {
    if (!active()) return;
    if (cluster_.world_.now() > until_) return end();
    if (stage_ != Stage::kSecondLeaderAlone) return;
    Host& second = *cluster_.hosts_.at(second_);
    if (!second.up()) return end();
    const raft::Log& log = second.replica().core().log();
    // Its own entry is durable, and nowhere else.
    if (log.stable() < log.last_index() || log.term(log.last_index()) != second.replica().term())
        return;
    stage_ = Stage::kOldLeaderBack;
    cluster_.crash(second, true);
    cluster_.net_.heal();
}

}  // namespace sim
