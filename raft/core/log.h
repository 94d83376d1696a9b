#pragma once
// Log: the replicated log as one member sees it, volatile part included. Terms and memberships are
// known for every position; the entries themselves are cached only near the end, older ones are
// read back from durable storage through an EntrySource. Pure but for that call.
//
// Positions: base ≤ stable ≤ last and base ≤ commit ≤ last. What stands at or before `base` is
// compacted; up to `stable` is durable here.

#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "raft/core/config.h"
#include "raft/core/types.h"

namespace raft {

// Reads durable entries. CHECKs (ends the process) where storage breaks its promise.
class EntrySource {
  public:
    virtual ~EntrySource() = default;
    // Entries [from, to], or a non-empty prefix of them of about `max_bytes`.
    virtual std::vector<Entry> read(Index from, Index to, std::size_t max_bytes) = 0;
};

// What a log is made from after a restart.
struct RecoveredLog {
    Position base;
    Config base_config;  // in force at base
    Index last;
    std::vector<Position> term_starts;              // ascending: where each term begins after base
    std::vector<std::pair<Index, Config>> configs;  // after base, ascending
};

class Log {
  public:
    // `source` outlives the log.
    Log(RecoveredLog recovered, EntrySource& source);

    Position base() const { return base_; }
    Index first_index() const { return base_.index + 1; }
    Index last_index() const { return last_; }
    Term last_term() const { return term_of(last_); }
    Position last() const { return {last_, last_term()}; }
    Index commit() const { return commit_; }
    Index stable() const { return stable_; }

    // Nothing when compacted away or not there yet.
    std::optional<Term> term(Index index) const;
    bool matches(Position p) const { return term(p.index) == p.term; }
    // Whether a log that ends at `p` holds everything that this one may have committed.
    bool is_up_to_date(Position p) const;
    // The largest index ≤ `index` whose term is ≤ `term`.
    Index conflict_hint(Index index, Term term) const;

    // Appends at the end or replaces the suffix from the first entry's index on. CHECKs that
    // nothing committed is replaced and that there is no gap.
    void append(const std::vector<Entry>& entries);
    // Everything up to `p` is on disk, unless that suffix was replaced meanwhile.
    void stable_to(Position p);
    void commit_to(Index index);
    // Forgets up to `index`, which is stable and committed.
    void compact(Index index);
    // A snapshot takes the place of the whole log.
    void restore(Position p, Config config);
    // Drops cached entries that are durable and ≤ `applied` while the cache exceeds `bytes`.
    void evict(Index applied, std::size_t bytes);

    // [from, to] as far as `max_bytes` goes, at least one entry; from > to gives none.
    std::vector<Entry> slice(Index from, Index to, std::size_t max_bytes) const;

    // The newest membership in the log, and where it stands.
    const Config& config() const { return configs_.back().second; }
    Index config_index() const { return configs_.back().first; }
    // In force at `index`.
    const Config& config_at(Index index) const;
    // The first membership entry after `index`.
    std::optional<Index> next_config_after(Index index) const;

  private:
    Term term_of(Index index) const;
    void truncate_from(Index index);

    EntrySource& source_;
    Position base_;
    Index last_;
    Index commit_;
    Index stable_;
    std::deque<Position> runs_;  // term runs after base: where each begins
    std::deque<std::pair<Index, Config>> configs_;
    std::deque<Entry> cache_;  // ends at last_
    std::size_t cache_bytes_ = 0;
};

}  // namespace raft
