#pragma once
// Core: one member of a Raft group as a pure, single-threaded state machine. Inputs are calls;
// what has to be done about them is collected and taken as Effects, which the driver carries out.
// No clock (time is tick()), no threads, no I/O (but reads of old entries through EntrySource),
// randomness from a seed: the same inputs give the same effects, byte for byte.
//
// Durability is asynchronous. Effects that must be written carry a ticket; the driver writes them
// in the order of the tickets and calls storage_done() for each once it is on disk. The core itself
// keeps back the messages that may only leave after that (acknowledgements, votes) and counts its
// own disk for a commit only then. All other messages leave at once, so that followers write while
// the leader does.
//
// Messages from peers are never trusted: what makes no sense is dropped and counted.
//
// Source: Ongaro, "Consensus: Bridging Theory and Practice" (2014): §3 (Raft), §4 (membership, in
// force from the append on, single steps and joint), §6.4 (reads), §9.6 (pre-vote), §10.2 (parallel
// disk write).

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "base/random.h"
#include "raft/core/config.h"
#include "raft/core/log.h"
#include "raft/core/message.h"
#include "raft/core/progress.h"
#include "raft/core/types.h"

namespace raft {

struct HardState {
    Term term;
    NodeId vote;
    friend bool operator==(const HardState&, const HardState&) = default;
};

struct CoreOptions {
    NodeId id;
    std::uint32_t heartbeat_ticks = 5;
    std::uint32_t election_ticks = 25;     // at least this long without a leader; up to twice
    std::uint32_t disk_stall_ticks = 500;  // a leader whose disk is silent for so long steps down
    std::size_t max_message_bytes = 1U << 20U;
    std::size_t max_inflight_messages = 256;
    std::size_t max_inflight_bytes = 16U << 20U;
    std::size_t max_uncommitted_bytes = 256U << 20U;
    std::size_t max_apply_bytes = 4U << 20U;  // committed entries in one Effects
    std::size_t cache_bytes = 8U << 20U;      // entries kept in memory for slow followers
    std::size_t max_pending_reads = 100000;
    std::uint64_t seed = 1;
    // Among voters that have all that is committed, the one with the highest gets the leadership.
    std::uint32_t priority = 0;
    // Lease reads (raft/core/lease.cc); 0: none. How long after a heartbeat round was sent its
    // confirmation lets the leader answer reads alone, and how long after a heartbeat a follower
    // helps nobody to depose the leader. By the clocks of both, so the first is to be shorter by
    // what the clocks may differ.
    std::uint64_t lease_ms = 0;
    std::uint64_t promise_ms = 0;
};

struct Recovered {
    HardState hard;
    RecoveredLog log;
    Index commit;   // known to be committed; at least log.base
    Index applied;  // the state machine's; between log.base and the log's end
    // The log lost entries that this member may have acknowledged in terms up to this one: see
    // Core::repairing().
    std::optional<Term> damaged_in = std::nullopt;
};

struct Effects {
    struct Install {
        Position position;
        Config config;
    };
    struct Status {  // as of now
        Role role;
        NodeId leader;
        Term term;
        friend bool operator==(const Status&, const Status&) = default;
    };
    struct Read {
        std::uint64_t context;
        Index index;  // serve the read when this is applied
    };
    struct Rejected {
        std::uint64_t context;
        MessageType type;  // of the request
        Reject reason;
    };

    std::vector<Message> messages;  // send now

    // To be written, in this order, under `ticket` (0: nothing to write).
    std::uint64_t ticket = 0;
    std::optional<HardState> hard_state;
    std::optional<Install> install;  // replace state machine and log by the snapshot received
    std::vector<Entry> entries;      // replace the log from the first one's index on

    std::vector<Entry> committed;  // apply, in order
    std::vector<Read> reads;
    std::vector<Rejected> rejected;
    std::vector<NodeId> snapshots;  // stream a snapshot to these, then snapshot_finished()
    std::optional<Status> status;   // changed
    bool config_changed = false;    // see Core::config()
    bool repaired = false;          // repairing() is over
};

// Events worth counting; the names are those of the metrics.
struct Counters {
    std::uint64_t campaigns = 0;
    std::uint64_t elections_won = 0;
    std::uint64_t malformed = 0;        // peer messages that made no sense
    std::uint64_t append_rejected = 0;  // log repair steps
    std::uint64_t truncations = 0;
    std::uint64_t quorum_lost = 0;
    std::uint64_t disk_stalls = 0;
    std::uint64_t snapshots_wanted = 0;
    std::uint64_t snapshots_installed = 0;
    std::uint64_t transfers = 0;
    std::uint64_t reads = 0;
    std::uint64_t lease_reads = 0;  // of these, answered under the lease
    std::uint64_t priority_transfers = 0;
    std::uint64_t repairs = 0;        // damage made good by the others
    std::uint64_t early_commits = 0;  // committed by others before the own disk had it
};

class Core {
  public:
    // `source` outlives the core.
    Core(CoreOptions options, Recovered recovered, EntrySource& source);
    Core(const Core&) = delete;
    Core& operator=(const Core&) = delete;

    // --- inputs
    // With lease reads, before each other input: what a clock shows that also runs while the
    // process or the machine sleeps. Earlier values than before are ignored.
    void set_clock(std::uint64_t ms);
    void tick();
    void step(Message message);
    // The write with this ticket, and all before it, are durable.
    void storage_done(std::uint64_t ticket);
    // Everything up to `index` is applied.
    void applied(Index index);
    // While true, effects have no committed entries: the driver is still applying earlier ones.
    void hold_committed(bool hold) { hold_committed_ = hold; }
    // A batch of proposals. On a follower it is forwarded, together with the current term: only the
    // leader of that term may append it. So once an entry of a later term is applied and the batch
    // was not, it never will be, and may be proposed again. `context` names it in Rejected.
    // Anything but kNone: not taken, and not forwarded.
    Reject propose(Payload payload, std::uint64_t context);
    // Likewise. `context` is another one each time that the change is proposed.
    Reject propose_config(const ChangeRequest& request, std::uint64_t context);
    // Answered by a Read with the same context; not at all when the leader changes or messages are
    // lost, so ask again after a while. kNotLeader: no leader is known.
    Reject read_index(std::uint64_t context);
    // kNobody: to the most up-to-date voter.
    Reject transfer(NodeId target);
    // Messages to `peer` were lost, or its connection is gone.
    void unreachable(NodeId peer);
    // The stream asked for by Effects::snapshots ended.
    void snapshot_finished(NodeId peer, Position position, bool ok);
    // Drops the log up to `index`, which is applied and durable.
    void compact(Index index);

    // --- outputs
    bool has_effects() const;
    Effects take();

    // --- state, for the driver and for tests
    NodeId id() const { return options_.id; }
    Role role() const { return role_; }
    NodeId leader() const { return leader_; }
    Term term() const { return hard_.term; }
    HardState hard_state() const { return hard_; }
    const Log& log() const { return log_; }
    const Config& config() const { return log_.config(); }
    bool is_leader() const { return role_ == Role::kLeader; }
    NodeId transferee() const { return transferee_; }
    // The member may lack entries that it acknowledged before it was damaged. It takes a term above
    // all in which it did, so that no old acknowledgement counts any more, and neither votes nor
    // campaigns: leaders are then chosen by a majority of others, which has all that is committed.
    // It is over once this member durably has what a leader of a later term knows to be committed.
    // After Alagappan et al., "Protocol-Aware Recovery for Consensus-Based Storage" (FAST 2018).
    bool repairing() const { return damaged_in_.has_value(); }
    // The leader's first entry of its own term.
    Index term_start() const { return term_start_; }
    const Counters& counters() const { return counters_; }
    const std::map<NodeId, Progress>& progress() const { return progress_; }
    // Up to here effects have told the driver to apply.
    Index emitted() const { return emitted_; }

  private:
    struct PendingWrite {
        std::uint64_t ticket = 0;
        Position last;  // of the entries in it
        bool has_entries = false;
        bool install = false;
        std::optional<HardState> hard;
        std::uint64_t started_at = 0;  // ticks
        std::vector<Message> messages;
    };
    struct PendingRead {
        NodeId from;
        std::uint64_t context = 0;
        Index index;
        std::uint64_t sequence = 0;
    };

    // The network may repeat a message; a repeated request must not be taken twice.
    class SeenRequests {
      public:
        // False: seen before.
        bool add(std::uint64_t context);

      private:
        std::set<std::uint64_t> set_;
        std::deque<std::uint64_t> order_;
    };

    // core.cc
    void send(Message m);
    void send_after_write(Message m);
    Message make(MessageType type, NodeId to) const;
    bool is_malformed(const Message& m) const;
    void step_current_term(Message& m);
    void malformed() { ++counters_.malformed; }
    void maybe_repaired();
    Index apply_limit() const;
    void append_own(EntryType type, Payload payload);

    // election.cc
    void tick_follower();
    void reset_election_timer(std::uint32_t low, std::uint32_t high);
    void become_follower(Term term, NodeId leader);
    void follow(NodeId leader);
    bool may_campaign() const;
    void campaign(bool pre_vote, bool force);
    void become_candidate(bool force);
    void become_leader();
    bool handle_terms(Message& m);
    void handle_vote_request(const Message& m);
    bool yields_to(const Message& m);
    void handle_vote_response(const Message& m);
    void handle_timeout_now(const Message& m);
    void count_votes();
    bool heard_from_leader() const;
    void request_votes(MessageType type, Term term, bool force);

    // replication.cc
    void tick_leader();
    void check_quorum();
    void check_disk();
    void broadcast_append();
    void send_append(NodeId to, Progress& p, bool even_if_empty);
    bool send_one_append(NodeId to, Progress& p, bool even_if_empty);
    void send_snapshot(NodeId to, Progress& p);
    void broadcast_heartbeat();
    void tell_commit(NodeId to, Progress& p);
    bool maybe_commit();
    void committed_more();
    void handle_append(Message& m);
    void handle_append_response(const Message& m);
    void handle_append_reject(NodeId from, Progress& p, const Message& m);
    void handle_heartbeat(const Message& m);
    void handle_heartbeat_response(const Message& m);
    void handle_commit(const Message& m);
    void handle_snapshot(const Message& m);
    template <class F>
    auto quorum_value(F f) const;

    // read.cc
    void handle_read_index(const Message& m);
    Reject take_read(NodeId from, std::uint64_t context);
    void add_read(PendingRead read);
    void answer_read(NodeId from, std::uint64_t context, Index index);
    void start_read_round();
    void release_reads();
    void reads_may_start();

    // lease.cc
    bool leases() const { return options_.lease_ms > 0; }
    bool promised() const { return clock_ms_ < promised_until_ms_; }
    bool holds_lease() const;
    void promise(Message* heartbeat_response);
    bool needs_new_round() const;
    void round_sent();
    void renew_lease();
    void forget_lease();

    // priority.cc
    void begin_priority();
    void check_priority();
    NodeId preferred_leader() const;

    // membership.cc
    void handle_propose(const Message& m);
    void handle_propose_config(const Message& m);
    void handle_reject(const Message& m);
    void handle_transfer(const Message& m);
    Reject change_config(const ChangeRequest& request);
    Reject may_change(const std::vector<ConfigChange>& changes, const Config& after) const;
    RequestId joint_request() const;
    void finish_joint();
    void config_in_force();
    void config_committed();
    Reject start_transfer(NodeId target);
    void reply_reject(const Message& m, Reject reason);
    NodeId best_successor() const;

    CoreOptions options_;
    base::Random random_;
    Log log_;
    HardState hard_;
    Role role_ = Role::kFollower;
    NodeId leader_;
    Counters counters_;
    std::uint64_t now_ = 0;  // ticks
    std::uint64_t clock_ms_ = 0;
    std::uint64_t promised_until_ms_ = 0;

    // Elections.
    std::uint32_t election_elapsed_ = 0;
    std::uint32_t election_timeout_ = 0;
    std::optional<Term> damaged_in_;
    bool repaired_ = false;     // just now
    bool leader_lost_ = false;  // its connection broke: its lease no longer counts
    std::map<NodeId, bool> votes_;

    // The leader's.
    std::map<NodeId, Progress> progress_;
    std::uint32_t heartbeat_elapsed_ = 0;
    std::uint32_t quorum_elapsed_ = 0;
    Index term_start_;
    NodeId transferee_;
    std::uint32_t transfer_elapsed_ = 0;
    std::deque<std::pair<Index, std::size_t>> uncommitted_;  // own entries and their cost
    std::size_t uncommitted_bytes_ = 0;
    std::deque<PendingRead> early_reads_;  // before the first commit of the term
    std::deque<PendingRead> reads_;        // ascending sequence
    std::uint64_t read_sequence_ = 0;
    bool read_round_wanted_ = false;
    std::deque<std::pair<std::uint64_t, std::uint64_t>> rounds_;  // sequence and when it was sent
    std::uint64_t lease_until_ms_ = 0;
    bool lease_void_ = false;  // for the rest of the term: somebody was told to campaign
    NodeId preferred_;         // to lead instead, and since when
    std::uint64_t preferred_since_ = 0;
    Index commit_before_;  // at the last look
    std::uint64_t patience_ = 0;
    std::uint64_t gave_away_at_ = 0;
    std::map<NodeId, SeenRequests> seen_;  // in this term

    // What take() hands out.
    std::vector<Message> messages_;
    std::vector<Message> held_;  // wait for the write in preparation
    std::vector<Entry> entries_;
    std::optional<Effects::Install> install_;
    std::deque<PendingWrite> writes_;
    std::uint64_t last_ticket_ = 0;
    HardState written_hard_;  // in the last write handed out
    Index emitted_;
    Index applied_;
    bool hold_committed_ = false;
    std::vector<Effects::Read> ready_reads_;
    std::vector<Effects::Rejected> rejected_;
    std::vector<NodeId> snapshots_;
    Effects::Status told_{};
    bool config_changed_ = false;
};

}  // namespace raft
