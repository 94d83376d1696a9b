#pragma once
// Cluster: simulated hosts with members on them, clients, watchers and leases, faults, and a judge
// that looks after every step.
//
// The judge's rules. Election safety: one leader a term. Leader completeness: a leader's log holds
// every entry applied anywhere. Log matching: same index and term, same past. State machine safety:
// every member applies the same commands in the same order, answers them as the Reference does, and
// holds what the Reference holds, after every crash and snapshot, too. At most once: no write is
// applied twice. No acknowledged write is lost. Linearizable: an operation sees everything that was
// answered before it began; and once more, by the checker of test/support on the history. Watches:
// ordered, unique, atomic, reliable, resumable, with the right previous values (watchers.h).
// Leases: none ends before its time (lease_clients.cc), all that nobody renews end. In the end all
// members hold the same, byte for byte.

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "test/sim/host.h"
#include "test/sim/journal.h"
#include "test/sim/sim_net.h"
#include "test/sim/storms.h"
#include "test/sim/watchers.h"
#include "test/sim/world.h"
#include "test/support/linearizable.h"

namespace sim {

class Cluster {
  public:
    Cluster(World& world, std::size_t members);
    ~Cluster();

    // Faults and load for `duration`, then healing: everything must converge. The error, if any.
    std::optional<std::string> run(Micros duration);

  private:
    friend class Watchers;
    friend class Storms;
    // What a client waits for.
    struct Call {
        raft::Index floor;          // applied before it began: to be seen
        std::int64_t revision = 0;  // the same as a revision
        std::uint64_t write = 0;    // its number; 0: it cannot be told from others
        std::vector<linearizable::Operation> operations;
    };
    using CallPtr = std::shared_ptr<Call>;
    struct Lease {
        std::int64_t ttl = 0;
        Micros renewed_at = 0;        // certainly
        bool may_be_revoked = false;  // a client asked for it
        bool kept = false;            // somebody renews it
        bool gone = false;
    };

    // cluster.cc
    Host& add_host(raft::NodeId id, std::vector<kvstore::Member> initial);
    // Of one that is up or was removed: nothing.
    void start(Host& host);
    void crash(Host& host, bool power);
    void collect(Host& host);
    Host* pick(bool up);
    Host* leader();
    bool run_until(Micros end);
    void fail(std::string why);
    void heal();
    bool converged();
    bool same_bytes();
    std::string describe();
    void check_history();

    // clients.cc
    void client_loop();
    void one_request(Host& host);
    void first_applied(const kvstore::Command& command, const Reference::Answer& answer);
    CallPtr begin(linearizable::Kind kind, const std::string& key);
    template <class T>
    bool answered(Host& host, const CallPtr& call, const base::Result<T>& result) {
        return result ? answered(host, call, nullptr, result->header().revision())
                      : answered(host, call, &result.error(), 0);
    }
    bool answered(Host& host, const CallPtr& call, const base::Error* error, std::int64_t revision);
    void client_put(Host& host, bool final_write = false);
    bool is_member(raft::NodeId id);
    void client_delete(Host& host);
    void client_txn(Host& host);
    void client_get(Host& host);
    void client_range(Host& host, bool serializable);
    void client_compact(Host& host);
    // Where a member's store stands.
    struct Stand {
        std::int64_t revision = 0;
        std::int64_t compacted = 0;
    };
    static Stand stand(Host& host);
    // `before`: when it was asked.
    void check_range(Host& host, const etcdserverpb::RangeRequest& request, Stand before,
                     const base::Result<etcdserverpb::RangeResponse>& result);
    std::string some_key() { return "k" + std::to_string(world_.random.below(6)); }
    std::string value_of(std::uint64_t write);
    void final_writes();

    // lease_clients.cc
    void lease_loop();
    void lease_request(Host& host);
    void grant_lease(Host& host);
    void keep_lease(Host& host, std::int64_t id);
    void revoke_lease(Host& host, std::int64_t id);
    void put_with_lease(Host& host, std::int64_t id);
    void list_leases(Host& host);
    void lease_granted(const etcdserverpb::LeaseGrantRequest& request);
    void lease_ended(std::int64_t id);

    // faults.cc
    void fault_loop();
    void one_fault();
    void disk_fault();
    void partition();
    void change_members();
    void transfer();
    void damage();
    bool may_damage(const Host& host) const;

    // judge.cc
    void judge();
    void judge_leader(const Host& host);
    void judge_matching();

    World& world_;
    SimNet net_;
    Journal journal_;
    Watchers watchers_;
    Storms storms_{*this};
    std::map<raft::NodeId, std::unique_ptr<Host>> hosts_;
    std::vector<kvstore::Member> initial_;
    std::uint64_t last_id_ = 0;
    bool faults_ = true;
    std::size_t max_load_ = 1;
    std::size_t value_bytes_ = 0;
    std::optional<std::string> failure_;

    // What the judge knows.
    std::map<raft::Term, raft::NodeId> leaders_;
    struct Committed {
        raft::Term term;     // the entry's
        raft::Term seen_in;  // of the member that was first seen to have it applied
    };
    std::map<raft::Index, Committed> committed_;
    std::map<std::uint64_t, std::int64_t> writes_;  // applied ones, and their revisions
    std::uint64_t last_write_ = 0;
    raft::Index answered_;  // the latest state that a client has seen
    std::int64_t answered_revision_ = 0;
    std::map<std::pair<std::int64_t, std::int64_t>, std::uint32_t>
        hashes_;  // (revision, compacted)
    std::map<std::int64_t, Lease> leases_;
    std::vector<CallPtr> calls_;  // all that were ever begun with operations of the history
    std::uint64_t final_pending_ = 0;
    bool changing_ = false;
    bool lease_reads_ = false;
    std::size_t message_bytes_ = 0;
    bool ever_changed_ = false;  // who is a member
    // Members are damaged in this run; then nobody is added or removed.
    bool with_damage_ = false;
};

}  // namespace sim
