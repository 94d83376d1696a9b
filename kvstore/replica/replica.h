#pragma once
// Replica: one member of a replicated state machine. It joins the consensus core (raft/core), the
// write-ahead log (raft/wal), the other members (Peers) and a StateMachine. Everything runs on one
// thread, the store loop; no method blocks. The same code runs in production (AsioClock, PosixDisk,
// transport; see kvstore/replica/host.h, which puts them together) and in the simulator.
//
// Errors carry etcd's texts: "etcdserver: no leader", "etcdserver: request timed out",
// "etcdserver: too many requests", "etcdserver: server stopped", … A failed fsync or a damaged log
// ends the process after saying so.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/function.h"
#include "base/result.h"
#include "kvstore/replica/environment.h"
#include "kvstore/replica/state_machine.h"
#include "raft/core/types.h"

namespace raft {
class Core;
}

namespace kvstore {

struct Member {
    raft::NodeId id;
    std::string name;
    std::vector<std::string> peer_urls;    // "https://host:port"
    std::vector<std::string> client_urls;  // may be empty until the member has published them
    bool learner = false;
    friend bool operator==(const Member&, const Member&) = default;
};

// What happened since the start; for metrics and tests.
struct ReplicaCounters {
    std::uint64_t proposals_repeated = 0;  // lost with an earlier leader, sent again
    std::uint64_t torn_tails_cut = 0;
    std::uint64_t states_ahead_of_log = 0;  // after a crash the state was ahead of the log
    std::uint64_t snapshots_sent = 0;
    std::uint64_t snapshots_installed = 0;
    std::uint64_t compactions = 0;
    std::uint64_t applied_aside = 0;
    std::uint64_t waits_for_room = 0;   // before entries were applied
    std::uint64_t installs_waited = 0;  // for an entry that was being applied aside
};

struct MembershipChange {
    enum class Kind {
        kAddVoter,
        kAddLearner,
        kPromote,  // a learner that has (nearly) the leader's log becomes a voter
        kRemove,
        kUpdate,  // name and URLs of a member
    };
    Kind kind = Kind::kUpdate;
    Member member;  // kPromote and kRemove look only at the id
};

struct ReplicaOptions {
    raft::NodeId id;
    std::uint64_t cluster_id = 0;
    // The whole cluster, this member among it, at its very first start. Not looked at when the log
    // has a membership. Empty: this member joins a running cluster, whose leader will contact it.
    std::vector<Member> initial_members;
    // Where a member that joins reaches the others (ids and peer URLs), until its log says so.
    std::vector<Member> join_members;

    base::Millis tick{20};
    base::Millis heartbeat{100};
    base::Millis election_min{500};  // randomized up to twice this
    base::Millis request_timeout{7000};
    // A leader whose disk has not finished a write for so long steps down.
    base::Millis disk_stall{5000};
    // A leader that others have kept up with hands over to the one of the highest priority.
    std::uint32_t leader_priority = 0;
    // A leader answers linearizable reads alone while its lease holds; it needs clocks that run
    // alike within a quarter (docs/members.md). All members alike.
    bool lease_reads = false;
    std::uint64_t seed = 0;  // for election timeouts and request ids; fresh at each start

    std::size_t max_pending_requests = 50000;
    std::size_t max_pending_bytes = 256U << 20U;
    std::size_t max_batch_bytes = 512U << 10U;
    // Of entries in a message to a follower; one entry at the least.
    std::size_t max_message_bytes = 1U << 20U;
    std::uint64_t wal_segment_bytes = 16U << 20U;
    // The log is compacted when it exceeds this; then this many entries are kept for slow members,
    // or half of it, if that is less.
    std::uint64_t compact_log_bytes = 64U << 20U;
    std::uint64_t keep_entries = 10000;
    std::size_t snapshot_chunk_bytes = 256U << 10U;
};

class Replica {
  public:
    using ProposeCallback = base::UniqueFunction<void(base::Result<ApplyResult>)>;
    using ReadCallback = base::UniqueFunction<void(base::Result<raft::Index>)>;
    using DoneCallback = base::UniqueFunction<void(base::Status)>;
    using MembersCallback = base::UniqueFunction<void(base::Result<std::vector<Member>>)>;

    // Recovers the log, feeds the state machine what is committed after its applied(), and takes
    // part. All of `environment` and `machine` outlive the replica. DataLoss: the log is damaged
    // (what and where is in the message) — nothing was changed on disk.
    static base::Result<std::unique_ptr<Replica>> open(ReplicaOptions options,
                                                       StateMachine& machine,
                                                       Environment environment);
    // Fails everything that is pending with "etcdserver: server stopped".
    ~Replica();
    Replica(const Replica&) = delete;
    Replica& operator=(const Replica&) = delete;

    // Replicates one proposal; `done` gets what this member's state machine answered when it
    // applied it. On any member. All proposals made in one turn of the loop share a log entry. A
    // proposal is applied at most once: it is repeated after a change of leader only when it is
    // certain that it was lost. On a timeout it may still be applied later. `alone`: it gets an
    // entry of its own, so that it can be applied aside (StateMachine::takes_long).
    void propose(std::string payload, ProposeCallback done, bool alone = false);
    // Linearizable reads: `done` runs once this member's state includes everything that was
    // acknowledged anywhere before the call. On any member. Batched.
    void read_index(ReadCallback done);

    raft::NodeId id() const;
    std::uint64_t cluster_id() const;
    // kNobody while there is none.
    raft::NodeId leader() const;
    raft::Term term() const;
    bool is_leader() const;
    raft::Role role() const;
    bool is_learner() const;
    // In force now (perhaps not committed yet), by id.
    std::vector<Member> members() const;
    raft::Index applied_index() const;
    raft::Index committed_index() const;
    // What the log occupies on disk, in bytes.
    std::uint64_t log_bytes() const;

    // Done when `target` leads; on any member. kNobody: the most up-to-date other voter.
    void transfer_leadership(raft::NodeId target, DoneCallback done);
    // One change at a time, on any member; answers the members after it, once it is committed.
    void change_membership(const MembershipChange& change, MembersCallback done);
    // Several in one step (joint consensus): promotions and additions before removals.
    void change_membership(const std::vector<MembershipChange>& changes, MembersCallback done);

    // Called on the store loop from outside of any replica method's caller. Several may be set.
    // on_role: each change of (role, term) of this member; `leader` becomes true only once the
    // member has applied everything of earlier terms, so that leases may be handled from here on.
    void on_leader_change(std::function<void(raft::NodeId leader, raft::Term term)> f);
    void on_role(std::function<void(bool leader, raft::Term term)> f);
    void on_members_change(std::function<void(const std::vector<Member>&)> f);
    // Trouble that the operator must see (disk full, …) and its end (OK).
    void on_storage_state(std::function<void(base::Status)> f);

    // Hands leadership over if it has it, refuses new work, fails what is pending.
    void stop(base::UniqueFunction<void()> stopped);

    // The consensus core, to look at: metrics, tests.
    const raft::Core& core() const;
    const ReplicaCounters& counters() const;

    struct Impl;

  private:
    explicit Replica(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace kvstore
