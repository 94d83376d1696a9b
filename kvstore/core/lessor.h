#pragma once
// Lessor: when leases expire. Which leases exist is replicated state (MvccStore); their deadlines
// are the leader's alone, kept here against a clock that the caller reads. Pure: times are
// milliseconds of any monotonic clock. A member that becomes leader starts every lease anew, so
// that none expires for the lack of a leader, and spreads their ends, so that thousands do not end
// in one instant.
//
// Checkpoints: every so often a leader has what is left of a long lease that was not renewed noted
// in the replicated state, so that the next leader goes on from there and the lease does not live
// for ever when leaders change. A renewal makes the note void, and must not be answered before that
// is replicated: see needs_clearing().

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

namespace kvstore {

class Lessor {
  public:
    struct Checkpoint {
        std::int64_t id = 0;
        std::int64_t remaining_seconds = 0;
        friend bool operator==(const Checkpoint&, const Checkpoint&) = default;
    };

    // For leases that last longer than this; 0: none. Before the first promotion.
    void set_checkpoint_interval(std::int64_t ms) { checkpoint_interval_ms_ = ms; }

    // Becomes the one that expires leases: all get what is left of their time from `now_ms`.
    void promote(std::int64_t now_ms);
    // No deadline counts any more.
    void demote();
    bool primary() const { return primary_; }

    // `remaining_seconds`: what is left by the last checkpoint; 0: all.
    void grant(std::int64_t id, std::int64_t ttl_seconds, std::int64_t now_ms,
               std::int64_t remaining_seconds = 0);
    void revoke(std::int64_t id);
    void clear();
    // The checkpoint is a part of the replicated state now.
    void checkpoint(std::int64_t id, std::int64_t remaining_seconds);
    // A checkpoint of it is noted or on its way: one of 0 has to be replicated before a renewal.
    bool needs_clearing(std::int64_t id) const;
    // What take_checkpoints() has answered up to now.
    std::uint64_t mark() const { return taken_; }
    // None of the lease's checkpoints up to the mark is on its way any more: they were replicated,
    // or what was proposed after them was.
    void settle(std::int64_t id, std::uint64_t mark);
    // Starts the lease's time anew and answers its time to live in seconds. Nothing when it is
    // unknown or its time has run out already (its revocation is under way).
    std::optional<std::int64_t> renew(std::int64_t id, std::int64_t now_ms);
    // Whole seconds left (rounded up; 0 or less: expired); the granted time when this is not the
    // primary.
    std::int64_t remaining_seconds(std::int64_t id, std::int64_t now_ms) const;
    // At most `limit` leases whose time has run out, longest ago first. Each is answered again only
    // after `kRetryMs`, in case its revocation was lost.
    std::vector<std::int64_t> take_expired(std::int64_t now_ms, std::size_t limit);
    // At most `limit` checkpoints that are due.
    std::vector<Checkpoint> take_checkpoints(std::int64_t now_ms, std::size_t limit);
    // When the next one runs out; nothing when none can.
    std::optional<std::int64_t> next_deadline() const;

    static constexpr std::int64_t kRetryMs = 3000;

  private:
    struct Lease {
        std::int64_t ttl_seconds = 0;
        std::int64_t remaining_seconds = 0;  // as replicated
        std::uint64_t taken = 0;             // its last checkpoint
        std::uint64_t settled = 0;           // of those, none up to here is on its way
        std::int64_t deadline_ms = 0;        // when it expires
        std::int64_t wake_ms = 0;            // when to look at it next; its place in order_
        std::int64_t checkpoint_ms = 0;      // its place in checkpoints_; 0: none
    };
    void schedule(std::int64_t id, Lease& lease, std::int64_t wake_ms);
    void schedule_checkpoint(std::int64_t id, Lease& lease, std::int64_t now_ms);

    bool primary_ = false;
    std::uint64_t taken_ = 0;
    std::int64_t checkpoint_interval_ms_ = 0;
    std::map<std::int64_t, Lease> leases_;
    // (when, id), filled on the primary only.
    std::set<std::pair<std::int64_t, std::int64_t>> order_;
    std::set<std::pair<std::int64_t, std::int64_t>> checkpoints_;
};

}  // namespace kvstore
