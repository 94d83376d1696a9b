#include "kvstore/core/watch_hub.h"

#include <algorithm>

#include "base/check.h"

namespace kvstore {
namespace {
// What one watcher is given from history at a time.
constexpr std::size_t kCatchUpEvents = 512;
}  // namespace

struct WatchHub::Watcher {
    std::int64_t id = 0;
    Request request;
    schema::KeyInterval interval;
    WatchSink* sink = nullptr;
    std::int64_t next_revision = 0;  // the first that is not delivered
    WatchBatch batch;                // being filled by notify()

    bool wants(const Event& event) const {
        return event.is_delete ? !request.no_delete : !request.no_put;
    }
};

WatchHub::WatchHub(const MvccStore& store) : store_(store) {}
WatchHub::~WatchHub() = default;

std::int64_t WatchHub::add(const Request& request, WatchSink* sink) {
    auto watcher = std::make_unique<Watcher>();
    Watcher& w = *watcher;
    w.id = next_id_++;
    w.request = request;
    w.interval = schema::KeyInterval::of(request.key, request.range_end);
    w.sink = sink;
    w.next_revision = request.start_revision > 0 ? request.start_revision : store_.revision() + 1;
    watchers_.emplace(w.id, std::move(watcher));
    index(w);
    if (w.next_revision <= store_.revision()) fall_behind(w);
    return w.id;
}

void WatchHub::remove(std::int64_t id) {
    auto it = watchers_.find(id);
    if (it == watchers_.end()) return;
    unindex(*it->second);
    behind_.erase(id);
    watchers_.erase(it);
}

void WatchHub::index(Watcher& w) {
    if (w.interval.single)
        by_key_[w.interval.begin][w.id] = &w;
    else
        by_interval_[{w.interval.begin, w.interval.end, w.interval.unbounded}][w.id] = &w;
}

void WatchHub::unindex(Watcher& w) {
    if (w.interval.single) {
        auto it = by_key_.find(w.interval.begin);
        it->second.erase(w.id);
        if (it->second.empty()) by_key_.erase(it);
    } else {
        auto it = by_interval_.find({w.interval.begin, w.interval.end, w.interval.unbounded});
        it->second.erase(w.id);
        if (it->second.empty()) by_interval_.erase(it);
    }
}

void WatchHub::fall_behind(Watcher& w) {
    behind_[w.id] = &w;
}

void WatchHub::offer(Watcher& w, const RevisionEventsPtr& owner, const Event& event) {
    if (owner->revision < w.next_revision || behind_.contains(w.id)) return;
    // Asked once a batch, before its first event: a sink that is not ready gets none of it.
    if (w.batch.events.empty()) {
        if (!w.sink->ready()) {
            w.next_revision = owner->revision;
            return fall_behind(w);
        }
        if (!w.wants(event)) return;
        offered_.push_back(&w);
    } else if (!w.wants(event)) {
        return;
    }
    w.batch.events.push_back(&event);
    if (w.batch.owners.empty() || w.batch.owners.back() != owner) w.batch.owners.push_back(owner);
}

void WatchHub::notify(const std::vector<RevisionEventsPtr>& batch) {
    if (batch.empty() || watchers_.empty()) return;
    for (const auto& owner : batch) {
        for (const auto& event : owner->events) {
            if (auto it = by_key_.find(event.key); it != by_key_.end())
                for (auto& [id, w] : it->second)
                    offer(*w, owner, event);
            // Intervals are ordered by their beginning: those behind the key cannot hold it.
            for (auto& [interval, group] : by_interval_) {
                if (interval.begin > event.key) break;
                if (!interval.unbounded && event.key >= interval.end) continue;
                for (auto& [id, w] : group)
                    offer(*w, owner, event);
            }
        }
    }
    const std::int64_t last = batch.back()->revision;
    std::vector<Watcher*> offered;
    offered.swap(offered_);
    for (Watcher* w : offered) {
        w->next_revision = last + 1;
        WatchBatch out = std::move(w->batch);
        w->batch = {};
        out.revision = last;
        w->sink->deliver(w->id, std::move(out));
    }
}

bool WatchHub::catch_up(Watcher& w) {
    if (w.next_revision < store_.compacted_revision()) {
        WatchSink* sink = w.sink;
        const std::int64_t id = w.id;
        remove(id);
        sink->compacted(id, store_.compacted_revision());
        return false;
    }
    MvccStore::HistoryRequest request;
    request.from = w.next_revision;
    request.to = store_.revision();
    request.max_events = kCatchUpEvents;
    request.with_previous = w.request.previous;
    request.want = [&w](std::string_view key) { return w.interval.contains(key); };
    std::int64_t next = 0;
    auto missed = store_.history(request, &next);
    WatchBatch out;
    for (auto& revision : missed) {
        auto owner = std::make_shared<const RevisionEvents>(std::move(revision));
        const std::size_t before = out.events.size();
        for (const auto& event : owner->events)
            if (w.wants(event)) out.events.push_back(&event);
        if (out.events.size() > before) out.owners.push_back(std::move(owner));
    }
    out.revision = next - 1;
    w.next_revision = next;
    const bool more = next <= store_.revision();
    if (!more) behind_.erase(w.id);
    if (!out.events.empty()) w.sink->deliver(w.id, std::move(out));
    return more;
}

bool WatchHub::pump() {
    bool more = false;
    // A delivery may add and remove watchers, so the walk goes by id.
    std::int64_t id = -1;
    for (;;) {
        auto it = behind_.upper_bound(id);
        if (it == behind_.end()) return more;
        id = it->first;
        if (it->second->sink->ready()) more |= catch_up(*it->second);
    }
}

void WatchHub::reset(std::int64_t previous_revision) {
    for (auto& [id, w] : watchers_) {
        if (!behind_.contains(id))
            w->next_revision = std::max(w->next_revision, previous_revision + 1);
        if (w->next_revision <= store_.revision()) fall_behind(*w);
    }
}

bool WatchHub::synced(std::int64_t watcher) const {
    auto it = watchers_.find(watcher);
    return it != watchers_.end() && !behind_.contains(watcher);
}

}  // namespace kvstore
