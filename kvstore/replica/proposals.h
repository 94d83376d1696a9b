#pragma once
// Proposals: what this member's clients have proposed and wait for. Packs waiting proposals into
// log-entry payloads, matches applied ones to their waiters, and decides what to do with those
// whose fate is open when the term changes. Pure bookkeeping, no I/O; all in order of arrival.
//
// A payload is: varint node, varint first sequence, then per proposal varint sequence - first,
// varint size, bytes.
//
// Exactly once or not at all: a batch is appended only by the leader of the term it was sent in
// (raft::Core::propose). When an entry of a later term is applied, whatever was sent in an earlier
// term and not applied until then is lost for certain and may be sent again.

#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/loop.h"
#include "kvstore/replica/replica.h"

namespace kvstore {

class Proposals {
  public:
    using Callback = Replica::ProposeCallback;
    struct Finished {
        Callback done;
        base::Result<ApplyResult> result;
    };
    struct Batch {
        std::string payload;
        std::uint64_t context = 0;
        std::size_t count = 0;
    };

    Proposals(raft::NodeId node, std::uint64_t first_sequence)
        : node_(node), base_(first_sequence), last_context_(first_sequence) {}

    // `alone`: it shares its batch with no other.
    void add(std::string payload, bool alone, base::Millis deadline, Callback done);
    bool has_unsent() const { return !unsent_.empty(); }
    std::size_t size() const { return live_; }
    std::size_t bytes() const { return bytes_; }

    // Takes waiting proposals of about `max_bytes`, to be sent to the leader of `term`.
    Batch next_batch(std::size_t max_bytes, raft::Term term);
    // It was certainly not appended: to be sent again.
    void unsend(std::uint64_t context);

    // Whether somebody here waits for the proposal.
    bool waits(raft::NodeId node, std::uint64_t sequence) const;
    Callback take(std::uint64_t sequence);
    // An entry of `term` is applied: what was sent in earlier terms goes back to waiting.
    // How many.
    std::size_t lost_before(raft::Term term);
    // Everything sent has an unknown outcome.
    std::vector<Callback> take_sent();
    std::vector<Callback> take_expired(base::Millis now);
    std::vector<Callback> take_all();

    struct One {
        raft::NodeId node;
        std::uint64_t sequence = 0;
        std::string_view bytes;
    };
    // The proposal of a payload with no other.
    static std::optional<One> only_one(std::string_view payload);
    // Calls f(node, sequence, bytes) for each proposal in a payload until it answers false; false
    // when what was read is malformed.
    template <class F>
    static bool for_each(std::string_view payload, F f);

  private:
    struct Pending {
        std::string payload;
        bool alone = false;
        Callback done;
        base::Millis deadline{0};
        std::uint64_t context = 0;  // of its batch; 0: waits to be sent
        raft::Term term;            // it was sent in
        bool live = true;
    };
    Callback take_at(std::size_t i);
    void trim();
    void requeue(const std::vector<std::uint64_t>& sequences);

    raft::NodeId node_;
    std::uint64_t base_;  // sequence of pending_.front()
    std::deque<Pending> pending_;
    std::deque<std::uint64_t> unsent_;  // ascending
    std::uint64_t last_context_;
    std::size_t live_ = 0;
    std::size_t bytes_ = 0;
};

namespace detail {
bool take_number(std::string_view* in, std::uint64_t* out);
}

template <class F>
bool Proposals::for_each(std::string_view payload, F f) {
    std::uint64_t node = 0;
    std::uint64_t first = 0;
    if (!detail::take_number(&payload, &node) || !detail::take_number(&payload, &first))
        return false;
    while (!payload.empty()) {
        std::uint64_t delta = 0;
        std::uint64_t size = 0;
        if (!detail::take_number(&payload, &delta) || !detail::take_number(&payload, &size) ||
            size > payload.size())
            return false;
        if (!f(raft::NodeId(node), first + delta, payload.substr(0, size))) return true;
        payload.remove_prefix(size);
    }
    return true;
}

}  // namespace kvstore
