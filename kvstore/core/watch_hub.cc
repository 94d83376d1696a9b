#include "kvstore/core/watch_hub.h"

#include <algorithm>
#include <utility>

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
    bool is_behind = false;          // it is in behind_

    bool wants(const Event& event) const {
        return event.is_delete ? !request.no_delete : !request.no_put;
    }
    bool wants_all() const { return !request.no_delete && !request.no_put; }
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

WatchHub::Interval WatchHub::interval_of(const Watcher& w) {
    return {w.interval.begin, w.interval.end, w.interval.unbounded};
}

void WatchHub::index(Watcher& w) {
    Group& group = w.interval.single ? by_key_[w.interval.begin] : by_interval_[interval_of(w)];
    group.watchers[w.id] = &w;
    if (w.request.previous) ++group.want_previous;
}

void WatchHub::unindex(Watcher& w) {
    const auto leave = [&w](auto& groups, const auto& key) {
        const auto it = groups.find(key);
        it->second.watchers.erase(w.id);
        if (w.request.previous) --it->second.want_previous;
        if (it->second.watchers.empty()) groups.erase(it);
    };
    if (w.interval.single)
        leave(by_key_, w.interval.begin);
    else
        leave(by_interval_, interval_of(w));
}

void WatchHub::fall_behind(Watcher& w) {
    behind_[w.id] = &w;
    w.is_behind = true;
}

void WatchHub::offer(Group& group, const RevisionEventsPtr& owner, const Event& event) {
    auto& batch = group.batch;
    if (batch.events.empty()) offered_.push_back(&group);
    batch.events.push_back(&event);
    if (batch.owners.empty() || batch.owners.back() != owner) batch.owners.push_back(owner);
    if (group.want_previous > 0 && event.replaced != 0 && event.previous.empty())
        event.previous = store_.version(event.key, event.replaced);
}

// What the watchers of a group are handed of its batch: one for all who want all of it, and one for
// each who wants less.
class WatchHub::GroupBatches {
  public:
    GroupBatches(WatchBatch batch, std::int64_t last) {
        batch.revision = last;
        all_ = std::make_shared<const WatchBatch>(std::move(batch));
    }
    std::int64_t first_revision() const { return all_->owners.front()->revision; }

    // Null: nothing of it.
    WatchBatchPtr of(const Watcher& w) const {
        if (w.wants_all() && w.next_revision <= first_revision()) return all_;
        auto some = std::make_shared<WatchBatch>();
        some->revision = all_->revision;
        auto owner = all_->owners.begin();
        for (const Event* event : all_->events) {
            // Owners come in the order of their events.
            while (event < (*owner)->events.data() ||
                   event >= (*owner)->events.data() + (*owner)->events.size())
                ++owner;
            if (!w.wants(*event) || (*owner)->revision < w.next_revision) continue;
            some->events.push_back(event);
            if (some->owners.empty() || some->owners.back() != *owner)
                some->owners.push_back(*owner);
        }
        return some->events.empty() ? nullptr : some;
    }

  private:
    WatchBatchPtr all_;
};

void WatchHub::deliver(Group& group, std::int64_t last) {
    const GroupBatches batches(std::exchange(group.batch, {}), last);
    for (auto& [id, w] : group.watchers) {
        // One that waits for the future misses nothing.
        if (w->is_behind || w->next_revision > last) continue;
        // A sink that is not ready gets none of it, and reads it from history later.
        if (!w->sink->ready()) {
            w->next_revision = std::max(w->next_revision, batches.first_revision());
            fall_behind(*w);
            continue;
        }
        const auto batch = batches.of(*w);
        if (!batch) continue;
        w->next_revision = last + 1;
        w->sink->deliver(w->request.tag, batch);
    }
}

void WatchHub::notify(const std::vector<RevisionEventsPtr>& batch) {
    if (batch.empty() || watchers_.empty()) return;
    for (const auto& owner : batch) {
        for (const auto& event : owner->events) {
            if (auto it = by_key_.find(event.key); it != by_key_.end())
                offer(it->second, owner, event);
            // Intervals are ordered by their beginning: those behind the key cannot hold it.
            for (auto& [interval, group] : by_interval_) {
                if (interval.begin > event.key) break;
                if (interval.unbounded || event.key < interval.end) offer(group, owner, event);
            }
        }
    }
    const std::int64_t last = batch.back()->revision;
    for (Group* group : std::exchange(offered_, {}))
        deliver(*group, last);
}

bool WatchHub::catch_up(Watcher& w) {
    if (w.next_revision < store_.compacted_revision()) {
        WatchSink* sink = w.sink;
        const std::int64_t tag = w.request.tag;
        remove(w.id);
        sink->compacted(tag, store_.compacted_revision());
        return false;
    }
    if (w.next_revision > store_.revision()) {
        behind_.erase(w.id);
        w.is_behind = false;
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
    auto out = std::make_shared<WatchBatch>();
    for (auto& revision : missed) {
        auto owner = std::make_shared<const RevisionEvents>(std::move(revision));
        const std::size_t before = out->events.size();
        for (const auto& event : owner->events)
            if (w.wants(event)) out->events.push_back(&event);
        if (out->events.size() > before) out->owners.push_back(std::move(owner));
    }
    out->revision = next - 1;
    w.next_revision = next;
    const bool more = next <= store_.revision();
    if (!more) {
        behind_.erase(w.id);
        w.is_behind = false;
    }
    if (!out->events.empty()) w.sink->deliver(w.request.tag, out);
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

bool WatchHub::watches(const schema::KeyInterval& keys) const {
    return std::any_of(watchers_.begin(), watchers_.end(),
                       [&](const auto& w) { return w.second->interval.overlaps(keys); });
}

void WatchHub::reset(std::int64_t previous_revision, const schema::KeyInterval& keys) {
    for (auto& [id, w] : watchers_) {
        if (!w->interval.overlaps(keys)) continue;
        if (!w->is_behind) w->next_revision = std::max(w->next_revision, previous_revision + 1);
        if (w->next_revision <= store_.revision()) fall_behind(*w);
    }
}

bool WatchHub::synced(std::int64_t watcher) const {
    auto it = watchers_.find(watcher);
    return it != watchers_.end() && !behind_.contains(watcher);
}

}  // namespace kvstore
