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

void Lessor::schedule_checkpoint(std::int64_t id, Lease& lease, std::int64_t now_ms) {
    checkpoints_.erase({lease.checkpoint_ms, id});
    lease.checkpoint_ms = 0;
    if (!primary_ || checkpoint_interval_ms_ <= 0) return;
    // Whole seconds: what a promotion spreads does not count.
    if ((lease.deadline_ms - now_ms) / 1000 * 1000 <= checkpoint_interval_ms_) return;
    lease.checkpoint_ms = now_ms + checkpoint_interval_ms_;
    checkpoints_.insert({lease.checkpoint_ms, id});
}

void Lessor::promote(std::int64_t now_ms) {
    primary_ = true;
    order_.clear();
    checkpoints_.clear();
    std::int64_t n = 0;
    for (auto& [id, lease] : leases_) {
        const std::int64_t left =
            lease.remaining_seconds > 0 ? lease.remaining_seconds : lease.ttl_seconds;
        if (!base::planted(base::PlantedBug::kLeaseNotExtended))
            lease.deadline_ms = now_ms + left * 1000 + n++ * 1000 / kSpreadPerSecond;
        lease.settled = taken_;  // what an earlier term noted is void
        schedule(id, lease, lease.deadline_ms);
        schedule_checkpoint(id, lease, now_ms);
    }
}

void Lessor::demote() {
    primary_ = false;
    order_.clear();
    checkpoints_.clear();
}

void Lessor::grant(std::int64_t id, std::int64_t ttl_seconds, std::int64_t now_ms,
                   std::int64_t remaining_seconds) {
    Lease& lease = leases_[id];
    lease.ttl_seconds = ttl_seconds;
    lease.remaining_seconds = remaining_seconds;
    lease.deadline_ms = now_ms + (remaining_seconds > 0 ? remaining_seconds : ttl_seconds) * 1000;
    schedule(id, lease, lease.deadline_ms);
    schedule_checkpoint(id, lease, now_ms);
}

void Lessor::checkpoint(std::int64_t id, std::int64_t remaining_seconds) {
    const auto it = leases_.find(id);
    if (it != leases_.end()) it->second.remaining_seconds = remaining_seconds;
}

void Lessor::settle(std::int64_t id, std::uint64_t mark) {
    const auto it = leases_.find(id);
    if (it != leases_.end()) it->second.settled = std::max(it->second.settled, mark);
}

bool Lessor::needs_clearing(std::int64_t id) const {
    const auto it = leases_.find(id);
    return it != leases_.end() &&
           (it->second.remaining_seconds > 0 || it->second.taken > it->second.settled);
}

void Lessor::revoke(std::int64_t id) {
    auto it = leases_.find(id);
    if (it == leases_.end()) return;
    order_.erase({it->second.wake_ms, id});
    checkpoints_.erase({it->second.checkpoint_ms, id});
    leases_.erase(it);
}

void Lessor::clear() {
    leases_.clear();
    order_.clear();
    checkpoints_.clear();
}

std::optional<std::int64_t> Lessor::renew(std::int64_t id, std::int64_t now_ms) {
    auto it = leases_.find(id);
    if (it == leases_.end() || !primary_ || it->second.deadline_ms <= now_ms) return std::nullopt;
    it->second.deadline_ms = now_ms + it->second.ttl_seconds * 1000;
    schedule(id, it->second, it->second.deadline_ms);
    schedule_checkpoint(id, it->second, now_ms);
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

std::vector<Lessor::Checkpoint> Lessor::take_checkpoints(std::int64_t now_ms, std::size_t limit) {
    std::vector<Checkpoint> out;
    while (!checkpoints_.empty() && checkpoints_.begin()->first <= now_ms && out.size() < limit) {
        const std::int64_t id = checkpoints_.begin()->second;
        Lease& lease = leases_.at(id);
        schedule_checkpoint(id, lease, now_ms);
        const std::int64_t left = remaining_seconds(id, now_ms);
        if (left <= 0) continue;
        lease.taken = ++taken_;
        out.push_back({id, left});
    }
    return out;
}

std::optional<std::int64_t> Lessor::next_deadline() const {
    if (order_.empty()) return std::nullopt;
    return order_.begin()->first;
}

}  // namespace kvstore
