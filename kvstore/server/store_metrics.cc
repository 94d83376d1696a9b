#include "kvstore/server/store_metrics.h"

#include <fmt/format.h>

#include "base/metrics.h"
#include "kvstore/node.h"

namespace kvstore {

namespace {

constexpr base::Millis kRefresh{1000};

base::Gauge& gauge(const char* name, const char* help, base::Labels labels = {}) {
    return base::metrics().gauge(name, help, std::move(labels));
}
base::Counter& counter(const char* name, const char* help, base::Labels labels = {}) {
    return base::metrics().counter(name, help, std::move(labels));
}

}  // namespace

struct StoreMetrics::Values {
    base::Gauge& has_leader = gauge("etcd_server_has_leader", "1 while a leader is known.");
    base::Gauge& is_leader = gauge("etcd_server_is_leader", "1 while this member leads.");
    base::Gauge& is_learner = gauge("etcd_server_is_learner", "1 while this member has no vote.");
    base::Counter& leader_changes =
        counter("etcd_server_leader_changes_seen_total", "How often another leader was seen.");
    base::Gauge& committed = gauge("etcd_server_proposals_committed_total",
                                   "The index up to which the log is committed.");
    base::Gauge& applied =
        gauge("etcd_server_proposals_applied_total", "The index up to which the log is applied.");
    base::Gauge& pending =
        gauge("etcd_server_proposals_pending", "Proposals of this member that are not answered.");
    base::Counter& failed =
        counter("etcd_server_proposals_failed_total", "Proposals of this member that failed.");
    base::Counter& reads_failed =
        counter("etcd_server_read_indexes_failed_total", "Reads that no leader confirmed in time.");
    base::Gauge& quota =
        gauge("etcd_server_quota_backend_bytes", "Largest size of the database; 0: no limit.");
    base::Gauge& size =
        gauge("etcd_mvcc_db_total_size_in_bytes", "What the database takes, in files and memory.");
    base::Gauge& in_use =
        gauge("etcd_mvcc_db_total_size_in_use_in_bytes",
              "The same: the database has no pages that are free and yet not given back.");
    base::Gauge& log_size = gauge("coxswain_log_size_in_bytes", "What the Raft log takes on disk.");
    base::Gauge& keys = gauge("etcd_debugging_mvcc_keys_total", "Keys that live.");
    base::Gauge& revision =
        gauge("etcd_debugging_mvcc_current_revision", "The newest revision of this member.");
    base::Gauge& compacted =
        gauge("etcd_debugging_mvcc_compact_revision", "The revision that was compacted last.");
    base::Counter& events =
        counter("etcd_debugging_mvcc_events_total", "Changes of keys that watches may see.");
    base::Gauge& watchers = gauge("etcd_debugging_mvcc_watcher_total", "Watches that are open.");
    base::Gauge& slow_watchers =
        gauge("etcd_debugging_mvcc_slow_watcher_total", "Watches that are behind.");
    base::Counter& ranges = counter("etcd_mvcc_range_total", "Ranges read on this member.");
    base::Counter& puts = counter("etcd_mvcc_put_total", "Puts applied on this member.");
    base::Counter& deletes = counter("etcd_mvcc_delete_total", "Deletions applied on this member.");
    base::Counter& txns = counter("etcd_mvcc_txn_total", "Transactions done on this member.");
    base::Counter& granted =
        counter("etcd_debugging_lease_granted_total", "Leases granted, as applied on this member.");
    base::Counter& revoked =
        counter("etcd_debugging_lease_revoked_total", "Leases ended, as applied on this member.");
    base::Counter& renewed =
        counter("etcd_debugging_lease_renewed_total", "Leases renewed by this member as leader.");
    base::Gauge& auth_revision =
        gauge("etcd_debugging_auth_revision", "The revision of users and roles.");
};

StoreMetrics::StoreMetrics(base::Loop& loop, Node& node)
    : node_(node),
      values_(std::make_unique<Values>()),
      alive_(std::make_shared<bool>(true)),
      timer_(loop) {
    gauge("etcd_server_id", "1 for this member's id.",
          {{"server_id", fmt::format("{:x}", node.replica().id())}})
        .set(1);
    gauge("etcd_server_version", "1 for the version of etcd's API that this member speaks.",
          {{"server_version", std::string(Node::kEtcdVersion)}})
        .set(1);
    gauge("etcd_cluster_version", "1 for the version of etcd's API that the cluster speaks.",
          {{"cluster_version", "3.5"}})
        .set(1);
    count_watch_stream(0);
    auto last = std::make_shared<raft::NodeId>(node.replica().leader());
    if (*last != raft::kNobody) values_->leader_changes.add();
    node.replica().on_leader_change([alive = alive_, last, &changes = values_->leader_changes](
                                        raft::NodeId leader, raft::Term) {
        if (!*alive || leader == raft::kNobody || leader == *last) return;
        *last = leader;
        changes.add();
    });
    timer_.every(kRefresh, [this] { refresh(); });
    refresh();
}

StoreMetrics::~StoreMetrics() {
    *alive_ = false;
}

void StoreMetrics::refresh() {
    auto& v = *values_;
    const Replica& replica = node_.replica();
    v.has_leader.set(replica.leader() != raft::kNobody ? 1 : 0);
    v.is_leader.set(replica.is_leader() ? 1 : 0);
    v.is_learner.set(replica.is_learner() ? 1 : 0);
    v.committed.set(static_cast<std::int64_t>(replica.committed_index().value()));
    v.applied.set(static_cast<std::int64_t>(replica.applied_index().value()));
    v.pending.set(node_.counters().proposals_pending);
    v.failed.advance_to(node_.counters().proposals_failed);
    v.reads_failed.advance_to(node_.counters().reads_failed);
    v.renewed.advance_to(node_.counters().leases_renewed);
    v.quota.set(node_.options().quota_bytes);
    const std::int64_t size = node_.machine().database().approximate_size();
    v.size.set(size);
    v.in_use.set(size);
    v.log_size.set(static_cast<std::int64_t>(replica.log_bytes()));
    const MvccStore& store = node_.store();
    v.keys.set(store.keys());
    v.revision.set(store.revision());
    v.compacted.set(store.compacted_revision());
    v.watchers.set(static_cast<std::int64_t>(node_.hub().size()));
    v.slow_watchers.set(static_cast<std::int64_t>(node_.hub().behind()));
    const auto& done = store.counters();
    v.events.advance_to(done.events);
    v.ranges.advance_to(done.ranges);
    v.puts.advance_to(done.puts);
    v.deletes.advance_to(done.deletes);
    v.txns.advance_to(done.txns);
    v.granted.advance_to(done.leases_granted);
    v.revoked.advance_to(done.leases_revoked);
    v.auth_revision.set(static_cast<std::int64_t>(node_.machine().auth().revision()));
}

void StoreMetrics::count_watch_stream(int change) {
    static base::Gauge& streams =
        gauge("etcd_debugging_mvcc_watch_stream_total", "Streams of watches that are open.");
    streams.add(change);
}

void StoreMetrics::count_health(bool healthy) {
    static base::Counter& good = counter("etcd_server_health_success",
                                         "Requests of /health that found this member healthy.");
    static base::Counter& bad =
        counter("etcd_server_health_failures", "Requests of /health that did not.");
    (healthy ? good : bad).add();
}

void StoreMetrics::count_check(const char* type, const char* name, bool passed) {
    gauge("etcd_server_healthcheck", "1 when the check passed last.",
          {{"name", name}, {"type", type}})
        .set(passed ? 1 : 0);
    counter("etcd_server_healthchecks_total", "Checks of /livez and /readyz, by their outcome.",
            {{"name", name}, {"status", passed ? "success" : "error"}, {"type", type}})
        .add();
}

}  // namespace kvstore
