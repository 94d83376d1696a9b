#pragma once
// MvccStore: etcd's revision semantics on the Database. The state machine of the store without the
// log: deterministic, so every member that applies the same commands has the same content (leases'
// deadlines are the Lessor's, not here). Store loop only. Source of
// behaviour: the etcd v3 API.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "kvstore/mvcc/db.h"
#include "kvstore/mvcc/event.h"

namespace etcdserverpb {
class CompactionRequest;
class CompactionResponse;
class Compare;
class DeleteRangeRequest;
class DeleteRangeResponse;
class LeaseGrantRequest;
class LeaseRevokeRequest;
class PutRequest;
class PutResponse;
class RangeRequest;
class RangeResponse;
class RequestOp;
class ResponseOp;
class TxnRequest;
class TxnResponse;
}  // namespace etcdserverpb

namespace kvstore {

class Command;
struct RecordView;

// Checks that need no state: what is wrong with a request whoever looks at it. To be done before it
// is proposed.
base::Status validate(const etcdserverpb::RangeRequest& request);
base::Status validate(const etcdserverpb::PutRequest& request);
base::Status validate(const etcdserverpb::DeleteRangeRequest& request);
// `max_ops`: the most compares, and the most operations of a branch; what is nested gets the
// remainder.
base::Status validate(const etcdserverpb::TxnRequest& request, int max_ops = 128);
// True when the answer is the records in key order, none left out: a RangeReader can read it.
bool is_plain(const etcdserverpb::RangeRequest& request);
// True when no branch can change anything (it then need not go through the log).
bool is_read_only(const etcdserverpb::TxnRequest& request);
// True when it looks at intervals of keys.
bool reads_ranges(const etcdserverpb::TxnRequest& request);
// True when every range in it asks for a serializable answer.
bool is_serializable(const etcdserverpb::TxnRequest& request);

class MvccStore {
  public:
    // Reads where the store stands from the database, which it uses and does not own.
    explicit MvccStore(Database& db);
    // Goes on with another database (a snapshot was installed), or with this one where a fork of it
    // was written to.
    void rebind(Database& db);

    // The newest revision; 1 when nothing was ever written.
    std::int64_t revision() const { return revision_; }
    std::int64_t compacted_revision() const { return compacted_; }

    // Reads. `header.revision` is filled, the rest of headers is the caller's. Compacted and future
    // revisions are errors.
    base::Result<etcdserverpb::RangeResponse> range(
        const etcdserverpb::RangeRequest& request) const;
    // Compacted and future revisions are errors; 0, and less as in etcd, is the newest.
    base::Status check_revision(std::int64_t revision) const;
    bool is_newest(std::int64_t revision) const { return revision <= 0 || revision >= revision_; }
    // The key's serialized mvccpb.KeyValue as of a readable revision.
    std::optional<std::string> record(std::string_view key, std::int64_t revision) const;
    // The record of the version of `key` with this mod revision; "" when it is a deletion, or gone.
    std::string version(std::string_view key, std::int64_t mod_revision) const;
    base::Result<etcdserverpb::TxnResponse> read_txn(const etcdserverpb::TxnRequest& request) const;

    // Writes, one revision each when something changes. Nothing is written when they answer an
    // error. The changes are in the database's batch and, as one RevisionEvents, handed to
    // `on_events`.
    base::Result<etcdserverpb::PutResponse> put(const etcdserverpb::PutRequest& request);
    base::Result<etcdserverpb::DeleteRangeResponse> delete_range(
        const etcdserverpb::DeleteRangeRequest& request);
    base::Result<etcdserverpb::TxnResponse> txn(const etcdserverpb::TxnRequest& request);

    // Restoring: what another store had, oldest first, into one that has nothing later. The key's
    // earlier versions may be missing: they were compacted.
    void take_version(std::int64_t revision, std::int64_t sub, const RecordView& record);
    void take_deletion(std::int64_t revision, std::int64_t sub, std::string_view key);

    // Reads below `revision` fail from now on. The space is freed by scrub().
    base::Status compact(std::int64_t revision);
    // Frees what compact() made unreachable, at most `budget` changes a call; false when
    // nothing is left to do.
    bool scrub(int budget);
    // Whether it has something to do.
    bool scrubbing() const { return scrubbed_ < compacted_; }

    // Leases: which exist, with their granted time to live, and which keys hang on them.
    base::Status lease_grant(std::int64_t id, std::int64_t ttl_seconds);
    // Deletes the lease's keys, in sorted order and one revision.
    base::Status lease_revoke(std::int64_t id);
    // What is left of it, in seconds; 0: all. Nothing happens when there is no such lease.
    void lease_checkpoint(std::int64_t id, std::int64_t remaining_seconds);
    bool lease_exists(std::int64_t id) const;
    // Granted time to live in seconds; 0 when there is no such lease.
    std::int64_t lease_ttl(std::int64_t id) const;
    // As last checkpointed; 0: all of it.
    std::int64_t lease_remaining(std::int64_t id) const;
    std::vector<std::string> lease_keys(std::int64_t id, std::size_t limit = SIZE_MAX) const;
    std::vector<std::int64_t> leases() const;

    // History for watchers: the changes of revisions from `from` (not below the compacted revision)
    // up to `to`, whole revisions, oldest first, until one of the limits is reached. `want(key)`
    // chooses. `previous` is filled when asked. `next` becomes the revision to go on from (`to`+1
    // at the end).
    struct HistoryRequest {
        std::int64_t from = 0;
        std::int64_t to = 0;
        std::size_t max_events = 1000;     // gathered
        std::size_t max_bytes = 1 << 20;   // of these
        std::size_t max_changes = 10'000;  // looked at
        bool with_previous = false;
        std::function<bool(std::string_view key)> want;
    };
    std::vector<RevisionEvents> history(const HistoryRequest& request, std::int64_t* next) const;

    // CRC-32C over all that can be read at revisions from the compacted one up to `revision` (0:
    // the newest). The same on every member with the same log, however far its scrubbing is.
    base::Result<std::uint32_t> hash(std::int64_t revision) const;

    // How many keys live.
    std::int64_t keys() const { return keys_; }
    // Whether the command deletes more than `keys` keys, or may: each branch of a transaction
    // counts. Reads no more than that.
    bool deletes_more_than(const Command& command, std::size_t keys) const;

    // What was done since the start; for metrics. Reads of transactions count, too.
    struct Counters {
        std::uint64_t ranges = 0;
        std::uint64_t puts = 0;
        std::uint64_t deletes = 0;
        std::uint64_t txns = 0;
        std::uint64_t events = 0;
        std::uint64_t leases_granted = 0;
        std::uint64_t leases_revoked = 0;

        Counters& operator+=(const Counters& other);
    };
    const Counters& counters() const { return counters_; }
    // What a store on a fork of the database did for this one.
    void add_counters(const Counters& other) { counters_ += other; }
    // A range that was read otherwise than through range().
    void count_range() { ++counters_.ranges; }

    // Called at the end of each writing command that changed something, where someone wants it.
    std::function<void(RevisionEventsPtr)> on_events;
    bool wants_events = true;

  private:
    class Writer;
    friend class Writer;

    // Visits the live records of an interval as of `revision` (0: now) in key order until `visit`
    // answers false.
    void visit(std::string_view key, std::string_view range_end, std::int64_t revision,
               const std::function<bool(std::string_view record)>& visit) const;
    // Its live keys and the newest records without key and value.
    void visit_heads(
        std::string_view key, std::string_view range_end,
        const std::function<bool(std::string_view key, std::string_view head)>& visit) const;
    bool compare_holds(const etcdserverpb::Compare& compare) const;
    bool all_hold(const etcdserverpb::TxnRequest& request) const;
    base::Status check_branch(const etcdserverpb::TxnRequest& request) const;
    void check_branch(const etcdserverpb::TxnRequest& request, base::Status* puts,
                      base::Status* ranges) const;
    base::Status check_lease(const etcdserverpb::PutRequest& request) const;
    base::Status check_replaced(const etcdserverpb::PutRequest& request) const;
    void read_branch(const etcdserverpb::TxnRequest& request,
                     etcdserverpb::TxnResponse* response) const;

    Database* db_ = nullptr;
    std::int64_t revision_ = 1;
    std::int64_t compacted_ = 0;
    std::int64_t scrubbed_ = 0;
    std::string scrub_from_;  // where scrub() goes on; empty: at the beginning
    std::int64_t keys_ = 0;
    mutable Counters counters_;
};

}  // namespace kvstore
