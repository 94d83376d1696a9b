#include "raft/core/core.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/planted.h"

namespace raft {
namespace {
// Far beyond any real log; keeps arithmetic on positions from a peer from wrapping.
constexpr std::uint64_t kMaxPosition = std::uint64_t{1} << 62U;
// Before the clock was first told.
constexpr std::uint64_t kNotYet = ~std::uint64_t{0};
}  // namespace

Core::Core(CoreOptions options, Recovered recovered, EntrySource& source)
    : options_(options),
      random_(options.seed),
      log_(std::move(recovered.log), source),
      hard_(recovered.hard),
      written_hard_(recovered.hard),
      emitted_(recovered.applied),
      applied_(recovered.applied) {
    CHECK(options_.id != kNobody);
    CHECK(options_.heartbeat_ticks > 0 && options_.election_ticks > options_.heartbeat_ticks);
    CHECK(recovered.applied >= log_.base().index && recovered.applied <= log_.last_index());
    log_.commit_to(std::max(std::min(recovered.commit, log_.last_index()), recovered.applied));
    if (hard_.term < log_.last_term()) hard_ = {log_.last_term(), kNobody};
    damaged_in_ = recovered.damaged_in;
    if (damaged_in_ && hard_.term <= *damaged_in_) hard_ = {*damaged_in_ + 1, kNobody};
    CHECK(!leases() || options_.promise_ms >= options_.lease_ms);
    // What was promised before a restart is not known any more.
    if (leases() && hard_.term > Term(1) && config().voters() > 1) promised_until_ms_ = kNotYet;
    told_ = {role_, leader_, hard_.term};
    // The first wait is short: at the start of a cluster nobody leads, and in a running one the
    // pre-vote keeps this from disturbing anyone.
    reset_election_timer(1, options_.election_ticks);
    if (config().voters() == 1 && config().is_voter(options_.id)) election_timeout_ = 1;
}

// ------------------------------------------------------------------ sending

Message Core::make(MessageType type, NodeId to) const {
    Message m;
    m.type = type;
    m.from = options_.id;
    m.to = to;
    m.term = hard_.term;
    return m;
}

void Core::send(Message m) {
    messages_.push_back(std::move(m));
}

void Core::send_after_write(Message m) {
    held_.push_back(std::move(m));
}

// ------------------------------------------------------------------ inputs

void Core::set_clock(std::uint64_t ms) {
    if (promised_until_ms_ == kNotYet) promised_until_ms_ = ms + options_.promise_ms;
    clock_ms_ = std::max(clock_ms_, ms);
}

void Core::tick() {
    ++now_;
    if (role_ == Role::kLeader) {
        tick_leader();
    } else {
        tick_follower();
    }
}

bool Core::is_malformed(const Message& m) const {
    if (m.from == kNobody || m.from == options_.id || m.to != options_.id) return true;
    if (m.term == Term(0) && m.type != MessageType::kPreVoteResponse) return true;
    if (m.index.value() > kMaxPosition || m.commit.value() > kMaxPosition ||
        m.term.value() > kMaxPosition)
        return true;
    if (m.type != MessageType::kAppend) return !m.entries.empty();
    Position previous{m.index, m.log_term};
    for (const Entry& e : m.entries) {
        if (e.index != previous.index + 1 || e.term < previous.term || e.term > m.term) return true;
        if (e.type == EntryType::kConfig && !decode_config_entry(e.data())) return true;
        previous = {e.index, e.term};
    }
    return false;
}

void Core::step(Message m) {
    if (is_malformed(m)) return malformed();
    if (!handle_terms(m)) return;
    step_current_term(m);
    maybe_repaired();
}

void Core::step_current_term(Message& m) {
    switch (m.type) {
        case MessageType::kPreVote:
        case MessageType::kVote:
            return handle_vote_request(m);
        case MessageType::kPreVoteResponse:
        case MessageType::kVoteResponse:
            return handle_vote_response(m);
        case MessageType::kAppend:
            return handle_append(m);
        case MessageType::kAppendResponse:
            return handle_append_response(m);
        case MessageType::kHeartbeat:
            return handle_heartbeat(m);
        case MessageType::kHeartbeatResponse:
            return handle_heartbeat_response(m);
        case MessageType::kCommit:
            return handle_commit(m);
        case MessageType::kPropose:
            return handle_propose(m);
        case MessageType::kProposeConfig:
            return handle_propose_config(m);
        case MessageType::kReject:
            return handle_reject(m);
        case MessageType::kReadIndex:
            return handle_read_index(m);
        case MessageType::kReadIndexResponse:
            if (m.from == leader_) ready_reads_.push_back({m.context, m.index});
            return;
        case MessageType::kTransfer:
            return handle_transfer(m);
        case MessageType::kTimeoutNow:
            return handle_timeout_now(m);
        case MessageType::kSnapshot:
            return handle_snapshot(m);
    }
    malformed();
}

void Core::append_own(EntryType type, Payload payload) {
    Entry e{hard_.term, log_.last_index() + 1, type, std::move(payload)};
    uncommitted_.emplace_back(e.index, e.cost());
    uncommitted_bytes_ += e.cost();
    entries_.push_back(e);
    log_.append({std::move(e)});
}

void Core::storage_done(std::uint64_t ticket) {
    while (!writes_.empty() && writes_.front().ticket <= ticket) {
        PendingWrite write = std::move(writes_.front());
        writes_.pop_front();
        for (Message& m : write.messages)
            messages_.push_back(std::move(m));
        if (write.has_entries) log_.stable_to(write.last);
        const bool own_vote = write.hard && write.hard->vote == options_.id &&
                              write.hard->term == hard_.term && role_ == Role::kCandidate;
        if (own_vote) {
            votes_[options_.id] = true;
            count_votes();
        }
    }
    if (role_ == Role::kLeader) {
        const auto self = progress_.find(options_.id);
        if (self != progress_.end() && log_.stable() > self->second.match) {
            self->second.match = log_.stable();
            if (maybe_commit()) committed_more();
        }
    }
    maybe_repaired();
}

void Core::maybe_repaired() {
    if (!damaged_in_ || leader_ == kNobody || hard_.term <= *damaged_in_) return;
    if (log_.stable() < log_.commit() || log_.term(log_.commit()) != hard_.term) return;
    // The log already stands where a snapshot ends that is not installed yet.
    if (install_ || std::any_of(writes_.begin(), writes_.end(),
                                [](const PendingWrite& w) { return w.install; }))
        return;
    damaged_in_.reset();
    repaired_ = true;
    ++counters_.repairs;
}

void Core::applied(Index index) {
    CHECK(index <= emitted_ && index >= applied_);
    applied_ = index;
    log_.evict(applied_, options_.cache_bytes);
}

void Core::compact(Index index) {
    CHECK(index <= applied_, "compacting {} past the applied {}", index, applied_);
    log_.compact(std::min(index, log_.stable()));
}

// ------------------------------------------------------------------ outputs

// What is committed may be applied before it is durable here (the others have it), but only where
// the unwritten part is a plain continuation of a durable log: a leader after the first entry of
// its term, and up to the next unwritten membership. Everywhere else a crash could leave a log that
// contradicts the state.
Index Core::apply_limit() const {
    if (hold_committed_) return emitted_;
    const Index durable = std::min(log_.commit(), log_.stable());
    if (role_ != Role::kLeader || log_.stable() < term_start_) return durable;
    Index limit = log_.commit();
    if (const auto config = log_.next_config_after(log_.stable()))
        limit = std::min(limit, *config - 1);
    return std::max(limit, durable);
}

bool Core::has_effects() const {
    return !messages_.empty() || !held_.empty() || !entries_.empty() || install_ ||
           hard_ != written_hard_ || !ready_reads_.empty() || !rejected_.empty() ||
           !snapshots_.empty() || config_changed_ || emitted_ < apply_limit() || repaired_ ||
           told_ != Effects::Status{role_, leader_, hard_.term};
}

Effects Core::take() {
    Effects out;
    const Effects::Status status{role_, leader_, hard_.term};
    if (status != told_) out.status = told_ = status;
    out.config_changed = std::exchange(config_changed_, false);
    out.repaired = std::exchange(repaired_, false);
    out.reads = std::exchange(ready_reads_, {});
    out.rejected = std::exchange(rejected_, {});
    out.snapshots = std::exchange(snapshots_, {});

    // Nothing may be said in a term that a crash could make us forget.
    const bool term_written =
        base::planted(base::PlantedBug::kVoteNotSynced) ||
        (hard_ == written_hard_ && std::none_of(writes_.begin(), writes_.end(),
                                                [](const PendingWrite& w) { return w.hard; }));
    std::vector<Message> after = std::exchange(held_, {});
    if (term_written) {
        out.messages = std::exchange(messages_, {});
    } else {
        after.insert(after.end(), std::make_move_iterator(messages_.begin()),
                     std::make_move_iterator(messages_.end()));
        messages_.clear();
    }

    if (hard_ != written_hard_ || !entries_.empty() || install_) {
        PendingWrite write;
        write.ticket = out.ticket = ++last_ticket_;
        write.started_at = now_;
        if (hard_ != written_hard_) out.hard_state = write.hard = written_hard_ = hard_;
        out.install = std::exchange(install_, std::nullopt);
        write.install = out.install.has_value();
        out.entries = std::exchange(entries_, {});
        if (!out.entries.empty()) {
            write.has_entries = true;
            write.last = {out.entries.back().index, out.entries.back().term};
        }
        writes_.push_back(std::move(write));
    }
    auto& destination = writes_.empty() ? out.messages : writes_.back().messages;
    destination.insert(destination.end(), std::make_move_iterator(after.begin()),
                       std::make_move_iterator(after.end()));

    const Index limit = apply_limit();
    if (emitted_ < limit) {
        out.committed = log_.slice(emitted_ + 1, limit, options_.max_apply_bytes);
        CHECK(!out.committed.empty(), "committed entry {} cannot be read back", emitted_ + 1);
        emitted_ = out.committed.back().index;
        if (emitted_ > log_.stable()) ++counters_.early_commits;
    }
    return out;
}

}  // namespace raft
