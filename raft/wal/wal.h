#pragma once
// Wal: the durable log of one member, in segment files of a Disk, and its vote record. Plans and
// encodes on the store loop (not thread-safe); the Disk writes and syncs elsewhere and reports back
// in order. Formats: raft/wal/record.h, raft/wal/vote_file.h.
//
// After a crash the end of the log may be torn: what was not synced is there in part. Such a tail
// is cut. Damage to what *was* synced is another thing: a later record proves it, by carrying how
// far the log was durable when that record was written. Then what is intact before it is kept, and
// a file says so until the peers have made the rest good; without peers, opening fails with
// DataLoss and touches nothing. Each opening begins a new segment, so nothing is ever written over
// a torn tail.

#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/function.h"
#include "base/result.h"
#include "raft/core/core.h"
#include "raft/wal/disk.h"
#include "raft/wal/record.h"
#include "raft/wal/vote_file.h"

namespace raft {

struct WalOptions {
    std::uint64_t cluster_id = 0;
    NodeId node;
    std::uint64_t segment_bytes = 16U << 20U;
    // The membership as it is known from elsewhere: who could give lost entries back, should no
    // segment be readable.
    Config fallback = {};
};

struct WalRecovered {
    HardState hard;
    RecoveredLog log;
    Index commit;
    // A snapshot that was about to be installed.
    std::optional<std::pair<Position, Config>> intent;
    bool fresh = false;  // there was nothing
    bool torn_tail_cut = false;
    std::string damaged_vote;  // the copy of the vote record that was damaged
    // Entries that were durable are lost, now or before an earlier start: what, for the operator.
    // The rest is to come from the peers (Core::repairing); `damaged_in` is the term it happened
    // in.
    std::string damage;
    std::optional<Term> damaged_in;
};

class Wal final : public EntrySource {
  public:
    using Done = base::UniqueFunction<void()>;

    // Reads everything, repairs a torn tail, begins a new segment. `ready` runs once what was read
    // is known to be durable: acknowledge nothing before. FailedPrecondition: the files are of
    // another cluster or member.
    static base::Result<std::unique_ptr<Wal>> open(Disk& disk, WalOptions options,
                                                   WalRecovered* recovered, Done ready);

    // One group: the vote record if it changed, then the entries, which replace the log from the
    // first one's index on. `commit`: noted for the next start when there is something to write.
    void append(const std::optional<HardState>& hard, const std::vector<Entry>& entries,
                Index commit, Done done);
    // Before a snapshot at `position` replaces the state machine's content.
    void write_intent(Position position, const Config& config, Done done);
    // After that: the log is empty and begins behind `position`.
    void reset(Position position, const Config& config, Done done);
    // Before anything durable is given up: from the next start on, WalRecovered::damaged_in says
    // so.
    void note_damage(Term term);
    // The peers have made it good.
    void forget_damage();
    // Drops whole segments of entries ≤ `limit`, which are committed. Returns the new base's index
    // (the old one when nothing can go).
    Index compact(Index limit, const Log& log);
    // Whether anything would go.
    bool can_compact(Index limit, const Log& log) const { return first_kept(limit, log) > 0; }
    // The last index before the newest segments that have at least `bytes` together; 0 when all
    // have not.
    Index before_last(std::uint64_t bytes) const;

    // EntrySource. Empty when the file cannot be read or is damaged (logged).
    std::vector<Entry> read(Index from, Index to, std::size_t max_bytes) override;

    // What the segments occupy.
    std::uint64_t bytes() const;
    std::size_t segments() const { return segments_.size(); }

  private:
    struct Segment {
        std::uint64_t sequence = 0;
        std::uint64_t file_bytes = 0;
        std::uint64_t start_lsn = 0;
        std::uint64_t used = 0;
        Position previous;
    };
    struct Location {
        std::uint32_t segment = 0;
        std::uint32_t offset = 0;
    };
    friend class WalRecovery;

    Wal(Disk& disk, WalOptions options) : disk_(disk), options_(options) {}

    // Of `usual` bytes, or what its header and `need` take.
    void begin_segment(DiskBatch* batch, bool reset, std::uint64_t usual, std::uint64_t need);
    // Of segments_, when those of entries ≤ `limit` go.
    std::size_t first_kept(Index limit, const Log& log) const;
    // `more`: about so many bytes come behind it in the same batch.
    void add_record(DiskBatch* batch, wal::RecordType type, std::string_view head,
                    std::string_view tail, std::size_t more = 0);
    void submit(DiskBatch batch, Done done);
    void submit_vote(const HardState& hard);
    void truncate_from(Index index);
    Location location(Index index) const { return locations_[index - base_.index - 1]; }
    // Where the entry's record ends in its segment, or what comes behind it begins.
    std::uint64_t end_of(Index index) const;
    std::uint64_t end_lsn() const { return segments_.back().start_lsn + segments_.back().used; }

    Disk& disk_;
    WalOptions options_;
    std::deque<Segment> segments_;
    std::uint64_t durable_lsn_ = 0;
    std::uint64_t vote_sequence_ = 0;
    Position base_;
    Position last_;
    std::deque<Location> locations_;  // of base_.index + 1 …
    std::deque<Position> runs_;       // where each term begins, after base_
    std::deque<std::pair<Index, Config>> configs_;
    Index commit_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace raft
