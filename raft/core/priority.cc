// Leader priority: a leader hands the leadership to a voter of higher priority. Only to one that
// has been in contact and has had all that is committed for a while without a break, and after each
// time it waits twice as long as before when the leadership comes back soon: what does not stay
// there is not sent back and forth.

#include <algorithm>

#include "raft/core/core.h"

namespace raft {

namespace {
// Election timeouts.
constexpr std::uint64_t kPatience = 10;
constexpr std::uint64_t kMaxPatience = 1280;
}  // namespace

// This member leads now.
void Core::begin_priority() {
    preferred_ = kNobody;
    commit_before_ = log_.commit();
    const bool came_back_soon = gave_away_at_ > 0 && now_ - gave_away_at_ <= 4 * patience_;
    if (!came_back_soon) patience_ = kPatience * options_.election_ticks;
}

// The voter of the highest priority above our own that has all that was committed at the last look.
NodeId Core::preferred_leader() const {
    NodeId best = kNobody;
    std::uint32_t highest = options_.priority;
    for (const Peer& peer : config().peers) {
        if (peer.learner || peer.id == options_.id) continue;
        const Progress& p = progress_.at(peer.id);
        const bool follows = p.state == Progress::State::kReplicate && p.match >= commit_before_;
        if (!p.alive() || !follows || p.priority <= highest) continue;
        highest = p.priority;
        best = peer.id;
    }
    return best;
}

void Core::check_priority() {
    const NodeId best = preferred_leader();
    commit_before_ = log_.commit();
    if (best != preferred_) {
        preferred_ = best;
        preferred_since_ = now_;
    }
    if (best == kNobody || now_ - preferred_since_ < patience_ || transferee_ != kNobody) return;
    if (log_.config_index() > log_.commit() || log_.commit() < term_start_) return;
    patience_ = std::min(2 * patience_, kMaxPatience * options_.election_ticks);
    preferred_since_ = gave_away_at_ = now_;
    ++counters_.priority_transfers;
    start_transfer(best);
}

}  // namespace raft
