// Proposals, membership (thesis §4) and leader transfer (§3.10).

#include <algorithm>

#include "base/check.h"
#include "raft/core/core.h"

namespace raft {

// ------------------------------------------------------------------ proposals

Reject Core::propose(Payload payload, std::uint64_t context) {
    if (role_ == Role::kLeader) {
        if (transferee_ != kNobody) return Reject::kTransferring;
        if (uncommitted_bytes_ > options_.max_uncommitted_bytes) return Reject::kBusy;
        append_own(EntryType::kData, std::move(payload));
        broadcast_append();
        return Reject::kNone;
    }
    if (leader_ == kNobody) return Reject::kNotLeader;
    Message m = make(MessageType::kPropose, leader_);
    m.context = context;
    m.payload = std::move(payload);
    send(std::move(m));
    return Reject::kNone;
}

bool Core::SeenRequests::add(std::uint64_t context) {
    constexpr std::size_t kMaxSeen = 8192;
    if (!set_.insert(context).second) return false;
    order_.push_back(context);
    if (order_.size() > kMaxSeen) {
        set_.erase(order_.front());
        order_.pop_front();
    }
    return true;
}

// Only the leader of the request's term refuses one: it knows what it has taken. A deposed one may
// have taken another copy of the request, and stays silent; its member proposes it again once it
// has applied an entry of a later term.
void Core::reply_reject(const Message& m, Reject reason) {
    Message answer = make(MessageType::kReject, m.from);
    answer.context = m.context;
    answer.reason = reason;
    answer.reject = m.type == MessageType::kProposeConfig;  // which kind of request it was
    send(std::move(answer));
}

void Core::handle_propose(const Message& m) {
    if (!m.payload || m.payload->empty()) return malformed();
    if (role_ != Role::kLeader || !seen_[m.from].add(m.context)) return;
    const Reject reason = propose(m.payload, m.context);
    if (reason != Reject::kNone) reply_reject(m, reason);
}

void Core::handle_reject(const Message& m) {
    rejected_.push_back(
        {m.context, m.reject ? MessageType::kProposeConfig : MessageType::kPropose, m.reason});
}

// ------------------------------------------------------------------ membership

Reject Core::propose_config(const ChangeRequest& request, std::uint64_t context) {
    if (role_ == Role::kLeader) return change_config(request);
    if (leader_ == kNobody) return Reject::kNotLeader;
    Message m = make(MessageType::kProposeConfig, leader_);
    m.context = context;
    m.payload = std::make_shared<const std::string>(encode(request));
    send(std::move(m));
    return Reject::kNone;
}

void Core::handle_propose_config(const Message& m) {
    const auto request = m.payload ? decode_change_request(*m.payload) : std::nullopt;
    if (!request) return malformed();
    if (role_ != Role::kLeader || !seen_[m.from].add(m.context)) return;
    const Reject reason = change_config(*request);
    if (reason != Reject::kNone) reply_reject(m, reason);
}

Reject Core::may_change(const std::vector<ConfigChange>& changes, const Config& after) const {
    bool removes = false;
    for (const ConfigChange& change : changes) {
        removes = removes || change.kind == ChangeKind::kRemove;
        if (change.kind != ChangeKind::kPromote) continue;
        const auto it = progress_.find(change.peer.id);  // none: it was added by the same request
        const std::uint64_t need = log_.last_index().value() - log_.last_index().value() / 10;
        if (it == progress_.end() || !it->second.alive() || it->second.match.value() < need)
            return Reject::kLearnerNotReady;
    }
    const auto alive = [this](NodeId id) {
        const auto it = progress_.find(id);
        return id == options_.id || (it != progress_.end() && it->second.alive());
    };
    if ((removes || after.joint()) && !after.majority(alive)) return Reject::kUnhealthy;
    return Reject::kNone;
}

Reject Core::change_config(const ChangeRequest& request) {
    if (transferee_ != kNobody) return Reject::kTransferring;
    // One at a time, and not before an entry of this term is committed: with less, two majorities
    // that do not intersect could exist (the thesis' published correction).
    if (log_.config_index() > log_.commit() || log_.commit() < term_start_)
        return Reject::kChangePending;
    Changed changed = apply_changes(config(), request.changes);
    if (changed.reject != Reject::kNone) return changed.reject;
    const Reject reason = may_change(request.changes, changed.config);
    if (reason != Reject::kNone) return reason;
    append_own(EntryType::kConfig, std::make_shared<const std::string>(encode(
                                       ConfigEntry{request.request, std::move(changed.config)})));
    config_in_force();
    broadcast_append();
    return Reject::kNone;
}

// Who asked for the joint membership in force; nobody where only a snapshot tells of it.
RequestId Core::joint_request() const {
    const Index at = log_.config_index();
    if (at == log_.base().index) return {};
    const std::vector<Entry> entry = log_.slice(at, at, options_.max_message_bytes);
    const auto decoded = entry.empty() ? std::nullopt : decode_config_entry(entry.front().data());
    return decoded ? decoded->request : RequestId{};
}

// The joint membership is committed: the voters before it are not needed any more.
void Core::finish_joint() {
    append_own(EntryType::kConfig, std::make_shared<const std::string>(encode(
                                       ConfigEntry{joint_request(), leave_joint(config())})));
    config_in_force();
    broadcast_append();
}

// The newest membership of the log changed.
void Core::config_in_force() {
    config_changed_ = true;
    if (role_ != Role::kLeader) return;
    for (const Peer& peer : config().members()) {
        const auto [it, added] = progress_.try_emplace(
            peer.id, log_.last_index() + 1,
            Window(options_.max_inflight_messages, options_.max_inflight_bytes));
        it->second.leaving = false;
        if (added && peer.id == options_.id) it->second.match = log_.stable();
        if (added) it->second.active = peer.id == options_.id || term_start_ > log_.commit();
    }
    for (auto& [id, p] : progress_)
        if (config().find(id) == nullptr) p.leaving = true;
    // Fewer voters may make a majority of what is there already.
    if (log_.last_index() >= term_start_ && maybe_commit()) committed_more();
}

void Core::config_committed() {
    for (auto it = progress_.begin(); it != progress_.end();) {
        if (!it->second.leaving) {
            ++it;
            continue;
        }
        // Its last message: that it is out.
        if (it->first != options_.id) {
            if (it->second.state != Progress::State::kSnapshot) {
                it->second.probe_sent = false;
                send_append(it->first, it->second, true);
            }
            tell_commit(it->first, it->second);
        }
        it = progress_.erase(it);
    }
    if (config().joint()) return finish_joint();
    if (config().is_voter(options_.id)) return;
    // We led our own removal to its end; someone else goes on.
    const NodeId successor = best_successor();
    if (successor != kNobody) send(make(MessageType::kTimeoutNow, successor));
    become_follower(hard_.term, kNobody);
}

// ------------------------------------------------------------------ transfer

NodeId Core::best_successor() const {
    NodeId best = kNobody;
    Index best_match;
    for (const Peer& peer : config().peers) {
        if (!config().stays_voter(peer.id) || peer.id == options_.id) continue;
        const Progress& p = progress_.at(peer.id);
        if (!p.alive()) continue;
        if (best == kNobody || p.match > best_match) {
            best = peer.id;
            best_match = p.match;
        }
    }
    return best;
}

Reject Core::transfer(NodeId target) {
    if (role_ == Role::kLeader) return start_transfer(target);
    if (leader_ == kNobody) return Reject::kNotLeader;
    Message m = make(MessageType::kTransfer, leader_);
    m.hint_node = target;
    send(std::move(m));
    return Reject::kNone;
}

void Core::handle_transfer(const Message& m) {
    if (role_ == Role::kLeader && start_transfer(m.hint_node) == Reject::kMalformed) malformed();
}

Reject Core::start_transfer(NodeId target) {
    if (target == kNobody) target = best_successor();
    if (target == options_.id) return Reject::kNone;
    if (target == kNobody || !config().stays_voter(target)) return Reject::kMemberNotFound;
    if (transferee_ == target) return Reject::kNone;
    ++counters_.transfers;
    lease_void_ = true;
    transferee_ = target;
    transfer_elapsed_ = 0;
    Progress& p = progress_.at(target);
    if (p.match == log_.last_index()) {
        send(make(MessageType::kTimeoutNow, target));
    } else {
        send_append(target, p, true);
    }
    return Reject::kNone;
}

}  // namespace raft
