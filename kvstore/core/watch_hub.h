#pragma once
// WatchHub: every watcher of a member. Pure, store loop only. A watcher is either synced, then it
// is handed each batch of changes as it is applied, or behind, then pump() reads what it misses
// from history. A watcher whose sink is not ready falls behind and costs nothing but its entry
// here: what it missed is read again from history once it is ready (or the watch is cancelled, if
// that was compacted meanwhile). So memory per watcher is bounded however slow it is. Source: etcd
// v3 watch guarantees (ordered, unique, reliable, atomic, resumable, bookmarkable).

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kvstore/mvcc/event.h"
#include "kvstore/mvcc/schema.h"
#include "kvstore/mvcc/store.h"

namespace kvstore {

// Some events of one watcher: all of its events of one or more whole revisions.
struct WatchBatch {
    // The newest revision that the batch covers: everything up to it has been delivered.
    std::int64_t revision = 0;
    // Point into what `owners` keeps alive.
    std::vector<const Event*> events;
    std::vector<RevisionEventsPtr> owners;
};

// Who a watcher's events go to. Owned by the caller, who cancels its watchers before it goes.
class WatchSink {
  public:
    virtual ~WatchSink() = default;
    // False while it has more to send than it should keep; call WatchHub::pump() when that is over.
    virtual bool ready() const = 0;
    virtual void deliver(std::int64_t watcher, WatchBatch batch) = 0;
    // The watcher is gone: its next revision was compacted. `compacted` is the compacted revision.
    virtual void compacted(std::int64_t watcher, std::int64_t compacted) = 0;
};

class WatchHub {
  public:
    struct Request {
        std::string key;
        std::string range_end;
        // The first revision to deliver; 0: whatever comes after now.
        std::int64_t start_revision = 0;
        bool no_put = false;
        bool no_delete = false;
        bool previous = false;
    };

    explicit WatchHub(const MvccStore& store);
    ~WatchHub();

    // The watcher's id, unique in this hub. Nothing is delivered before this returns.
    std::int64_t add(const Request& request, WatchSink* sink);
    void remove(std::int64_t watcher);

    // Call with what was applied, in order, once a batch of the log is in the store.
    void notify(const std::vector<RevisionEventsPtr>& batch);
    // Brings watchers that are behind further; true while one could go on at once.
    bool pump();

    // The state was replaced (a snapshot was installed), which stood at `previous_revision`:
    // everyone reads on from history.
    void reset(std::int64_t previous_revision);

    // True when the watcher was handed everything up to the store's revision.
    bool synced(std::int64_t watcher) const;
    std::size_t size() const { return watchers_.size(); }
    std::size_t behind() const { return behind_.size(); }

  private:
    struct Watcher;
    struct Interval {
        std::string begin, end;
        bool unbounded = false;
        friend auto operator<=>(const Interval&, const Interval&) = default;
    };

    void offer(Watcher& watcher, const RevisionEventsPtr& owner, const Event& event);
    void fall_behind(Watcher& watcher);
    bool catch_up(Watcher& watcher);
    void index(Watcher& watcher);
    void unindex(Watcher& watcher);

    const MvccStore& store_;
    std::int64_t next_id_ = 0;
    std::map<std::int64_t, std::unique_ptr<Watcher>> watchers_;
    std::map<std::string, std::map<std::int64_t, Watcher*>, std::less<>> by_key_;
    std::map<Interval, std::map<std::int64_t, Watcher*>> by_interval_;
    std::map<std::int64_t, Watcher*> behind_;
    std::vector<Watcher*> offered_;  // during notify: who has events in its batch
};

}  // namespace kvstore
