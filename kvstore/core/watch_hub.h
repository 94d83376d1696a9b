#pragma once
// WatchHub: every watcher of a member. Pure, store loop only. A watcher is either synced, then it
// is handed each batch of changes as it is applied, or behind, then pump() reads what it misses
// from history. A watcher whose sink is not ready falls behind and costs nothing but its entry
// here: what it missed is read again from history once it is ready (or the watch is cancelled, if
// that was compacted meanwhile). So memory per watcher is bounded however slow it is. Source: etcd
// v3 watch guarantees (ordered, unique, reliable, atomic, resumable, bookmarkable).
//
// Watchers of the same keys who miss the same share what is read for them: thousands that fell
// behind together cost one read.

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kvstore/mvcc/event.h"
#include "kvstore/mvcc/schema.h"
#include "kvstore/mvcc/store.h"

namespace kvstore {

// Some events of one watcher: all of its events of one or more whole revisions. Immutable; one for
// all watchers that are handed the same.
struct WatchBatch {
    // The newest revision that the batch covers: everything up to it has been delivered.
    std::int64_t revision = 0;
    // Point into what `owners` keeps alive.
    std::vector<const Event*> events;
    std::vector<RevisionEventsPtr> owners;
    // For sinks to keep what they make of it for the next watcher: without and with what the events
    // replaced. Empty until somebody fills it in.
    mutable std::array<std::shared_ptr<const std::string>, 2> encoded;
};
using WatchBatchPtr = std::shared_ptr<const WatchBatch>;

// Who a watcher's events go to. Owned by the caller, who cancels its watchers before it goes.
class WatchSink {
  public:
    virtual ~WatchSink() = default;
    // False while it has more to send than it should keep; call WatchHub::pump() when that is over.
    virtual bool ready() const = 0;
    // `tag` is what the watcher's request carried. Must not add or remove watchers.
    virtual void deliver(std::int64_t tag, const WatchBatchPtr& batch) = 0;
    // The watcher is gone: its next revision was compacted. `compacted` is the compacted revision.
    virtual void compacted(std::int64_t tag, std::int64_t compacted) = 0;
};

class WatchHub {
  public:
    struct Request {
        std::int64_t tag = 0;  // the sink's own name for the watcher
        bool no_put = false;
        bool no_delete = false;
        bool previous = false;
        // The first revision to deliver; 0: whatever comes after now.
        std::int64_t start_revision = 0;
        std::string key;
        std::string range_end;
    };

    explicit WatchHub(const MvccStore& store);
    ~WatchHub();

    // The watcher's id, unique in this hub. Nothing is delivered before this returns.
    std::int64_t add(const Request& request, WatchSink* sink);
    void remove(std::int64_t watcher);

    // Call with what was applied, in order, once a batch of the log is in the store. Many watchers
    // are handed it in slices, the first one at once.
    void notify(const std::vector<RevisionEventsPtr>& batch);
    // Called when notify() has left some of that to pump(). Null: it leaves nothing.
    std::function<void()> wants_pump;
    // So many are handed it while everything else waits.
    std::size_t slice = 1000;
    // Hands out all that notify() left.
    void settle() { hand_out(SIZE_MAX); }
    // Hands out what notify() left, and brings watchers that are behind further, in a slice that
    // does not hold the loop up; true while it could go on at once.
    bool pump();

    // The state was replaced (a snapshot was installed), which stood at `previous_revision`:
    // everyone reads on from history.
    void reset(std::int64_t previous_revision) { reset(previous_revision, {.unbounded = true}); }
    // The same for those who watch some of these keys: notify() was not called with their changes.
    void reset(std::int64_t previous_revision, const schema::KeyInterval& keys);

    // Whether someone watches one of these keys.
    bool watches(const schema::KeyInterval& keys) const;

    // True when the watcher was handed everything up to the store's revision.
    bool synced(std::int64_t watcher) const;
    std::size_t size() const { return watchers_.size(); }
    std::size_t behind() const;
    // So often was history read since the start.
    std::uint64_t history_reads() const { return history_reads_; }

  private:
    struct Watcher;
    struct Interval {
        std::string begin, end;
        bool unbounded = false;
        friend auto operator<=>(const Interval&, const Interval&) = default;
    };
    // All watchers of the same keys: what one is handed, all are.
    struct Group {
        // By sinks, but for those who came last. Null: it left.
        std::vector<Watcher*> watchers;
        std::size_t in_order = 0;       // the first of them, which are in that order
        std::size_t size = 0;           // without those who left
        std::size_t want_previous = 0;  // so many of them
        WatchBatch batch;               // being filled by notify()
        WatchBatchPtr handing;          // being handed out, and it is in handing_; null: nothing is
        std::size_t handed = 0;         // the first watchers, who are through with it
    };
    struct SinkEntry {
        std::int64_t number = 0;  // in the order of their coming
        std::size_t watchers = 0;
    };
    // What was read from history for a group.
    struct Missed {
        const Group* group = nullptr;
        std::int64_t from = 0;
        std::int64_t next = 0;
        bool previous = false;
        WatchBatchPtr batch;
    };

    static Interval interval_of(const Watcher& watcher);
    void offer(Group& group, const RevisionEventsPtr& owner, const Event& event);
    // To at most `budget` watchers; what is left of that.
    std::size_t hand_out(Group& group, std::size_t budget);
    void hand_out(std::size_t budget);
    void hand(Watcher& watcher, const WatchBatchPtr& batch);
    static void tidy(Group& group);
    void fall_behind(Watcher& watcher);
    void be_synced(Watcher& watcher);
    bool catch_up(Watcher& watcher);
    static WatchBatchPtr part_of(const WatchBatchPtr& batch, const Watcher& watcher);
    const Missed& missed_by(const Watcher& watcher);
    Missed read_history(const Watcher& watcher);
    void index(Watcher& watcher);
    void unindex(Watcher& watcher);

    const MvccStore& store_;
    std::int64_t next_id_ = 0;
    std::map<std::int64_t, std::unique_ptr<Watcher>> watchers_;
    std::map<std::string, Group, std::less<>> by_key_;
    std::map<Interval, Group> by_interval_;
    std::map<const WatchSink*, SinkEntry> sinks_;
    std::int64_t next_sink_ = 0;
    // Those of each sink, by its number: addresses would make two runs differ.
    std::map<std::int64_t, std::map<std::int64_t, Watcher*>> behind_;
    std::deque<Missed> missed_;  // newest last; empty when nobody is behind
    std::uint64_t history_reads_ = 0;
    std::int64_t pumped_ = -1;     // the sink at which pump() left off
    std::vector<Group*> offered_;  // during notify: those with events in their batch
    std::deque<Group*> handing_;   // in the order in which they began
};

}  // namespace kvstore
