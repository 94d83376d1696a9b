// Linearizable reads without the log (thesis §6.4): note the commit index, let a majority confirm
// that we still lead, then the read may be served once that index is applied.

#include "base/planted.h"
#include "raft/core/core.h"

namespace raft {

namespace {
// How many unconfirmed heartbeat rounds may be under way before reads wait for the next one.
constexpr std::uint64_t kMaxRounds = 4;
}  // namespace

Reject Core::read_index(std::uint64_t context) {
    if (role_ == Role::kLeader) return take_read(options_.id, context);
    if (leader_ == kNobody) return Reject::kNotLeader;
    Message m = make(MessageType::kReadIndex, leader_);
    m.context = context;
    send(std::move(m));
    return Reject::kNone;
}

void Core::handle_read_index(const Message& m) {
    if (role_ == Role::kLeader) take_read(m.from, m.context);
}

Reject Core::take_read(NodeId from, std::uint64_t context) {
    if (holds_lease()) {
        ++counters_.reads;
        ++counters_.lease_reads;
        answer_read(from, context, log_.commit());
        return Reject::kNone;
    }
    if (reads_.size() + early_reads_.size() >= options_.max_pending_reads) return Reject::kBusy;
    add_read({from, context, {}, 0});
    return Reject::kNone;
}

void Core::answer_read(NodeId from, std::uint64_t context, Index index) {
    if (from == options_.id) {
        ready_reads_.push_back({context, index});
        return;
    }
    Message m = make(MessageType::kReadIndexResponse, from);
    m.index = index;
    m.context = context;
    send(std::move(m));
}

void Core::add_read(PendingRead read) {
    ++counters_.reads;
    // Until an entry of its term is committed a leader does not know what is committed.
    if (log_.commit() < term_start_) {
        early_reads_.push_back(read);
        return;
    }
    read.index = log_.commit();
    if (base::planted(base::PlantedBug::kStaleReadIndex)) {
        reads_.push_back(read);  // of a round that was confirmed already
        return release_reads();
    }
    read.sequence = read_sequence_ + 1;  // the next round
    const bool room = reads_.empty() || read_sequence_ - reads_.front().sequence + 1 < kMaxRounds;
    reads_.push_back(read);
    read_round_wanted_ = true;
    if (room) {
        start_read_round();
        heartbeat_elapsed_ = 0;
        broadcast_heartbeat();
        release_reads();  // a single voter needs nobody
    }
}

void Core::start_read_round() {
    read_round_wanted_ = false;
    ++read_sequence_;
}

void Core::reads_may_start() {
    if (log_.commit() < term_start_) return;
    std::deque<PendingRead> waiting;
    waiting.swap(early_reads_);
    for (PendingRead& read : waiting)
        add_read(read);
}

}  // namespace raft
