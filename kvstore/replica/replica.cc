#include "kvstore/replica/replica.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/log.h"
#include "base/planted.h"
#include "kvstore/replica/errors.h"
#include "kvstore/replica/member_codec.h"
#include "kvstore/replica/replica_impl.h"

namespace kvstore {

using raft::Index;
using raft::NodeId;
using raft::Position;
using raft::Reject;
using raft::Term;

namespace {

constexpr std::size_t kMaxProposalBytes = 8U << 20U;
constexpr base::Millis kReadRetry{250};
constexpr base::Millis kHousekeeping{1000};

// Request numbers that no earlier run of this member has used.
std::uint64_t first_number(std::uint64_t seed) {
    return (base::Random(seed).next() >> 2U) | 1U;
}

}  // namespace

Replica::Impl::Impl(ReplicaOptions o, StateMachine& m, Environment e)
    : options(std::move(o)),
      machine(m),
      env(e),
      proposals(options.id, first_number(options.seed)),
      reads(first_number(options.seed + 1)),
      last_change(first_number(options.seed + 2)) {}

Replica::Impl::~Impl() {
    *alive = false;
    alive.reset();
    env.clock->cancel();
    env.peers->stop();
    env.disk->on_trouble(nullptr);
    stopping = true;
    fail_all(errors::stopped());
}

void Replica::Impl::later(base::UniqueFunction<void()> f) {
    env.clock->defer([weak = std::weak_ptr<bool>(alive), f = std::move(f)]() mutable {
        if (!weak.expired()) f();
    });
}

// ------------------------------------------------------------------ the pump

void Replica::Impl::pump() {
    if (pumping || installing || !started || stopping) return;
    pumping = true;
    while (!installing && !stopping && core->has_effects())
        carry_out(core->take());
    pumping = false;
    announce_role();
}

void Replica::Impl::carry_out(raft::Effects effects) {
    for (raft::Message& m : effects.messages)
        env.peers->send(std::move(m));
    if (effects.config_changed) {
        peers_update_at = now();
        update_peers();
        const auto list = to_members(core->config());
        for (const auto& f : member_observers)
            f(list);
    }
    if (effects.status) status_changed();
    if (effects.repaired) {
        LOG_INFO("replica", "repaired: this member has all that is committed, and votes again");
        wal->forget_damage();
    }
    for (const auto& read : effects.reads)
        reads.answered(read.context, read.index);
    for (const auto& r : effects.rejected)
        rejected(r);
    for (const NodeId to : effects.snapshots)
        send_snapshot(to);
    if (effects.install) return install(std::move(effects));
    write(&effects);
    apply(std::move(effects.committed));
    serve_reads();
}

void Replica::Impl::write(raft::Effects* effects) {
    if (effects->ticket == 0) return;
    wal->append(effects->hard_state, effects->entries, core->log().commit(),
                [this, ticket = effects->ticket] { written(ticket); });
}

void Replica::Impl::written(std::uint64_t ticket) {
    core->storage_done(ticket);
    pump();
}

// A lease needs the time as it is, before each input that could use or renew it.
void Replica::Impl::tell_time() {
    if (options.lease_reads) core->set_clock(static_cast<std::uint64_t>(now().count()));
}

void Replica::Impl::on_tick() {
    if (!started || stopping) return;
    ++ticks;
    tell_time();
    core->tick();
    const base::Millis t = now();
    expire(t);
    // Anything that could not be sent waits for a leader.
    std::vector<std::uint64_t> waiting;
    for (const auto& [sequence, change] : changes)
        if (change.waiting) waiting.push_back(sequence);
    for (const std::uint64_t sequence : waiting)
        try_change(sequence);
    if (reads.size() > 0) reads.unask_before(t - kReadRetry);
    flush();
    if (ticks % ticks_of(kHousekeeping) == 0) {
        maybe_compact();
        if (peers_update_at != base::Millis{0} && t - peers_update_at > kHousekeeping) {
            peers_update_at = base::Millis{0};
            update_peers();
        }
    }
    pump();
}

void Replica::Impl::expire(base::Millis t) {
    const base::Error error =
        core->leader() == raft::kNobody ? errors::timeout_leader_failed() : errors::timeout();
    for (auto& done : proposals.take_expired(t))
        done(error);
    if (reads.size() > 0)
        for (auto& done : reads.take_expired(t))
            done(error);
    for (auto& done : take_changes([t](const PendingChange& c) { return c.deadline <= t; }))
        done(error);
    std::vector<DoneCallback> late_transfers;
    std::erase_if(transfers, [&](PendingTransfer& transfer) {
        if (transfer.deadline > t) return false;
        late_transfers.push_back(std::move(transfer.done));
        return true;
    });
    for (auto& done : late_transfers)
        done(error);
}

void Replica::Impl::schedule_flush() {
    if (flush_scheduled) return;
    flush_scheduled = true;
    later([this] {
        flush_scheduled = false;
        flush();
        pump();
    });
}

void Replica::Impl::flush() {
    if (!started || stopping || core->leader() == raft::kNobody) return;
    flush_proposals();
    flush_reads();
}

void Replica::Impl::flush_proposals() {
    while (proposals.has_unsent()) {
        auto batch = proposals.next_batch(options.max_batch_bytes, core->term());
        if (batch.count == 0) return;
        const Reject reject = core->propose(
            std::make_shared<const std::string>(std::move(batch.payload)), batch.context);
        if (reject == Reject::kNone) continue;
        proposals.unsend(batch.context);
        return;  // at a later tick, or when the leader changes
    }
}

void Replica::Impl::flush_reads() {
    const std::uint64_t context = reads.next_context(now());
    if (context != 0) tell_time();
    if (context != 0 && core->read_index(context) != Reject::kNone) reads.unask(context);
}

void Replica::Impl::status_changed() {
    const NodeId leader = core->leader();
    const Term term = core->term();
    if (leader == known_leader && term == known_term) return;
    const bool other_leader = leader != known_leader || leader != raft::kNobody;
    known_leader = leader;
    known_term = term;
    if (leader != raft::kNobody) {
        LOG_INFO("replica", "leader {:x} at term {}{}", leader, term,
                 leader == options.id ? " (this member)" : "");
        if (base::planted(base::PlantedBug::kProposalTwice)) proposals.lost_before(term);
        // What was asked of an earlier leader will not be answered.
        reads.unask_before(base::Millis::max());
        schedule_flush();
    } else {
        LOG_INFO("replica", "no leader at term {}", term);
    }
    std::vector<DoneCallback> moved;
    std::erase_if(transfers, [&](PendingTransfer& t) {
        const bool done = t.target == raft::kNobody ? leader != raft::kNobody && leader != t.from
                                                    : leader == t.target;
        if (done) moved.push_back(std::move(t.done));
        return done;
    });
    for (auto& done : moved)
        done({});
    if (other_leader)
        for (const auto& f : leader_observers)
            f(leader, term);
}

void Replica::Impl::announce_role() {
    const bool leads = core->is_leader() && machine.applied().index >= core->term_start();
    const std::pair<bool, Term> role{leads, core->term()};
    if (role == announced) return;
    announced = role;
    for (const auto& f : role_observers)
        f(leads, role.second);
}

void Replica::Impl::update_peers() {
    std::map<NodeId, raft::PeerAddress> wanted;
    const auto add = [&](const raft::Config& config) {
        for (const raft::Peer& peer : config.members())
            if (peer.id != options.id) wanted[peer.id] = {peer.id, to_member(peer).peer_urls};
    };
    // A member that was just removed is still told so.
    if (peers_update_at != base::Millis{0})
        for (const raft::PeerAddress& address : addresses)
            wanted[address.id] = address;
    add(core->config());
    if (core->config().peers.empty())
        for (const Member& member : options.join_members)
            wanted[member.id] = {member.id, member.peer_urls};
    std::vector<raft::PeerAddress> list;
    for (auto& [id, address] : wanted)
        list.push_back(std::move(address));
    if (list == addresses) return;
    addresses = list;
    env.peers->set_peers(std::move(list));
}

void Replica::Impl::on_message(raft::Message message) {
    // A snapshot counts only at the end of its own stream.
    if (!started || stopping || message.type == raft::MessageType::kSnapshot) return;
    tell_time();
    core->step(std::move(message));
    pump();
}

void Replica::Impl::on_unreachable(NodeId peer) {
    if (!started || stopping) return;
    core->unreachable(peer);
    pump();
}

// ------------------------------------------------------------------ requests

void Replica::Impl::propose(std::string payload, bool alone, ProposeCallback done) {
    if (stopping) return later([done = std::move(done)]() mutable { done(errors::stopped()); });
    const auto refuse = [&](base::Error error) {
        later([done = std::move(done), error = std::move(error)]() mutable { done(error); });
    };
    if (payload.size() > kMaxProposalBytes) return refuse(errors::request_too_large());
    if (storage_full) return refuse(errors::no_space());
    if (proposals.size() >= options.max_pending_requests ||
        proposals.bytes() + payload.size() > options.max_pending_bytes)
        return refuse(errors::too_many_requests());
    proposals.add(std::move(payload), alone, now() + options.request_timeout, std::move(done));
    schedule_flush();
}

void Replica::Impl::read_index(ReadCallback done) {
    const auto refuse = [&](base::Error error) {
        later([done = std::move(done), error = std::move(error)]() mutable { done(error); });
    };
    if (stopping) return refuse(errors::stopped());
    if (reads.size() >= options.max_pending_requests) return refuse(errors::too_many_requests());
    reads.add(now() + options.request_timeout, std::move(done));
    schedule_flush();
}

void Replica::Impl::transfer_leadership(NodeId target, DoneCallback done) {
    const auto answer = [&](base::Status status) {
        later([done = std::move(done), status = std::move(status)]() mutable { done(status); });
    };
    if (stopping) return answer(errors::stopped());
    if (core->leader() == raft::kNobody) return answer(errors::no_leader());
    if (target == core->leader()) return answer({});
    if (target != raft::kNobody && !core->config().stays_voter(target))
        return answer(
            base::Error(base::Code::kFailedPrecondition, "etcdserver: bad leader transferee"));
    const NodeId from = core->leader();
    if (const Reject reject = core->transfer(target); reject != Reject::kNone)
        return answer(errors::of(reject));
    transfers.push_back({from, target, std::move(done), now() + 4 * options.election_min});
    later([this] { pump(); });
}

void Replica::Impl::change_membership(const std::vector<MembershipChange>& list,
                                      MembersCallback done) {
    if (stopping) return later([done = std::move(done)]() mutable { done(errors::stopped()); });
    PendingChange pending;
    for (const MembershipChange& change : list)
        pending.changes.push_back(
            {static_cast<raft::ChangeKind>(change.kind), to_peer(change.member)});
    pending.done = std::move(done);
    pending.deadline = now() + options.request_timeout;
    const std::uint64_t sequence = ++last_change;
    changes.emplace(sequence, std::move(pending));
    later([this, sequence] {
        try_change(sequence);
        pump();
    });
}

void Replica::Impl::try_change(std::uint64_t sequence) {
    const auto it = changes.find(sequence);
    if (it == changes.end()) return;
    PendingChange& change = it->second;
    change.waiting = false;
    change.context = ++last_change;
    change.term = core->term();
    const Reject reject =
        core->propose_config({{options.id, sequence}, change.changes}, change.context);
    if (reject != Reject::kNone)
        rejected({change.context, raft::MessageType::kProposeConfig, reject});
}

void Replica::Impl::rejected(const raft::Effects::Rejected& r) {
    if (r.type == raft::MessageType::kPropose) {
        proposals.unsend(r.context);  // tried again at the next tick
        return;
    }
    const auto it = std::find_if(changes.begin(), changes.end(), [&](const auto& entry) {
        return entry.second.context == r.context;
    });
    if (it == changes.end()) return;
    if (r.reason == Reject::kChangePending || r.reason == Reject::kTransferring ||
        r.reason == Reject::kNotLeader) {
        it->second.waiting = true;
        return;
    }
    MembersCallback done = std::move(it->second.done);
    changes.erase(it);
    done(errors::of(r.reason));
}

// As with proposals: an entry of `term` is applied, so what was asked of earlier leaders and was
// not applied until now never will be.
void Replica::Impl::lost_changes_before(Term term) {
    for (auto& [sequence, change] : changes)
        if (change.term < term) change.waiting = true;
}

std::vector<Replica::MembersCallback> Replica::Impl::take_changes(
    const std::function<bool(const PendingChange&)>& chosen) {
    std::vector<MembersCallback> out;
    for (auto it = changes.begin(); it != changes.end();) {
        if (!chosen(it->second)) {
            ++it;
            continue;
        }
        out.push_back(std::move(it->second.done));
        it = changes.erase(it);
    }
    return out;
}

void Replica::Impl::fail_all(const base::Error& error) {
    for (auto& done : proposals.take_all())
        done(error);
    for (auto& done : reads.take_all())
        done(error);
    auto all_changes = std::exchange(changes, {});
    for (auto& [sequence, change] : all_changes)
        change.done(error);
    auto all_transfers = std::exchange(transfers, {});
    for (auto& transfer : all_transfers)
        transfer.done(error);
}

// ------------------------------------------------------------------ the public face

base::Result<std::unique_ptr<Replica>> Replica::open(ReplicaOptions options, StateMachine& machine,
                                                     Environment environment) {
    auto impl = std::make_unique<Impl>(std::move(options), machine, environment);
    TRY_VOID(impl->open());
    return std::unique_ptr<Replica>(new Replica(std::move(impl)));
}

Replica::Replica(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Replica::~Replica() = default;

void Replica::propose(std::string payload, ProposeCallback done, bool alone) {
    impl_->propose(std::move(payload), alone, std::move(done));
}
void Replica::read_index(ReadCallback done) {
    impl_->read_index(std::move(done));
}
NodeId Replica::id() const {
    return impl_->options.id;
}
std::uint64_t Replica::cluster_id() const {
    return impl_->options.cluster_id;
}
NodeId Replica::leader() const {
    return impl_->core->leader();
}
Term Replica::term() const {
    return impl_->core->term();
}
bool Replica::is_leader() const {
    return impl_->core->is_leader();
}
raft::Role Replica::role() const {
    return impl_->core->role();
}
bool Replica::is_learner() const {
    const raft::Config& config = impl_->core->config();
    return config.find(impl_->options.id) != nullptr && !config.is_voter(impl_->options.id);
}
std::vector<Member> Replica::members() const {
    return to_members(impl_->core->config());
}
Index Replica::applied_index() const {
    return impl_->machine.applied().index;
}
Index Replica::committed_index() const {
    return impl_->core->log().commit();
}
std::uint64_t Replica::log_bytes() const {
    return impl_->wal->bytes();
}
void Replica::transfer_leadership(NodeId target, DoneCallback done) {
    impl_->transfer_leadership(target, std::move(done));
}
void Replica::change_membership(const MembershipChange& change, MembersCallback done) {
    impl_->change_membership({change}, std::move(done));
}
void Replica::change_membership(const std::vector<MembershipChange>& changes,
                                MembersCallback done) {
    impl_->change_membership(changes, std::move(done));
}
void Replica::on_leader_change(std::function<void(NodeId, Term)> f) {
    impl_->leader_observers.push_back(std::move(f));
}
void Replica::on_role(std::function<void(bool, Term)> f) {
    impl_->role_observers.push_back(std::move(f));
}
void Replica::on_members_change(std::function<void(const std::vector<Member>&)> f) {
    impl_->member_observers.push_back(std::move(f));
}
void Replica::on_storage_state(std::function<void(base::Status)> f) {
    impl_->storage_observers.push_back(std::move(f));
}

const ReplicaCounters& Replica::counters() const {
    return impl_->counters;
}
const raft::Core& Replica::core() const {
    return *impl_->core;
}

void Replica::stop(base::UniqueFunction<void()> stopped) {
    auto finish = [impl = impl_.get(), stopped = std::move(stopped)]() mutable {
        impl->stopping = true;
        impl->env.clock->cancel();
        impl->env.peers->stop();
        impl->fail_all(errors::stopped());
        if (stopped) stopped();
    };
    if (!impl_->core->is_leader() || impl_->core->config().voters() < 2)
        return impl_->later(std::move(finish));
    impl_->transfer_leadership(
        raft::kNobody, [impl = impl_.get(), finish = std::move(finish)](base::Status) mutable {
            if (impl->stopping) return;
            impl->later(std::move(finish));
        });
}

}  // namespace kvstore
