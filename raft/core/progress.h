#pragma once
// Progress: what a leader knows about one member's log, and how much it may have under way to it.
// Probe: one message at a time until the logs are known to agree. Replicate: a pipeline bounded by
// messages and bytes. Snapshot: nothing until the snapshot stream has ended. Pure.

#include <algorithm>
#include <deque>

#include "base/check.h"
#include "raft/core/types.h"

namespace raft {

class Window {
  public:
    Window(std::size_t max_messages, std::size_t max_bytes)
        : max_messages_(max_messages), max_bytes_(max_bytes) {}

    bool full() const { return sent_.size() >= max_messages_ || bytes_ >= max_bytes_; }
    void add(Index last, std::size_t bytes) {
        sent_.push_back({last, bytes});
        bytes_ += bytes;
    }
    void free_to(Index index) {
        while (!sent_.empty() && sent_.front().last <= index)
            free_first();
    }
    void free_first() {
        if (sent_.empty()) return;
        bytes_ -= sent_.front().bytes;
        sent_.pop_front();
    }
    void clear() {
        sent_.clear();
        bytes_ = 0;
    }
    std::size_t messages() const { return sent_.size(); }

  private:
    struct Sent {
        Index last;
        std::size_t bytes;
    };
    std::deque<Sent> sent_;
    std::size_t bytes_ = 0;
    std::size_t max_messages_;
    std::size_t max_bytes_;
};

struct Progress {
    enum class State : std::uint8_t { kProbe, kReplicate, kSnapshot };

    explicit Progress(Index next_index, Window w) : next(next_index), window(w) {}

    Index match;        // durable there
    Index next;         // the next to send
    Index sent_commit;  // the highest commit index that a message under way tells
    State state = State::kProbe;
    bool probe_sent = false;
    bool active = false;      // heard from since the last quorum check
    bool was_active = false;  // in the period before that
    bool leaving = false;     // removed by an entry that is not committed yet
    std::uint64_t read_ack = 0;
    std::uint64_t lease_ack = 0;  // the newest round that came back with a promise
    std::uint32_t priority = 0;
    Window window;

    bool alive() const { return active || was_active; }
    // What comes behind it is still to be sent, or sent again.
    Index has() const { return state == State::kProbe ? next - 1 : match; }
    bool paused() const {
        switch (state) {
            case State::kProbe:
                return probe_sent;
            case State::kReplicate:
                return window.full();
            case State::kSnapshot:
                return true;
        }
        return true;
    }
    void become_probe(Index next_index) {
        state = State::kProbe;
        probe_sent = false;
        next = next_index;
        sent_commit = Index(0);
        window.clear();
    }
    void become_replicate() {
        state = State::kReplicate;
        probe_sent = false;
        next = match + 1;
        window.clear();
    }
    void become_snapshot() {
        state = State::kSnapshot;
        probe_sent = false;
        window.clear();
    }
};

}  // namespace raft
