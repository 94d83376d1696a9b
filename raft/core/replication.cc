// Replication: the leader's pipeline, the follower's log, commit (thesis §3.5, §3.6, §10.2).

#include <algorithm>

#include "base/check.h"
#include "base/planted.h"
#include "raft/core/core.h"

namespace raft {

// The largest value that a majority of the voters has reached.
template <class F>
auto Core::quorum_value(F f) const {
    return config().quorum_value([&](NodeId id) { return f(progress_.at(id)); });
}

// ------------------------------------------------------------------ the leader's time

void Core::tick_leader() {
    if (++quorum_elapsed_ >= options_.election_ticks) {
        quorum_elapsed_ = 0;
        check_quorum();
        if (role_ != Role::kLeader) return;
    }
    if (transferee_ != kNobody && ++transfer_elapsed_ >= options_.election_ticks)
        transferee_ = kNobody;
    check_disk();
    if (role_ != Role::kLeader) return;
    if (++heartbeat_elapsed_ >= options_.heartbeat_ticks) {
        heartbeat_elapsed_ = 0;
        broadcast_heartbeat();
        check_priority();
    }
}

void Core::check_quorum() {
    const bool majority = config().majority(
        [this](NodeId id) { return id == options_.id || progress_.at(id).active; });
    for (auto& [id, p] : progress_) {
        p.was_active = p.active;
        p.active = false;
    }
    if (majority) return;
    ++counters_.quorum_lost;
    become_follower(hard_.term, kNobody);
}

void Core::check_disk() {
    if (options_.disk_stall_ticks == 0 || writes_.empty() || config().voters() == 1) return;
    if (now_ - writes_.front().started_at < options_.disk_stall_ticks) return;
    ++counters_.disk_stalls;
    // Others need not wait to find out.
    const NodeId successor = best_successor();
    if (successor != kNobody) send(make(MessageType::kTimeoutNow, successor));
    become_follower(hard_.term, kNobody);
}

// ------------------------------------------------------------------ the leader sends

void Core::broadcast_append() {
    for (auto& [id, p] : progress_)
        if (id != options_.id) send_append(id, p, false);
}

void Core::send_append(NodeId to, Progress& p, bool even_if_empty) {
    while (send_one_append(to, p, even_if_empty) && p.next <= log_.last_index())
        even_if_empty = false;
}

// False: nothing (more) can be sent now.
bool Core::send_one_append(NodeId to, Progress& p, bool even_if_empty) {
    if (p.paused()) return false;
    const bool has_entries = p.next <= log_.last_index();
    if (!has_entries && !even_if_empty) return false;
    const auto previous = log_.term(p.next - 1);
    if (!previous) {
        send_snapshot(to, p);
        return false;
    }
    Message m = make(MessageType::kAppend, to);
    m.index = p.next - 1;
    m.log_term = *previous;
    if (has_entries) m.entries = log_.slice(p.next, log_.last_index(), options_.max_message_bytes);
    if (has_entries && m.entries.empty()) {  // storage cannot give them any more
        send_snapshot(to, p);
        return false;
    }
    m.commit = log_.commit();
    const Index last = m.entries.empty() ? m.index : m.entries.back().index;
    p.sent_commit = std::max(p.sent_commit, std::min(m.commit, last));
    if (p.state == Progress::State::kProbe) {
        p.probe_sent = true;
    } else if (has_entries) {
        p.next = last + 1;
        p.window.add(last, m.cost());
    }
    send(std::move(m));
    return has_entries;
}

void Core::send_snapshot(NodeId to, Progress& p) {
    if (!p.alive()) {
        // Nobody has answered: streaming to a dead member would only pin resources.
        p.probe_sent = true;
        return;
    }
    ++counters_.snapshots_wanted;
    p.become_snapshot();
    snapshots_.push_back(to);
}

void Core::snapshot_finished(NodeId peer, Position position, bool ok) {
    const auto it = progress_.find(peer);
    if (it == progress_.end() || it->second.state != Progress::State::kSnapshot) return;
    Progress& p = it->second;
    p.become_probe(ok ? std::max(position.index, p.match) + 1 : p.match + 1);
    // The next heartbeat's answer goes on: by then the snapshot is installed, or the failed stream
    // is not repeated too fast.
    p.probe_sent = true;
}

void Core::broadcast_heartbeat() {
    if (read_round_wanted_ || needs_new_round()) start_read_round();
    round_sent();
    for (auto& [id, p] : progress_) {
        if (id == options_.id) continue;
        Message m = make(MessageType::kHeartbeat, id);
        m.commit = std::min(p.match, log_.commit());
        m.context = read_sequence_;
        p.sent_commit = std::max(p.sent_commit, m.commit);
        send(std::move(m));
    }
}

// Followers should apply soon: their clients wait for it.
void Core::tell_commit(NodeId to, Progress& p) {
    const Index known = std::min(p.match, log_.commit());
    if (known <= p.sent_commit || to == options_.id) return;
    p.sent_commit = known;
    Message m = make(MessageType::kCommit, to);
    m.commit = known;
    send(std::move(m));
}

// ------------------------------------------------------------------ commit

// Only an entry of the own term is committed by counting; those before it follow (§3.6.2).
bool Core::maybe_commit() {
    Index index = quorum_value([](const Progress& p) { return p.match; });
    if (base::planted(base::PlantedBug::kCommitWithoutQuorum)) index = log_.stable();
    if (base::planted(base::PlantedBug::kLearnerCounts)) {
        std::vector<Index> all;
        for (const auto& [id, p] : progress_)
            all.push_back(p.match);
        std::sort(all.rbegin(), all.rend());
        index = all[config().voters() / 2];
    }
    const bool of_this_term =
        log_.term(index) == hard_.term || base::planted(base::PlantedBug::kCommitOldTerm);
    if (index <= log_.commit() || !of_this_term) return false;
    log_.commit_to(index);
    return true;
}

void Core::committed_more() {
    while (!uncommitted_.empty() && uncommitted_.front().first <= log_.commit()) {
        uncommitted_bytes_ -= uncommitted_.front().second;
        uncommitted_.pop_front();
    }
    reads_may_start();
    if (log_.config_index() <= log_.commit()) config_committed();
    if (role_ != Role::kLeader) return;
    for (auto& [id, p] : progress_)
        tell_commit(id, p);
}

// ------------------------------------------------------------------ the follower

void Core::handle_append(Message& m) {
    if (role_ == Role::kLeader) return malformed();  // two leaders in a term: someone lies
    follow(m.from);
    Message answer = make(MessageType::kAppendResponse, m.from);
    if (m.index < log_.base().index) {
        // All up to the commit index is known to agree.
        answer.index = log_.commit();
        return send_after_write(std::move(answer));
    }
    if (!log_.matches({m.index, m.log_term})) {
        ++counters_.append_rejected;
        answer.reject = true;
        answer.index = m.index;
        answer.hint = log_.conflict_hint(m.index, m.log_term);
        answer.log_term = log_.term(answer.hint).value_or(Term(0));
        return send(std::move(answer));
    }
    const Index last = m.index + m.entries.size();
    std::size_t known = 0;
    while (known < m.entries.size() &&
           log_.matches({m.entries[known].index, m.entries[known].term}))
        ++known;
    if (known < m.entries.size()) {
        const Index from = m.entries[known].index;
        if (from <= log_.commit()) return malformed();  // contradicts what is committed
        m.entries.erase(m.entries.begin(), m.entries.begin() + static_cast<std::ptrdiff_t>(known));
        if (from <= log_.last_index()) ++counters_.truncations;
        while (!entries_.empty() && entries_.back().index >= from)
            entries_.pop_back();
        const Index config_before = log_.config_index();
        log_.append(m.entries);
        if (log_.config_index() != config_before) config_in_force();
        entries_.insert(entries_.end(), m.entries.begin(), m.entries.end());
    }
    log_.commit_to(std::max(log_.commit(), std::min(m.commit, last)));
    answer.index = last;
    if (base::planted(base::PlantedBug::kAcknowledgeBeforeDurable)) return send(std::move(answer));
    send_after_write(std::move(answer));
}

void Core::handle_heartbeat(const Message& m) {
    if (role_ == Role::kLeader) return malformed();
    follow(m.from);
    handle_commit(m);
    Message answer = make(MessageType::kHeartbeatResponse, m.from);
    answer.context = m.context;
    answer.priority = options_.priority;
    promise(&answer);
    send(std::move(answer));
}

void Core::handle_commit(const Message& m) {
    if (role_ == Role::kLeader) return malformed();
    if (m.type == MessageType::kCommit) follow(m.from);
    if (m.commit > log_.last_index()) return malformed();
    log_.commit_to(m.commit);
}

void Core::handle_snapshot(const Message& m) {
    if (role_ == Role::kLeader) return malformed();
    follow(m.from);
    auto meta = m.payload ? decode_config_entry(*m.payload) : std::nullopt;
    if (!meta || m.index == Index(0)) return malformed();
    Message answer = make(MessageType::kAppendResponse, m.from);
    const Position position{m.index, m.log_term};
    if (position.index <= log_.commit()) {
        answer.index = log_.commit();
    } else if (log_.matches(position)) {
        log_.commit_to(position.index);
        answer.index = position.index;
    } else {
        ++counters_.snapshots_installed;
        log_.restore(position, meta->config);
        entries_.clear();
        install_ = Effects::Install{position, std::move(meta->config)};
        emitted_ = applied_ = position.index;
        config_in_force();
        answer.index = position.index;
    }
    send_after_write(std::move(answer));
}

// ------------------------------------------------------------------ the leader hears

void Core::handle_append_response(const Message& m) {
    if (role_ != Role::kLeader) return;
    const auto it = progress_.find(m.from);
    if (it == progress_.end()) return;
    Progress& p = it->second;
    p.active = true;
    if (m.reject) return handle_append_reject(m.from, p, m);
    if (m.index > log_.last_index()) return malformed();
    if (m.index < p.match && p.state == Progress::State::kReplicate) return;
    const bool was_paused = p.paused();
    p.match = std::max(p.match, m.index);
    p.next = std::max(p.next, p.match + 1);
    if (p.state == Progress::State::kReplicate) {
        p.window.free_to(p.match);
    } else if (p.state == Progress::State::kProbe || log_.term(p.match)) {
        p.become_replicate();
    }
    if (maybe_commit()) committed_more();
    if (role_ != Role::kLeader) return;
    const auto again = progress_.find(m.from);  // a committed removal may have ended it
    if (again == progress_.end()) return;
    tell_commit(m.from, again->second);
    send_append(m.from, again->second, was_paused && again->second.next <= log_.last_index());
    if (m.from == transferee_ && again->second.match == log_.last_index())
        send(make(MessageType::kTimeoutNow, m.from));
}

void Core::handle_append_reject(NodeId from, Progress& p, const Message& m) {
    ++counters_.append_rejected;
    if (p.state == Progress::State::kSnapshot) return;
    if (p.state == Progress::State::kReplicate) {
        if (m.index <= p.match) return;  // an old one
        p.become_probe(p.match + 1);
        return send_append(from, p, true);
    }
    if (m.index != p.next - 1) return;  // an old one
    // The longest part of our log that can agree with a log that ends at the hint.
    Index agree = std::min(m.hint, m.index);
    agree = log_.conflict_hint(agree, m.log_term);
    const Index next = std::max(p.match + 1, std::min(m.index, agree + 1));
    // It has lost what it acknowledged, and will say so again for as long as it is asked: with each
    // heartbeat then, not at once.
    if (next == p.next) return;
    p.next = next;
    p.probe_sent = false;
    send_append(from, p, true);
}

void Core::handle_heartbeat_response(const Message& m) {
    if (role_ != Role::kLeader) return;
    const auto it = progress_.find(m.from);
    if (it == progress_.end()) return;
    Progress& p = it->second;
    p.active = true;
    p.probe_sent = false;
    p.priority = m.priority;
    if (m.context > read_sequence_) return malformed();
    if (m.lease && m.context > p.lease_ack) {
        p.lease_ack = m.context;
        renew_lease();
    }
    if (m.context > p.read_ack) {
        p.read_ack = m.context;
        release_reads();
    }
    // Something may have been lost on the way: an empty append at the end of the pipeline makes the
    // follower say so.
    if (p.state == Progress::State::kReplicate && p.window.full()) p.window.free_first();
    if (p.match < log_.last_index() || p.state == Progress::State::kProbe)
        send_append(m.from, p, true);
}

// ------------------------------------------------------------------ reads (thesis §6.4)
// Here because a read round is a heartbeat round counted like a commit.

void Core::release_reads() {
    if (reads_.empty()) return;
    const auto own = progress_.find(options_.id);  // none where we only lead to our own removal
    const Progress* self = own == progress_.end() ? nullptr : &own->second;
    const std::uint64_t confirmed =
        quorum_value([&](const Progress& p) { return &p == self ? read_sequence_ : p.read_ack; });
    while (!reads_.empty() && reads_.front().sequence <= confirmed) {
        const PendingRead& read = reads_.front();
        answer_read(read.from, read.context, read.index);
        reads_.pop_front();
    }
    if (read_round_wanted_) {
        start_read_round();
        heartbeat_elapsed_ = 0;
        broadcast_heartbeat();
    }
}

}  // namespace raft
