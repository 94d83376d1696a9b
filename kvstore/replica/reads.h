#pragma once
// Reads: linearizable reads that wait, first for the leader's word on the index (asked for in
// batches, again when no answer comes), then until that index is applied. Pure bookkeeping.

#include <deque>
#include <map>
#include <vector>

#include "base/loop.h"
#include "kvstore/replica/replica.h"

namespace kvstore {

class Reads {
  public:
    using Callback = Replica::ReadCallback;

    explicit Reads(std::uint64_t first_context) : last_context_(first_context) {}

    void add(base::Millis deadline, Callback done);
    std::size_t size() const { return live_; }
    bool has_unasked() const { return !unasked_.empty(); }

    // Puts everything that was not asked for yet under one context; 0 when there is nothing.
    std::uint64_t next_context(base::Millis now);
    // The context was not taken after all.
    void unask(std::uint64_t context);
    // No answer for what was asked before `before`: ask again.
    void unask_before(base::Millis before);
    void answered(std::uint64_t context, raft::Index index);

    // What may be served at `applied`.
    std::vector<Callback> take_ready(raft::Index applied);
    std::vector<Callback> take_expired(base::Millis now);
    std::vector<Callback> take_all();

  private:
    struct Waiting {
        base::Millis deadline{0};
        Callback done;
    };
    struct Asked {
        base::Millis at{0};
        std::deque<Waiting> reads;
    };
    static void expire(std::deque<Waiting>* reads, base::Millis now, std::vector<Callback>* out);
    void put_back(std::deque<Waiting> reads);

    std::uint64_t last_context_;
    std::size_t live_ = 0;
    std::deque<Waiting> unasked_;
    std::map<std::uint64_t, Asked> asked_;
    std::map<raft::Index, std::deque<Waiting>> confirmed_;
};

}  // namespace kvstore
