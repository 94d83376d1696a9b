#include "kvstore/core/lessor.h"

#include <algorithm>

#include "base/planted.h"

namespace kvstore {
namespace {
// At most this many leases may end in any one second after a change of leader.
constexpr std::int64_t kSpreadPerSecond = 1000;
}  // namespace

void Lessor::schedule(std::int64_t id, Lease& lease, std::int64_t wake_ms) {
    order_.erase({lease.wake_ms, id});
    lease.wake_ms = wake_ms;
    if (primary_) order_.insert({wake_ms, id});
}

void Lessor::promote(std::int64_t now_ms) {
    primary_ = true;
    order_.clear();
    std::int64_t n = 0;
    for (auto& [id, lease] : leases_) {
        if (!base::planted(base::PlantedBug::kLeaseNotExtended))
            lease.deadline_ms = now_ms + lease.ttl_seconds * 1000 + n++ * 1000 / kSpreadPerSecond;
        schedule(id, lease, lease.deadline_ms);
    }
}

void Lessor::demote() {
    primary_ = false;
    order_.clear();
}

void Lessor::grant(std::int64_t id, std::int64_t ttl_seconds, std::int64_t now_ms) {
    Lease& lease = leases_[id];
    lease.ttl_seconds = ttl_seconds;
    lease.deadline_ms = now_ms + ttl_seconds * 1000;
    schedule(id, lease, lease.deadline_ms);
}

void Lessor::revoke(std::int64_t id) {
    auto it = leases_.find(id);
    if (it == leases_.end()) return;
    order_.erase({it->second.wake_ms, id});
    leases_.erase(it);
}

void Lessor::clear() {
    leases_.clear();
    order_.clear();
}

std::optional<std::int64_t> Lessor::renew(std::int64_t id, std::int64_t now_ms) {
    auto it = leases_.find(id);
    if (it == leases_.end() || !primary_ || it->second.deadline_ms <= now_ms) return std::nullopt;
    it->second.deadline_ms = now_ms + it->second.ttl_seconds * 1000;
    schedule(id, it->second, it->second.deadline_ms);
    return it->second.ttl_seconds;
}

std::int64_t Lessor::remaining_seconds(std::int64_t id, std::int64_t now_ms) const {
    auto it = leases_.find(id);
    if (it == leases_.end()) return 0;
    if (!primary_) return it->second.ttl_seconds;
    const std::int64_t left_ms = it->second.deadline_ms - now_ms;
    return left_ms <= 0 ? 0 : (left_ms + 999) / 1000;
}

std::vector<std::int64_t> Lessor::take_expired(std::int64_t now_ms, std::size_t limit) {
    std::vector<std::int64_t> out;
    while (!order_.empty() && order_.begin()->first <= now_ms && out.size() < limit) {
        const std::int64_t id = order_.begin()->second;
        schedule(id, leases_.at(id), now_ms + kRetryMs);
        out.push_back(id);
    }
    return out;
}

std::optional<std::int64_t> Lessor::next_deadline() const {
    if (order_.empty()) return std::nullopt;
    return order_.begin()->first;
}

}  // namespace kvstore
