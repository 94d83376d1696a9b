#pragma once
// A client's watch: the initial state or what happened since its version, then every change that it
// selects, with bookmarks. Serves the HTTP stream and the in-process client alike. API loop.

#include <deque>
#include <memory>
#include <optional>

#include "apiserver/cache/object_cache.h"
#include "apiserver/http/selection.h"

namespace apiserver {

struct WatchItem {
    enum class Type { kAdded, kModified, kDeleted, kBookmark };
    Type type = Type::kAdded;
    CachedPtr object;           // null for a bookmark
    std::int64_t revision = 0;  // of a bookmark
    bool initial_events_end = false;
};

class CacheWatch final : public ObjectCache::Subscriber {
  public:
    struct Options {
        Selection selection;
        // In whose version objects are shown; null: as they are stored.
        const api::ResourceInfo* resource = nullptr;
        // 0: from the state as it is, as synthetic ADDED events.
        std::int64_t since = 0;
        // The whole state first, then a bookmark that says so.
        bool initial_events = false;
        bool bookmarks = false;
    };
    // Expired (410) when what happened since is no longer kept.
    static base::Result<std::shared_ptr<CacheWatch>> open(base::Loop& loop, ObjectCache& cache,
                                                          std::int64_t revision, Options options);
    ~CacheWatch() override;

    // The next item. Nullopt when the watch is over: `ended()` says why. One caller at a time.
    base::Awaitable<std::optional<WatchItem>> next();
    // Ends a pending next(), too.
    void cancel();
    // Why it is over; OK for cancel().
    const base::Status& ended() const { return ended_; }

    void on_event(const CacheEventPtr& event) override;
    void on_progress(std::int64_t revision) override { progress_ = revision; }
    void on_reset() override;

  private:
    CacheWatch(base::Loop& loop, ObjectCache& cache, Options options);
    std::optional<WatchItem> select(const CacheEvent& event) const;
    void push(WatchItem item);
    void end(base::Status why);
    void wake();

    // More changes than this unread, or more bytes of them as they are stored, and the watch is cut
    // off: its client is too slow. What it was to read is dropped, so that a client that never
    // reads holds no memory. The initial state does not count: it is the cache's own.
    static constexpr std::size_t kMaxQueued = 10000;
    static constexpr std::size_t kMaxQueuedBytes = 16 << 20;
    static constexpr base::Millis kBookmarkEvery{60'000};

    ObjectCache& cache_;
    Options options_;
    struct Queued {
        WatchItem item;
        std::size_t bytes = 0;
    };
    std::deque<Queued> queue_;
    std::size_t queued_bytes_ = 0;
    std::int64_t progress_ = 0;
    base::Timer bookmark_;
    base::UniqueFunction<void(int)> waiting_;
    bool over_ = false;
    base::Status ended_;
};

}  // namespace apiserver
