#pragma once
// Node: one member's store as its services see it. It checks requests, sends writes through the
// replica and reads after a read index, fills answers' headers, expires leases while it leads, and
// drives watchers that are behind. Store loop only; every callback runs there, once.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/function.h"
#include "base/loop.h"
#include "base/result.h"
#include "kvstore/auth/caller.h"
#include "kvstore/core/auto_compactor.h"
#include "kvstore/core/shared_ranges.h"
#include "kvstore/machine.h"
#include "kvstore/replica/replica.h"
#include "kvstore/timers.h"

namespace coxswainpb {
class MembersChangeRequest;
class MembersChangeResponse;
}  // namespace coxswainpb

namespace kvstore {

class RangeReader;

template <class T>
using Done = base::UniqueFunction<void(base::Result<T>)>;

// A range that is read in steps, as of one moment.
struct OpenRange {
    etcdserverpb::ResponseHeader header;
    std::shared_ptr<RangeReader> reader;
};

// The answer to a range, encoded but for its header.
struct EncodedRange {
    etcdserverpb::ResponseHeader header;
    RangeBody body;
};

class Node {
  public:
    struct Options {
        std::size_t max_request_bytes = 1536 << 10;  // 1.5 MiB, as etcd
        int max_txn_ops = 128;
        // Writes are refused, and the alarm NOSPACE is raised, when the database would grow past
        // this. 0: no limit.
        std::int64_t quota_bytes = 0;
        AutoCompactor::Options auto_compaction;
        // Lower times to live are raised to this: a lease must outlast an election (etcd: 1.5
        // election timeouts).
        std::int64_t min_lease_ttl_seconds = 2;
        // How often what is left of longer leases is noted in the log; 0: never.
        std::int64_t lease_checkpoint_seconds = 300;
        // Members without a vote at one time.
        int max_learners = 1;
        // Asks the leader's own services (its client URLs) for what only a leader knows: lease
        // renewals. `path` is a gRPC path,
        // `token` the caller's, or "". Null: such calls fail on followers.
        std::function<void(const Member& leader, std::string path, std::string message,
                           std::string token, Done<std::string> done)>
            ask_leader;
    };

    // `machine` and `replica` outlive the node.
    Node(base::Loop& loop, Machine& machine, Replica& replica, Options options);
    Node(std::unique_ptr<Timers> timers, Machine& machine, Replica& replica, Options options);
    ~Node();
    Node(const Node&) = delete;
    Node& operator=(const Node&) = delete;

    // KV. What the caller may is checked where the answer is made: a read after its read index, a
    // write when its entry is applied. Without a caller: the store's own users, trusted.
    void range(etcdserverpb::RangeRequest request, Done<etcdserverpb::RangeResponse> done,
               Caller caller = {});
    // The same, for ranges that are plain (is_plain). A long one is read off the loop, and once for
    // all who ask for it at a time.
    void range_encoded(etcdserverpb::RangeRequest request, Done<EncodedRange> done,
                       Caller caller = {});
    // For a plain range, to be read in steps. The reader is to be stepped by one thread at a time.
    void open_range(etcdserverpb::RangeRequest request, Done<OpenRange> done, Caller caller = {});
    void put(etcdserverpb::PutRequest request, Done<etcdserverpb::PutResponse> done,
             Caller caller = {});
    void delete_range(etcdserverpb::DeleteRangeRequest request,
                      Done<etcdserverpb::DeleteRangeResponse> done, Caller caller = {});
    void txn(etcdserverpb::TxnRequest request, Done<etcdserverpb::TxnResponse> done,
             Caller caller = {});
    // `physical` answers only once the space is freed.
    void compact(etcdserverpb::CompactionRequest request,
                 Done<etcdserverpb::CompactionResponse> done, Caller caller = {});

    // Lease
    void lease_grant(etcdserverpb::LeaseGrantRequest request,
                     Done<etcdserverpb::LeaseGrantResponse> done, Caller caller = {});
    void lease_revoke(etcdserverpb::LeaseRevokeRequest request,
                      Done<etcdserverpb::LeaseRevokeResponse> done, Caller caller = {});
    // An unknown or expired lease answers TTL 0, not an error.
    void lease_keep_alive(std::int64_t id, Done<etcdserverpb::LeaseKeepAliveResponse> done);
    void lease_time_to_live(etcdserverpb::LeaseTimeToLiveRequest request,
                            Done<etcdserverpb::LeaseTimeToLiveResponse> done, Caller caller = {});
    void lease_leases(Done<etcdserverpb::LeaseLeasesResponse> done);

    // Users and roles (kvstore/node_auth.cc): changes go through the log, all with the same answer;
    // `read` runs once what it sees of machine().auth() is linearizable.
    void auth_change(Command command, Done<etcdserverpb::AuthEnableResponse> done, Caller caller);
    void auth_read(base::UniqueFunction<void(base::Status)> read);

    // Maintenance and cluster
    etcdserverpb::StatusResponse status() const;
    void hash(Done<etcdserverpb::HashResponse> done);
    void hash_kv(std::int64_t revision, Done<etcdserverpb::HashKVResponse> done);
    void move_leader(std::uint64_t target, Done<etcdserverpb::MoveLeaderResponse> done);
    void alarm(etcdserverpb::AlarmRequest request, Done<etcdserverpb::AlarmResponse> done);
    // Answers when the whole database was rewritten; requests go on meanwhile.
    void defragment(Done<etcdserverpb::DefragmentResponse> done);
    // There is no older format to go back to: every target is refused, as etcd words it.
    void downgrade(etcdserverpb::DowngradeRequest request,
                   Done<etcdserverpb::DowngradeResponse> done);
    // Membership changes are checked and made on the leader; other members ask it.
    void member_add(etcdserverpb::MemberAddRequest request,
                    Done<etcdserverpb::MemberAddResponse> done, Caller caller = {});
    void member_remove(etcdserverpb::MemberRemoveRequest request,
                       Done<etcdserverpb::MemberRemoveResponse> done, Caller caller = {});
    void member_update(etcdserverpb::MemberUpdateRequest request,
                       Done<etcdserverpb::MemberUpdateResponse> done, Caller caller = {});
    void member_promote(etcdserverpb::MemberPromoteRequest request,
                        Done<etcdserverpb::MemberPromoteResponse> done, Caller caller = {});
    // Promotions and removals in one step (joint consensus).
    void members_change(coxswainpb::MembersChangeRequest request,
                        Done<coxswainpb::MembersChangeResponse> done, Caller caller = {});
    void member_list(bool linearizable, Done<etcdserverpb::MemberListResponse> done);

    // Cluster and member id, revision and term. Answers that a state machine made get the rest
    // filled in.
    void fill_header(etcdserverpb::ResponseHeader* header) const;

    // Watch: add and remove watchers here; call pump() when a sink that was not ready is ready
    // again.
    WatchHub& hub() { return machine_.hub(); }
    void pump();

    // For metrics.
    struct Counters {
        std::int64_t proposals_pending = 0;
        std::uint64_t proposals_failed = 0;
        std::uint64_t reads_failed = 0;  // no leader confirmed the read in time
        std::uint64_t leases_renewed = 0;
    };
    const Counters& counters() const { return counters_; }
    const Options& options() const { return options_; }

    MvccStore& store() { return machine_.store(); }
    Machine& machine() { return machine_; }
    Replica& replica() { return replica_; }

    // The version that Status answers: kube-apiserver asks for at least 3.5.13 before it uses
    // progress requests.
    static constexpr std::string_view kEtcdVersion = "3.5.21";

  private:
    template <class T>
    void propose(Command command, Done<T> done, const Caller& caller = {});
    // Answers what `read` makes of the store as it stands. `aside`: it may take long, and is called
    // off the loop.
    template <class T, class Read>
    void read_store(bool aside, Read read, Done<T> done);
    void read_encoded(const etcdserverpb::RangeRequest& request, Done<EncodedRange> done);
    void read_interval(const etcdserverpb::RangeRequest& request, SharedRanges::Taker taker);
    // Runs `read` once what it sees is linearizable.
    void after_read_index(base::UniqueFunction<void(base::Status)> read);
    void list_lease_keys(etcdserverpb::LeaseTimeToLiveResponse response,
                         Done<etcdserverpb::LeaseTimeToLiveResponse> done, const Caller& caller);
    bool leads_with_leases() const { return machine_.lessor().primary(); }
    // The member that leads, when it is another one.
    std::optional<Member> leader_member() const;
    template <class T>
    void change_members(const std::vector<MembershipChange>& changes, Done<T> done);
    void revoke_expired();
    void checkpoint_leases();
    void renew_lease(std::int64_t id, int attempts,
                     Done<etcdserverpb::LeaseKeepAliveResponse> done);
    bool voters_are_alive() const;
    // NoSpace, and the alarm is raised, when the quota leaves no room for the command.
    base::Status take_from_quota(const Command& command);
    void defragment_slice(const std::string& begin);
    // What the alarm CORRUPT forbids.
    base::Status readable() const;
    void auto_compact();
    void tick();
    void scrub();

    std::unique_ptr<Timers> timers_;
    Machine& machine_;
    Replica& replica_;
    Options options_;
    std::unique_ptr<Timers::Timer> tick_;
    std::unique_ptr<Timers::Timer> scrub_;
    AutoCompactor compactor_;
    SharedRanges shared_ranges_;
    raft::Term lease_term_;        // in which this member handles leases
    std::int64_t used_bytes_ = 0;  // of the quota: as measured last, and what was let in since
    bool raising_alarm_ = false;
    std::vector<Done<etcdserverpb::DefragmentResponse>> defragmenting_;
    bool pumping_ = false;
    bool scrubs_later_ = false;
    std::vector<base::UniqueFunction<void()>> after_scrub_;
    Counters counters_;
    std::shared_ptr<bool> alive_;  // what is posted checks it
};

}  // namespace kvstore
