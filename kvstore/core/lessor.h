#pragma once
// Lessor: when leases expire. Which leases exist is replicated state (MvccStore); their deadlines
// are the leader's alone, kept here against a clock that the caller reads. Pure: times are
// milliseconds of any monotonic clock. A member that becomes leader starts every lease anew, so
// that none expires for the lack of a leader, and spreads their ends, so that thousands do not end
// in one instant.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

namespace kvstore {

class Lessor {
  public:
    // Becomes the one that expires leases: all get their whole time from `now_ms`.
    void promote(std::int64_t now_ms);
    // No deadline counts any more.
    void demote();
    bool primary() const { return primary_; }

    void grant(std::int64_t id, std::int64_t ttl_seconds, std::int64_t now_ms);
    void revoke(std::int64_t id);
    void clear();
    // Starts the lease's time anew and answers its time to live in seconds. Nothing when it is
    // unknown or its time has run out already (its revocation is under way).
    std::optional<std::int64_t> renew(std::int64_t id, std::int64_t now_ms);
    // Whole seconds left (rounded up; 0 or less: expired); the granted time when this is not the
    // primary.
    std::int64_t remaining_seconds(std::int64_t id, std::int64_t now_ms) const;
    // At most `limit` leases whose time has run out, longest ago first. Each is answered again only
    // after `kRetryMs`, in case its revocation was lost.
    std::vector<std::int64_t> take_expired(std::int64_t now_ms, std::size_t limit);
    // When the next one runs out; nothing when none can.
    std::optional<std::int64_t> next_deadline() const;

    static constexpr std::int64_t kRetryMs = 3000;

  private:
    struct Lease {
        std::int64_t ttl_seconds = 0;
        std::int64_t deadline_ms = 0;  // when it expires
        std::int64_t wake_ms = 0;      // when to look at it next; its place in order_
    };
    void schedule(std::int64_t id, Lease& lease, std::int64_t wake_ms);

    bool primary_ = false;
    std::map<std::int64_t, Lease> leases_;
    std::set<std::pair<std::int64_t, std::int64_t>>
        order_;  // (wake_ms, id), filled on the primary only
};

}  // namespace kvstore
