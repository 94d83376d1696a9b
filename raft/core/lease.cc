// Lease reads (thesis §6.4.1): a leader answers reads alone for as long as nobody else can have
// been elected. A follower that answers a heartbeat promises to help nobody to depose the leader
// for promise_ms from then on: neither its vote nor its pre-vote nor a candidacy of its own. Once a
// majority has promised, the leader's lease runs for lease_ms from when the heartbeat was *sent*.
// Both are measured by a clock (set_clock), not by ticks: a process that was paused must not take
// the ticks that it missed for time that did not pass.
//
// What would break the promise, and why it does not: a follower that restarts begins with a promise
// as if it had just heard the leader; a higher term makes nobody forget his promise; a candidate
// that the leader itself called up is voted for at once, so a leader that has called one up has no
// lease for the rest of its term. Members that do not make promises are not counted, so a group may
// go over from one way to the other member by member.

#include <algorithm>

#include "raft/core/core.h"

namespace raft {

namespace {
constexpr std::size_t kMaxRoundsKept = 64;
}  // namespace

bool Core::holds_lease() const {
    return leases() && !lease_void_ && clock_ms_ < lease_until_ms_ && log_.commit() >= term_start_;
}

void Core::promise(Message* heartbeat_response) {
    if (!leases()) return;
    heartbeat_response->lease = true;
    promised_until_ms_ = std::max(promised_until_ms_, clock_ms_ + options_.promise_ms);
}

// Each heartbeat renews the lease, so each is a round of its own; the first one is 1.
bool Core::needs_new_round() const {
    if (!leases()) return false;
    return read_sequence_ == 0 || (!rounds_.empty() && rounds_.back().first == read_sequence_);
}

// The round read_sequence_ goes out now.
void Core::round_sent() {
    if (!leases()) return;
    rounds_.emplace_back(read_sequence_, clock_ms_);
    if (rounds_.size() > kMaxRoundsKept) rounds_.pop_front();
}

void Core::renew_lease() {
    const std::uint64_t promised = config().quorum_value(
        [&](NodeId id) { return id == options_.id ? read_sequence_ : progress_.at(id).lease_ack; });
    while (!rounds_.empty() && rounds_.front().first <= promised) {
        lease_until_ms_ = rounds_.front().second + options_.lease_ms;
        rounds_.pop_front();
    }
}

void Core::forget_lease() {
    rounds_.clear();
    lease_until_ms_ = 0;
    lease_void_ = false;
}

}  // namespace raft
