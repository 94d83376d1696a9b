// Elections: timers, pre-vote, votes, terms (thesis §3.4, §4.2.3, §9.6).

#include <algorithm>

#include "base/check.h"
#include "base/planted.h"
#include "raft/core/core.h"

namespace raft {

void Core::reset_election_timer(std::uint32_t low, std::uint32_t high) {
    election_elapsed_ = 0;
    election_timeout_ = static_cast<std::uint32_t>(random_.between(low, high));
}

void Core::tick_follower() {
    if (++election_elapsed_ < election_timeout_ || promised()) return;
    if (!may_campaign()) {
        leader_ = kNobody;
        return reset_election_timer(options_.election_ticks, 2 * options_.election_ticks);
    }
    campaign(true, false);
}

// A voter whose removal is not known to be committed still campaigns: it may be the only one that
// has the entry, and then nobody else can win (thesis §4.2.2). Its own vote does not count.
bool Core::may_campaign() const {
    if (repairing()) return false;
    if (config().is_voter(options_.id)) return true;
    for (Index i = log_.commit(); i < log_.config_index(); i = *log_.next_config_after(i))
        if (log_.config_at(i).is_voter(options_.id)) return true;
    return false;
}

// A leader's word within the minimal election timeout is a lease: until it ends nobody here helps
// to depose it.
bool Core::heard_from_leader() const {
    if (role_ == Role::kLeader) return true;
    return leader_ != kNobody && !leader_lost_ && election_elapsed_ + 1 < options_.election_ticks;
}

void Core::become_follower(Term term, NodeId leader) {
    CHECK(term >= hard_.term);
    if (term > hard_.term) hard_ = {term, kNobody};
    if (role_ == Role::kLeader) {
        progress_.clear();
        seen_.clear();
        reads_.clear();
        early_reads_.clear();
        read_round_wanted_ = false;
        forget_lease();
        transferee_ = kNobody;
        uncommitted_.clear();
        uncommitted_bytes_ = 0;
    }
    role_ = Role::kFollower;
    leader_ = leader;
    leader_lost_ = false;
    votes_.clear();
    reset_election_timer(options_.election_ticks, 2 * options_.election_ticks);
}

// A message from the leader of the current term.
void Core::follow(NodeId leader) {
    if (role_ != Role::kFollower || leader_ != leader) return become_follower(hard_.term, leader);
    election_elapsed_ = 0;
    leader_lost_ = false;
}

void Core::request_votes(MessageType type, Term term, bool force) {
    for (const Peer& peer : config().members()) {
        if (peer.learner || peer.id == options_.id) continue;
        Message m = make(type, peer.id);
        m.term = term;
        m.index = log_.last_index();
        m.log_term = log_.last_term();
        m.force = force;
        // A vote for oneself must be durable before anybody hears of it; a pre-vote promises
        // nothing.
        if (type == MessageType::kVote) {
            send_after_write(std::move(m));
        } else {
            send(std::move(m));
        }
    }
}

void Core::campaign(bool pre_vote, bool force) {
    if (!may_campaign() || (promised() && !force)) return;
    ++counters_.campaigns;
    if (!pre_vote) return become_candidate(force);
    role_ = Role::kPreCandidate;
    leader_ = kNobody;
    leader_lost_ = false;
    votes_.clear();
    votes_[options_.id] = true;
    // Short: two that collide try again soon, at different moments.
    reset_election_timer(options_.heartbeat_ticks, 3 * options_.heartbeat_ticks);
    request_votes(MessageType::kPreVote, hard_.term + 1, false);
    count_votes();
}

void Core::become_candidate(bool force) {
    role_ = Role::kCandidate;
    leader_ = kNobody;
    leader_lost_ = false;
    hard_ = {hard_.term + 1, options_.id};
    votes_.clear();  // the own one counts when it is durable
    reset_election_timer(options_.election_ticks / 2, options_.election_ticks);
    request_votes(MessageType::kVote, hard_.term, force);
}

void Core::count_votes() {
    const auto voted = [this](NodeId id, bool grant) {
        const auto it = votes_.find(id);
        return it != votes_.end() && it->second == grant;
    };
    if (config().majority([&](NodeId id) { return voted(id, true); })) {
        if (role_ == Role::kPreCandidate) return become_candidate(false);
        return become_leader();
    }
    if (!config().majority([&](NodeId id) { return !voted(id, false); })) {
        become_follower(hard_.term, kNobody);
        reset_election_timer(options_.heartbeat_ticks, 3 * options_.heartbeat_ticks);
    }
}

void Core::become_leader() {
    CHECK(role_ == Role::kCandidate && hard_.vote == options_.id);
    ++counters_.elections_won;
    role_ = Role::kLeader;
    leader_ = options_.id;
    votes_.clear();
    heartbeat_elapsed_ = quorum_elapsed_ = 0;
    uncommitted_.clear();
    uncommitted_bytes_ = 0;
    read_sequence_ = 0;
    forget_lease();
    begin_priority();
    term_start_ = log_.last_index() + 1;
    progress_.clear();
    seen_.clear();
    config_in_force();
    append_own(EntryType::kData, nullptr);
    broadcast_append();
}

// Compares terms. False: the message is dealt with.
bool Core::handle_terms(Message& m) {
    if (m.term > hard_.term) {
        const bool asks_vote = m.type == MessageType::kPreVote || m.type == MessageType::kVote;
        if (asks_vote && !m.force && (heard_from_leader() || promised())) {
            if (m.type == MessageType::kPreVote) {
                Message no = make(MessageType::kPreVoteResponse, m.from);
                no.reject = true;
                send(std::move(no));
            }
            return false;
        }
        if (m.type == MessageType::kPreVote) return true;  // promises nothing, changes nothing
        if (m.type == MessageType::kPreVoteResponse && !m.reject) return true;
        const bool from_leader = m.type == MessageType::kAppend ||
                                 m.type == MessageType::kHeartbeat ||
                                 m.type == MessageType::kCommit || m.type == MessageType::kSnapshot;
        become_follower(m.term, from_leader ? m.from : kNobody);
        return true;
    }
    if (m.term == hard_.term) return true;
    switch (m.type) {
        case MessageType::kAppend:
        case MessageType::kHeartbeat:
        case MessageType::kSnapshot:
            // A deposed leader that does not know it yet, and may hold us stuck with its pre-vote
            // protection: tell it the term.
            send(make(MessageType::kHeartbeatResponse, m.from));
            break;
        case MessageType::kPreVote: {
            Message no = make(MessageType::kPreVoteResponse, m.from);
            no.reject = true;
            send(std::move(no));
            break;
        }
        default:
            break;
    }
    return false;
}

// Two that ask for pre-votes at the same moment would both go on and split the vote. The one with
// the lower id steps back; the other mostly refuses (not always: it may be unable to win itself).
bool Core::yields_to(const Message& m) {
    const bool equal = m.index == log_.last_index() && m.log_term == log_.last_term();
    if (equal && m.from < options_.id && random_.chance(3, 4)) return false;
    become_follower(hard_.term, kNobody);
    reset_election_timer(2 * options_.heartbeat_ticks, 4 * options_.heartbeat_ticks);
    return true;
}

void Core::handle_vote_request(const Message& m) {
    const bool pre = m.type == MessageType::kPreVote;
    const bool free_vote = hard_.vote == m.from || (hard_.vote == kNobody && leader_ == kNobody) ||
                           (pre && m.term > hard_.term);
    bool grant = free_vote && !repairing() && (m.force || !promised()) &&
                 (log_.is_up_to_date({m.index, m.log_term}) ||
                  base::planted(base::PlantedBug::kVoteForOldLog));
    if (pre && grant && role_ == Role::kPreCandidate) grant = yields_to(m);
    Message answer = make(pre ? MessageType::kPreVoteResponse : MessageType::kVoteResponse, m.from);
    answer.reject = !grant;
    if (grant) answer.term = m.term;
    if (pre) return send(std::move(answer));
    if (grant) {
        hard_.vote = m.from;
        election_elapsed_ = 0;
    }
    if (base::planted(base::PlantedBug::kVoteNotSynced)) return send(std::move(answer));
    send_after_write(std::move(answer));
}

void Core::handle_vote_response(const Message& m) {
    const bool pre = m.type == MessageType::kPreVoteResponse;
    if (pre ? role_ != Role::kPreCandidate : role_ != Role::kCandidate) return;
    // A granted pre-vote is about the term we would campaign in.
    if (pre && !m.reject && m.term != hard_.term + 1) return;
    votes_[m.from] = !m.reject;
    count_votes();
}

void Core::handle_timeout_now(const Message& m) {
    if (m.from != leader_ || role_ != Role::kFollower) return;
    campaign(false, true);
}

void Core::unreachable(NodeId peer) {
    if (role_ == Role::kLeader) {
        const auto it = progress_.find(peer);
        if (it != progress_.end() && it->second.state == Progress::State::kReplicate)
            it->second.become_probe(it->second.match + 1);
        return;
    }
    if (peer != leader_ || role_ != Role::kFollower || leader_lost_) return;
    // Most likely its process is gone. Ask the others soon; while they still hear it, they refuse.
    leader_lost_ = true;
    const auto soon =
        static_cast<std::uint32_t>(random_.between(1, std::uint64_t{2} * options_.heartbeat_ticks));
    election_timeout_ = std::min(election_timeout_, election_elapsed_ + soon);
}

}  // namespace raft
