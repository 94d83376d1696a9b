// Clients that use leases, and the rules that these keep: a lease lives at least its time after it
// was granted, or after it was last asked to be renewed with success, and ends in finite time once
// nobody renews it.

#include <fmt/format.h>

#include "test/sim/cluster.h"

namespace sim {

namespace pb = etcdserverpb;

void Cluster::lease_loop() {
    if (!faults_) return;
    world_.after(world_.random.between(20, 300) * kMilli, [this] {
        if (!faults_) return;
        Host* host = pick(true);
        if (host != nullptr && !host->paused()) host->run([this, host] { lease_request(*host); });
        lease_loop();
    });
}

void Cluster::lease_request(Host& host) {
    base::Random& random = world_.random;
    std::vector<std::int64_t> known;
    for (const auto& [id, lease] : leases_)
        if (!lease.gone) known.push_back(id);
    if (known.size() < 2 || (known.size() < 6 && random.chance(1, 4))) return grant_lease(host);
    const std::int64_t id = known[random.below(known.size())];
    switch (random.below(8)) {
        case 0:
            return revoke_lease(host, id);
        case 1:
        case 2:
            return put_with_lease(host, id);
        case 3:
            return list_leases(host);
        default:
            return keep_lease(host, id);
    }
}

void Cluster::grant_lease(Host& host) {
    pb::LeaseGrantRequest request;
    request.set_id(static_cast<std::int64_t>(++last_write_));
    request.set_ttl(static_cast<std::int64_t>(world_.random.between(1, 3)));
    auto call = std::make_shared<Call>();
    call->floor = answered_;
    call->revision = answered_revision_;
    host.node().lease_grant(std::move(request),
                            [this, call, &host](base::Result<pb::LeaseGrantResponse> result) {
                                if (answered(host, call, result)) World::cover("leases granted");
                            });
}

// Applied for the first time.
void Cluster::lease_granted(const pb::LeaseGrantRequest& request) {
    Lease& lease = leases_[request.id()];
    lease.ttl = request.ttl();
    lease.renewed_at = world_.now();
    world_.trace(fmt::format("lease {} of {} s is granted", request.id(), request.ttl()));
}

void Cluster::keep_lease(Host& host, std::int64_t id) {
    host.node().lease_keep_alive(id, [this, id, &host, asked_at = world_.now()](
                                         base::Result<pb::LeaseKeepAliveResponse> result) {
        if (host.dying()) return;
        if (!result) return World::cover("lease renewals failed");
        Lease& lease = leases_[id];
        if (result->ttl() <= 0) return World::cover("leases too late to renew");
        World::cover("leases renewed");
        world_.trace(
            fmt::format("lease {} asked for at {} is renewed by {}", id, asked_at, host.id()));
        if (result->ttl() != lease.ttl)
            fail(fmt::format("lease {} is renewed for {} s instead of {}", id, result->ttl(),
                             lease.ttl));
        // Who answered led after the question was asked; who leads later counts from there.
        if (!lease.gone) lease.renewed_at = std::max(lease.renewed_at, asked_at);
    });
}

void Cluster::revoke_lease(Host& host, std::int64_t id) {
    leases_[id].may_be_revoked = true;
    pb::LeaseRevokeRequest request;
    request.set_id(id);
    auto call = std::make_shared<Call>();
    call->floor = answered_;
    call->revision = answered_revision_;
    host.node().lease_revoke(std::move(request),
                             [this, call, &host, id](base::Result<pb::LeaseRevokeResponse> result) {
                                 if (!answered(host, call, result)) return;
                                 World::cover("leases revoked");
                                 if (!leases_[id].gone)
                                     fail(fmt::format("lease {} is revoked but there", id));
                             });
}

void Cluster::put_with_lease(Host& host, std::int64_t id) {
    auto call = std::make_shared<Call>();
    call->floor = answered_;
    call->revision = answered_revision_;
    call->write = ++last_write_;
    pb::PutRequest request;
    request.set_key(fmt::format("lease{}", world_.random.below(4)));
    request.set_value(value_of(call->write));
    request.set_lease(id);
    host.node().put(std::move(request), [this, call, &host](base::Result<pb::PutResponse> result) {
        if (answered(host, call, result)) World::cover("keys put on leases");
    });
}

void Cluster::list_leases(Host& host) {
    auto call = std::make_shared<Call>();
    call->floor = answered_;
    call->revision = answered_revision_;
    host.node().lease_leases([this, call, &host](base::Result<pb::LeaseLeasesResponse> result) {
        if (!answered(host, call, result)) return;
        World::cover("leases listed");
        std::vector<std::int64_t> want;
        for (const auto& [id, ttl] : journal_.leases_at(host.applied().index))
            want.push_back(id);
        std::vector<std::int64_t> have;
        for (const auto& lease : result->leases())
            have.push_back(lease.id());
        if (have != want)
            fail(fmt::format("member {} lists other leases than there are", host.id()));
    });
}

// Revoked, applied for the first time.
void Cluster::lease_ended(std::int64_t id) {
    Lease& lease = leases_[id];
    lease.gone = true;
    world_.trace(fmt::format("lease {} ends", id));
    if (lease.may_be_revoked) return;
    World::cover("leases expired");
    // The leader's clock may run up to 15 % fast.
    const Micros least = static_cast<Micros>(lease.ttl) * kSecond * 100 / 115;
    if (world_.now() < lease.renewed_at + least)
        fail(fmt::format("lease {} of {} s ends {} ms after it was renewed", id, lease.ttl,
                         (world_.now() - lease.renewed_at) / kMilli));
}

}  // namespace sim
