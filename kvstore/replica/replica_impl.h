#pragma once
// The inside of a replica. opening.cc: from disk to a running core. replica.cc: the pump that
// carries out the core's effects, timers, the public methods. apply.cc: committed entries, waiters.
// snapshots.cc: streams in and out, compaction. Nothing outside kvstore/replica includes this.

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <vector>

#include "kvstore/replica/proposals.h"
#include "kvstore/replica/reads.h"
#include "kvstore/replica/replica.h"
#include "raft/core/core.h"
#include "raft/transport/peers.h"
#include "raft/wal/wal.h"

namespace kvstore {

struct Replica::Impl final : raft::PeerHandler {
    struct PendingChange {
        std::vector<raft::ConfigChange> changes;
        MembersCallback done;
        base::Millis deadline{0};
        std::uint64_t context = 0;  // of the last attempt
        raft::Term term;            // that it was made in
        bool waiting = false;       // not under way: proposed again at each tick
    };
    struct PendingTransfer {
        raft::NodeId from;
        raft::NodeId target;
        DoneCallback done;
        base::Millis deadline{0};
    };
    struct Incoming {
        raft::Message head;
        std::unique_ptr<SnapshotWriter> writer;
    };

    Impl(ReplicaOptions o, StateMachine& m, Environment e);
    ~Impl() override;

    // --- opening (opening.cc)
    base::Status open();
    base::Status reconcile(raft::WalRecovered* recovered);
    base::Status rebuild_log(raft::WalRecovered* recovered, const std::string& damage);
    void restart_log(raft::WalRecovered* recovered, raft::Config config);
    void bootstrap(raft::WalRecovered* recovered);
    void ready();

    // --- the pump (replica.cc)
    void pump();
    void carry_out(raft::Effects effects);
    void write(raft::Effects* effects);
    void written(std::uint64_t ticket);
    void on_tick();
    void tell_time();
    void expire(base::Millis now);
    void schedule_flush();
    void flush();
    void flush_proposals();
    void flush_reads();
    void status_changed();
    void announce_role();
    void update_peers();
    base::Millis now() const { return env.clock->now(); }
    // At least one.
    std::uint32_t ticks_of(base::Millis span) const {
        return static_cast<std::uint32_t>(std::max<std::int64_t>(1, span / options.tick));
    }
    void later(base::UniqueFunction<void()> f);

    // --- requests (replica.cc)
    void propose(std::string payload, bool alone, ProposeCallback done);
    void read_index(ReadCallback done);
    void transfer_leadership(raft::NodeId target, DoneCallback done);
    void change_membership(const std::vector<MembershipChange>& list, MembersCallback done);
    void try_change(std::uint64_t sequence);
    void rejected(const raft::Effects::Rejected& r);
    void lost_changes_before(raft::Term term);
    // Takes the chosen ones out; their callers are to be answered.
    std::vector<MembersCallback> take_changes(
        const std::function<bool(const PendingChange&)>& chosen);
    void fail_all(const base::Error& error);

    // --- applying (apply.cc)
    void apply(std::vector<raft::Entry> entries);
    void apply_from(std::size_t first);
    std::size_t apply_batch(std::size_t first);
    void apply_aside(std::size_t i, const Proposals::One& proposal);
    void await_room(std::size_t first);
    void hold();
    bool released();
    std::optional<Proposals::One> long_proposal(const raft::Entry& entry) const;
    void note_term(const raft::Entry& entry);
    void apply_entry(const raft::Entry& entry, std::vector<Proposals::Finished>* finished);
    void apply_config(const raft::Entry& entry);
    void serve_reads();

    // --- snapshots and compaction (snapshots.cc)
    void send_snapshot(raft::NodeId to);
    void install(raft::Effects effects);
    void installed(raft::Effects effects);
    void maybe_compact();
    // What of the log may go once the machine has everything up to `durable` on disk.
    raft::Index compaction_limit(raft::Index durable) const;

    // --- PeerHandler
    void on_message(raft::Message message) override;
    void on_unreachable(raft::NodeId peer) override;
    base::Status on_snapshot_begin(const raft::Message& head) override;
    base::Status on_snapshot_chunk(raft::NodeId from, std::string_view chunk) override;
    base::Status on_snapshot_end(raft::NodeId from) override;
    void on_snapshot_aborted(raft::NodeId from) override;

    ReplicaOptions options;
    StateMachine& machine;
    Environment env;
    std::unique_ptr<raft::Wal> wal;
    std::unique_ptr<raft::Core> core;
    std::shared_ptr<bool> alive = std::make_shared<bool>(true);

    Proposals proposals;
    Reads reads;
    std::map<std::uint64_t, PendingChange> changes;
    std::uint64_t last_change;  // sequences and contexts
    std::vector<PendingTransfer> transfers;

    ReplicaCounters counters;
    int opening_writes = 1;
    bool started = false;  // what was recovered is durable
    bool stopping = false;
    bool pumping = false;
    bool installing = false;  // a snapshot is taking the place of everything
    bool flush_scheduled = false;
    bool syncing = false;
    std::vector<raft::Entry> to_apply;         // empty while none is being applied
    bool aside = false;                        // one of them is, off the loop, or waits for room
    base::UniqueFunction<void()> after_aside;  // a snapshot waits to be installed
    raft::Term applied_term;
    raft::Term snapshot_term;  // of the last snapshot installed since the start
    std::uint64_t ticks = 0;
    raft::NodeId known_leader;
    raft::Term known_term;
    std::pair<bool, raft::Term> announced{false, raft::Term(0)};
    base::Millis peers_update_at{0};
    std::vector<raft::PeerAddress> addresses;

    std::optional<Incoming> incoming;
    std::map<raft::NodeId, raft::Position> streams;  // snapshots being sent

    std::vector<std::function<void(raft::NodeId, raft::Term)>> leader_observers;
    std::vector<std::function<void(bool, raft::Term)>> role_observers;
    std::vector<std::function<void(const std::vector<Member>&)>> member_observers;
    std::vector<std::function<void(base::Status)>> storage_observers;
    bool storage_full = false;
};

}  // namespace kvstore
