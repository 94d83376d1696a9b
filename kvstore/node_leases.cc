// Node: leases. What the leader says of them by itself (expired, so much is left) is void in the
// log once another leads: it may have renewed them (etcd #12528, #15247).

#include "base/log.h"
#include "base/planted.h"
#include "base/random.h"
#include "kvstore/node_calls.h"

namespace kvstore {

namespace pb = etcdserverpb;

namespace {
constexpr std::size_t kRevokesPerTick = 100;
constexpr std::size_t kCheckpointsPerTick = 1000;
// A checkpoint may come between a clearing and the renewal, but the next one only an interval
// later.
constexpr int kClearings = 3;
}  // namespace

void Node::lease_grant(pb::LeaseGrantRequest request, Done<pb::LeaseGrantResponse> done,
                       Caller caller) {
    if (request.ttl() > Machine::kMaxLeaseTtl) return done(errors::lease_ttl_too_large());
    request.set_ttl(std::max(request.ttl(), options_.min_lease_ttl_seconds));
    while (request.id() == 0)
        request.set_id(static_cast<std::int64_t>(base::entropy64() >> 1));
    Command command;
    *command.mutable_lease_grant() = std::move(request);
    propose<pb::LeaseGrantResponse>(std::move(command), std::move(done), caller);
}

void Node::lease_revoke(pb::LeaseRevokeRequest request, Done<pb::LeaseRevokeResponse> done,
                        Caller caller) {
    Command command;
    *command.mutable_lease_revoke() = std::move(request);
    propose<pb::LeaseRevokeResponse>(std::move(command), std::move(done), caller);
}

void Node::lease_keep_alive(std::int64_t id, Done<pb::LeaseKeepAliveResponse> done) {
    if (!leads_with_leases()) {
        pb::LeaseKeepAliveRequest request;
        request.set_id(id);
        return ask_leader<pb::LeaseKeepAliveResponse>(options_, leader_member(),
                                                      "/etcdserverpb.Lease/LeaseKeepAlive", request,
                                                      std::move(done));
    }
    renew_lease(id, kClearings, std::move(done));
}

void Node::renew_lease(std::int64_t id, int attempts, Done<pb::LeaseKeepAliveResponse> done) {
    if (machine_.lessor().needs_clearing(id)) {
        // The next leader must not go on from a checkpoint that is older than what is answered
        // here.
        if (attempts == 0) return done(errors::too_many_requests());
        Command command;
        auto* point = command.mutable_lease_checkpoint()->add_checkpoints();
        point->set_id(id);
        command.set_only_in_term(lease_term_.value());
        auto cleared = [this, id, attempts, mark = machine_.lessor().mark(), d = std::move(done)](
                           base::Result<pb::LeaseCheckpointResponse> response) mutable {
            if (!response) return d(response.error());
            machine_.lessor().settle(id, mark);
            renew_lease(id, attempts - 1, std::move(d));
        };
        return propose<pb::LeaseCheckpointResponse>(std::move(command), std::move(cleared));
    }
    // Not through the log, but only a confirmed leader may promise time (etcd #15247).
    after_read_index([this, id, attempts, d = std::move(done)](base::Status ready) mutable {
        if (!ready) return d(ready.error());
        if (machine_.lessor().needs_clearing(id)) return renew_lease(id, attempts, std::move(d));
        pb::LeaseKeepAliveResponse response;
        fill_header(response.mutable_header());
        response.set_id(id);
        response.set_ttl(machine_.lessor().renew(id, machine_.now_ms()).value_or(0));
        if (response.ttl() > 0) ++counters_.leases_renewed;
        d(std::move(response));
    });
}

void Node::lease_time_to_live(pb::LeaseTimeToLiveRequest request,
                              Done<pb::LeaseTimeToLiveResponse> done, Caller caller) {
    const bool keys = request.keys();
    request.set_keys(false);
    if (keys) {
        // The leader tells the time; the keys, and who may see them, this member knows itself.
        done = [this, caller = std::move(caller),
                d = std::move(done)](base::Result<pb::LeaseTimeToLiveResponse> response) mutable {
            if (!response || response->ttl() < 0) return d(std::move(response));
            list_lease_keys(std::move(*response), std::move(d), caller);
        };
    }
    if (!leads_with_leases())
        return ask_leader<pb::LeaseTimeToLiveResponse>(options_, leader_member(),
                                                       "/etcdserverpb.Lease/LeaseTimeToLive",
                                                       request, std::move(done));
    after_read_index([this, request, d = std::move(done)](base::Status ready) mutable {
        if (!ready) return d(ready.error());
        pb::LeaseTimeToLiveResponse response;
        fill_header(response.mutable_header());
        response.set_id(request.id());
        response.set_ttl(-1);
        if (machine_.store().lease_exists(request.id())) {
            response.set_ttl(machine_.lessor().remaining_seconds(request.id(), machine_.now_ms()));
            response.set_grantedttl(machine_.store().lease_ttl(request.id()));
        }
        d(std::move(response));
    });
}

void Node::lease_leases(Done<pb::LeaseLeasesResponse> done) {
    after_read_index([this, d = std::move(done)](base::Status ready) mutable {
        if (!ready) return d(ready.error());
        pb::LeaseLeasesResponse response;
        fill_header(response.mutable_header());
        for (const auto id : machine_.store().leases())
            response.add_leases()->set_id(id);
        d(std::move(response));
    });
}

void Node::revoke_expired() {
    for (const auto id : machine_.lessor().take_expired(machine_.now_ms(), kRevokesPerTick)) {
        Command command;
        command.mutable_lease_revoke()->set_id(id);
        if (!base::planted(base::PlantedBug::kStalledLeaderRevokes))
            command.set_only_in_term(lease_term_.value());
        propose<pb::LeaseRevokeResponse>(
            std::move(command), [id](base::Result<pb::LeaseRevokeResponse> revoked) {
                if (!revoked && revoked.error().code != base::Code::kNotFound)
                    LOG_DEBUG("kvstore", "lease {} is expired but not revoked yet: {}", id,
                              revoked.error().message);
            });
    }
}

void Node::checkpoint_leases() {
    const auto due = machine_.lessor().take_checkpoints(machine_.now_ms(), kCheckpointsPerTick);
    if (due.empty()) return;
    Command command;
    for (const auto& point : due) {
        auto* out = command.mutable_lease_checkpoint()->add_checkpoints();
        out->set_id(point.id);
        out->set_remaining_ttl(point.remaining_seconds);
    }
    command.set_only_in_term(lease_term_.value());
    propose<pb::LeaseCheckpointResponse>(
        std::move(command), [this, due, mark = machine_.lessor().mark()](
                                base::Result<pb::LeaseCheckpointResponse> done) {
            if (!done)
                return LOG_DEBUG("kvstore", "leases not checkpointed: {}", done.error().message);
            for (const auto& point : due)
                machine_.lessor().settle(point.id, mark);
        });
}

}  // namespace kvstore
