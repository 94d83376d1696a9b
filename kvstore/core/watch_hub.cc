#include "kvstore/core/watch_hub.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace kvstore {
namespace {
// What one watcher is given from history at a time.
constexpr std::size_t kCatchUpEvents = 512;
// So much of it is kept for others who miss the same, each at most 1 MiB and one revision.
constexpr std::size_t kMissedKept = 8;
// What pump() does at a time: of reading, which is the longest part, and of handing out.
constexpr std::uint64_t kReadsAPump = 16;
constexpr int kDeliveriesAPump = 2000;
}  // namespace

struct WatchHub::Watcher {
    // What is looked at for every batch lies together.
    std::int64_t next_revision = 0;  // the first that is not delivered
    WatchSink* sink = nullptr;
    bool is_behind = false;  // it is in behind_
    Request request;
    schema::KeyInterval interval;
    std::int64_t id = 0;
    std::int64_t sink_number = 0;
    Group* group = nullptr;
    std::size_t place = 0;  // in its group

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
    SinkEntry& entry = sinks_[sink];
    if (++entry.watchers == 1) entry.number = next_sink_++;
    w.sink_number = entry.number;
    index(w);
    if (w.next_revision <= store_.revision()) fall_behind(w);
    return w.id;
}

void WatchHub::remove(std::int64_t id) {
    auto it = watchers_.find(id);
    if (it == watchers_.end()) return;
    Watcher& w = *it->second;
    be_synced(w);
    unindex(w);
    const auto entry = sinks_.find(w.sink);
    if (--entry->second.watchers == 0) sinks_.erase(entry);
    watchers_.erase(it);
}

WatchHub::Interval WatchHub::interval_of(const Watcher& w) {
    return {w.interval.begin, w.interval.end, w.interval.unbounded};
}

void WatchHub::index(Watcher& w) {
    Group& group = w.interval.single ? by_key_[w.interval.begin] : by_interval_[interval_of(w)];
    w.place = group.watchers.size();
    group.watchers.push_back(&w);
    ++group.size;
    w.group = &group;
    if (w.request.previous) ++group.want_previous;
}

void WatchHub::unindex(Watcher& w) {
    const auto leave = [this, &w](auto& groups, const auto& key) {
        const auto it = groups.find(key);
        Group& group = it->second;
        group.watchers[w.place] = nullptr;
        if (w.request.previous) --group.want_previous;
        if (--group.size > 0) return;
        std::erase_if(missed_, [&](const Missed& m) { return m.group == &group; });
        std::erase(handing_, &group);
        groups.erase(it);
    };
    if (w.interval.single)
        leave(by_key_, w.interval.begin);
    else
        leave(by_interval_, interval_of(w));
}

void WatchHub::fall_behind(Watcher& w) {
    if (std::exchange(w.is_behind, true)) return;
    behind_[w.sink_number][w.id] = &w;
}

void WatchHub::be_synced(Watcher& w) {
    if (!std::exchange(w.is_behind, false)) return;
    const auto entry = behind_.find(w.sink_number);
    entry->second.erase(w.id);
    if (entry->second.empty()) behind_.erase(entry);
    if (behind_.empty()) missed_.clear();
}

void WatchHub::offer(Group& group, const RevisionEventsPtr& owner, const Event& event) {
    auto& batch = group.batch;
    if (batch.events.empty()) offered_.push_back(&group);
    batch.events.push_back(&event);
    if (batch.owners.empty() || batch.owners.back() != owner) batch.owners.push_back(owner);
    if (group.want_previous > 0 && event.replaced != 0 && event.previous.empty())
        event.previous = store_.version(event.key, event.replaced);
}

// What of a batch a watcher is handed: all of it, as most are, or what it wants. Null: nothing.
WatchBatchPtr WatchHub::part_of(const WatchBatchPtr& batch, const Watcher& w) {
    if (batch->events.empty()) return nullptr;
    if (w.wants_all() && w.next_revision <= batch->owners.front()->revision) return batch;
    auto some = std::make_shared<WatchBatch>();
    some->revision = batch->revision;
    auto owner = batch->owners.begin();
    for (const Event* event : batch->events) {
        // Owners come in the order of their events.
        while (event < (*owner)->events.data() ||
               event >= (*owner)->events.data() + (*owner)->events.size())
            ++owner;
        if (!w.wants(*event) || (*owner)->revision < w.next_revision) continue;
        some->events.push_back(event);
        if (some->owners.empty() || some->owners.back() != *owner) some->owners.push_back(*owner);
    }
    return some->events.empty() ? nullptr : some;
}

void WatchHub::hand(Watcher& w, const WatchBatchPtr& all) {
    // One that waits for the future misses nothing.
    if (w.is_behind || w.next_revision > all->revision) return;
    // A sink that is not ready gets none of it, and reads it from history later.
    if (!w.sink->ready()) {
        w.next_revision = std::max(w.next_revision, all->owners.front()->revision);
        return fall_behind(w);
    }
    const auto batch = part_of(all, w);
    if (!batch) return;
    w.next_revision = all->revision + 1;
    w.sink->deliver(w.request.tag, batch);
}

// What is for one sink is handed to it in a row, so that it leaves in few pieces. A sort for each
// eighth that is new, or gap for each that is there, is paid for by who came and went.
void WatchHub::tidy(Group& group) {
    auto& watchers = group.watchers;
    const std::size_t all = watchers.size();
    if (all <= 2 * group.size && (all - group.in_order) * 8 <= all) return;
    std::erase(watchers, nullptr);
    std::stable_sort(watchers.begin(), watchers.end(), [](const Watcher* a, const Watcher* b) {
        return a->sink_number < b->sink_number;
    });
    for (std::size_t i = 0; i < watchers.size(); ++i)
        watchers[i]->place = i;
    group.in_order = watchers.size();
}

std::size_t WatchHub::hand_out(Group& group, std::size_t budget) {
    for (; budget > 0 && group.handed < group.watchers.size(); --budget)
        if (Watcher* w = group.watchers[group.handed++]) hand(*w, group.handing);
    if (group.handed == group.watchers.size()) group.handing = nullptr;
    return budget;
}

void WatchHub::hand_out(std::size_t budget) {
    while (budget > 0 && !handing_.empty()) {
        Group& group = *handing_.front();
        budget = hand_out(group, budget);
        if (!group.handing) handing_.pop_front();
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
    for (Group* group : std::exchange(offered_, {})) {
        // Who is slower than the changes come gets them one batch after the other all the same.
        if (group->handing)
            hand_out(*group, SIZE_MAX);
        else
            handing_.push_back(group);
        tidy(*group);
        group->batch.revision = batch.back()->revision;
        group->handing = std::make_shared<const WatchBatch>(std::exchange(group->batch, {}));
        group->handed = 0;
    }
    hand_out(wants_pump ? slice : SIZE_MAX);
    if (!handing_.empty()) wants_pump();
}

WatchHub::Missed WatchHub::read_history(const Watcher& w) {
    ++history_reads_;
    Missed out;
    out.group = w.group;
    out.from = w.next_revision;
    out.previous = w.group->want_previous > 0;
    MvccStore::HistoryRequest request;
    request.from = w.next_revision;
    request.to = store_.revision();
    request.max_events = kCatchUpEvents;
    request.with_previous = out.previous;
    request.want = [&w](std::string_view key) { return w.interval.contains(key); };
    auto batch = std::make_shared<WatchBatch>();
    for (auto& revision : store_.history(request, &out.next)) {
        batch->owners.push_back(std::make_shared<const RevisionEvents>(std::move(revision)));
        for (const auto& event : batch->owners.back()->events)
            batch->events.push_back(&event);
    }
    batch->revision = out.next - 1;
    out.batch = std::move(batch);
    return out;
}

const WatchHub::Missed& WatchHub::missed_by(const Watcher& w) {
    for (const Missed& m : missed_)
        if (m.group == w.group && m.from == w.next_revision && (m.previous || !w.request.previous))
            return m;
    if (missed_.size() == kMissedKept) missed_.pop_front();
    return missed_.emplace_back(read_history(w));
}

// True: there is more.
bool WatchHub::catch_up(Watcher& w) {
    if (w.next_revision < store_.compacted_revision()) {
        WatchSink* sink = w.sink;
        const std::int64_t tag = w.request.tag;
        remove(w.id);
        sink->compacted(tag, store_.compacted_revision());
        return false;
    }
    if (w.next_revision > store_.revision()) {
        be_synced(w);
        return false;
    }
    const Missed& missed = missed_by(w);
    const WatchBatchPtr batch = part_of(missed.batch, w);
    w.next_revision = missed.next;
    const bool more = missed.next <= store_.revision();
    if (!more) be_synced(w);
    if (batch) w.sink->deliver(w.request.tag, batch);
    return more;
}

bool WatchHub::pump() {
    if (!handing_.empty()) {
        hand_out(slice);
        return !handing_.empty() || !behind_.empty();
    }
    const std::uint64_t reads = history_reads_ + kReadsAPump;
    int deliveries = 0;
    bool more = false;
    // A sink each, beginning behind the one at which the last slice ended. Watchers leave the
    // entries on the way, so the walk goes by numbers.
    for (std::size_t left = behind_.size(); left > 0 && !behind_.empty(); --left) {
        auto entry = behind_.upper_bound(pumped_);
        if (entry == behind_.end()) entry = behind_.begin();
        pumped_ = entry->first;
        std::int64_t id = -1;
        while ((entry = behind_.find(pumped_)) != behind_.end()) {
            const auto next = entry->second.upper_bound(id);
            if (next == entry->second.end() || !next->second->sink->ready()) break;
            if (history_reads_ >= reads || deliveries++ >= kDeliveriesAPump) return true;
            id = next->first;
            more |= catch_up(*next->second);
        }
    }
    // A single revision may be large.
    if (!more)
        std::erase_if(missed_,
                      [](const Missed& m) { return m.batch->events.size() > 2 * kCatchUpEvents; });
    return more;
}

bool WatchHub::watches(const schema::KeyInterval& keys) const {
    return std::any_of(watchers_.begin(), watchers_.end(),
                       [&](const auto& w) { return w.second->interval.overlaps(keys); });
}

void WatchHub::reset(std::int64_t previous_revision, const schema::KeyInterval& keys) {
    settle();
    for (auto& [id, w] : watchers_) {
        if (!w->interval.overlaps(keys)) continue;
        if (!w->is_behind) w->next_revision = std::max(w->next_revision, previous_revision + 1);
        if (w->next_revision <= store_.revision()) fall_behind(*w);
    }
    missed_.clear();
}

std::size_t WatchHub::behind() const {
    std::size_t sum = 0;
    for (const auto& [sink, watchers] : behind_)
        sum += watchers.size();
    return sum;
}

bool WatchHub::synced(std::int64_t watcher) const {
    auto it = watchers_.find(watcher);
    if (it == watchers_.end() || it->second->is_behind) return false;
    const Group& group = *it->second->group;
    return !group.handing || it->second->place < group.handed;
}

}  // namespace kvstore
