#include "apiserver/http/watch.h"

#include "api/status.h"

namespace apiserver {

CacheWatch::CacheWatch(base::Loop& loop, ObjectCache& cache, Options options)
    : cache_(cache), options_(std::move(options)), bookmark_(loop) {}

base::Result<std::shared_ptr<CacheWatch>> CacheWatch::open(base::Loop& loop, ObjectCache& cache,
                                                           std::int64_t revision, Options options) {
    std::shared_ptr<CacheWatch> watch(new CacheWatch(loop, cache, std::move(options)));
    const Options& o = watch->options_;
    std::vector<CacheEventPtr> missed;
    if (o.since == 0 || o.initial_events) {
        cache.for_each(o.selection.prefix(), [&](const CachedPtr& object) {
            if (o.selection.matches(*object))
                watch->queue_.push_back({{WatchItem::Type::kAdded, object}});
            return true;
        });
        if (o.initial_events)
            watch->queue_.push_back({{WatchItem::Type::kBookmark, nullptr, revision, true}});
    } else if (cache.events_since(o.since, &missed)) {
        for (const auto& event : missed)
            if (auto item = watch->select(*event)) watch->queue_.push_back({std::move(*item)});
    } else {
        return api::expired(o.since, revision);
    }
    watch->progress_ = revision;
    cache.subscribe(watch.get());
    if (o.bookmarks)
        watch->bookmark_.every(kBookmarkEvery, [w = watch.get()] {
            w->push({WatchItem::Type::kBookmark, nullptr, w->progress_});
        });
    return watch;
}

CacheWatch::~CacheWatch() {
    cache_.unsubscribe(this);
}

// A change of an object into the selection is an addition to who watches, one out of it a deletion.
std::optional<WatchItem> CacheWatch::select(const CacheEvent& event) const {
    const Cached& any = event.shown();
    if (!std::string_view(any.key()).starts_with(options_.selection.prefix())) return std::nullopt;
    const bool before = event.previous && options_.selection.matches(*event.previous);
    const bool now = event.object && options_.selection.matches(*event.object);
    if (now)
        return WatchItem{before ? WatchItem::Type::kModified : WatchItem::Type::kAdded,
                         event.object};
    if (!before) return std::nullopt;
    if (!event.object) return WatchItem{WatchItem::Type::kDeleted, event.tombstone};
    // It shows the last state that was selected, at the revision of the change.
    return WatchItem{WatchItem::Type::kDeleted, event.previous->at(event.revision)};
}

void CacheWatch::on_event(const CacheEventPtr& event) {
    if (auto item = select(*event)) push(std::move(*item));
}

void CacheWatch::on_reset() {
    end(api::expired_reset());
}

void CacheWatch::push(WatchItem item) {
    if (over_) return;
    const std::size_t bytes = item.object ? item.object->bytes().size() : 0;
    if (queue_.size() >= kMaxQueued ||
        (!queue_.empty() && queued_bytes_ + bytes > kMaxQueuedBytes)) {
        queue_.clear();
        return end(base::Error(base::Code::kResourceExhausted, "the watch is read too slowly"));
    }
    queued_bytes_ += bytes;
    queue_.push_back({std::move(item), bytes});
    wake();
}

void CacheWatch::end(base::Status why) {
    if (over_) return;
    over_ = true;
    ended_ = std::move(why);
    cache_.unsubscribe(this);
    bookmark_.cancel();
    wake();
}

void CacheWatch::cancel() {
    queue_.clear();
    end({});
}

void CacheWatch::wake() {
    if (waiting_) std::exchange(waiting_, nullptr)(0);
}

base::Awaitable<std::optional<WatchItem>> CacheWatch::next() {
    while (queue_.empty() && !over_) {
        auto start = [this](base::UniqueFunction<void(int)> resolve) {
            waiting_ = std::move(resolve);
        };
        co_await base::suspend<int>(std::move(start));
    }
    if (queue_.empty()) co_return std::nullopt;
    Queued first = std::move(queue_.front());
    queue_.pop_front();
    queued_bytes_ -= first.bytes;
    if (options_.resource != nullptr)
        first.item.object = Cached::in_version(first.item.object, *options_.resource);
    co_return std::move(first.item);
}

}  // namespace apiserver
