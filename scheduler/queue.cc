#include "scheduler/queue.h"

#include <algorithm>
#include <vector>

#include "api/util.h"

namespace scheduler {

namespace {

// Whether the change is one of the spec, labels or annotations, not only of the status.
bool may_matter(const api::core::Pod& before, const api::core::Pod& now) {
    if (before.metadata().uid() != now.metadata().uid()) return true;
    if (before.metadata().resourceversion() == now.metadata().resourceversion()) return false;
    const auto same_map = [](const auto& a, const auto& b) {
        return a.size() == b.size() && std::all_of(a.begin(), a.end(), [&](const auto& entry) {
                   const auto it = b.find(entry.first);
                   return it != b.end() && it->second == entry.second;
               });
    };
    return !same_map(before.metadata().labels(), now.metadata().labels()) ||
           !api::same(before.spec(), now.spec());
}

}  // namespace

std::chrono::milliseconds Queue::backoff_of(int attempts) const {
    auto out = options_.first_backoff;
    for (int i = 1; i < attempts && out < options_.max_backoff; ++i)
        out *= 2;
    return std::min(out, options_.max_backoff);
}

void Queue::take_out(const std::string& key, const Entry& entry) {
    switch (entry.place) {
        case Place::kActive:
            active_.erase({-entry.priority, entry.order, key});
            break;
        case Place::kBackoff:
            backoff_.erase({entry.due, key});
            break;
        case Place::kUnschedulable:
            unschedulable_.erase({entry.failed_at, key});
            break;
        case Place::kUnderWay:
            break;
    }
}

void Queue::activate(const std::string& key, Entry* entry) {
    entry->place = Place::kActive;
    entry->priority = entry->pod->spec().priority();
    entry->order = next_order_++;
    active_.insert({-entry->priority, entry->order, key});
}

// To the active ones, or first through what is left of its backoff.
void Queue::release(const std::string& key, Entry* entry, Time now) {
    const Time due = entry->failed_at + backoff_of(entry->attempts);
    if (entry->attempts == 0 || due <= now) return activate(key, entry);
    entry->place = Place::kBackoff;
    entry->due = due;
    backoff_.insert({due, key});
}

void Queue::set(PodPtr pod, Time now) {
    const std::string key = api::key_of(*pod);
    const auto it = pods_.find(key);
    if (it == pods_.end()) {
        Entry& entry = pods_[key];
        entry.pod = std::move(pod);
        return activate(key, &entry);
    }
    Entry& entry = it->second;
    const bool matters = may_matter(*entry.pod, *pod);
    entry.pod = std::move(pod);
    if (!matters || entry.place == Place::kUnderWay || entry.place == Place::kBackoff) return;
    take_out(key, entry);
    release(key, &entry, now);
}

void Queue::remove(const std::string& key) {
    const auto it = pods_.find(key);
    if (it == pods_.end()) return;
    take_out(key, it->second);
    pods_.erase(it);
}

void Queue::advance(Time now) {
    while (!backoff_.empty() && backoff_.begin()->first <= now) {
        const std::string key = backoff_.begin()->second;
        backoff_.erase(backoff_.begin());
        activate(key, &pods_.at(key));
    }
    while (!unschedulable_.empty() && unschedulable_.begin()->first + options_.flush <= now) {
        const std::string key = unschedulable_.begin()->second;
        unschedulable_.erase(unschedulable_.begin());
        release(key, &pods_.at(key), now);
    }
}

PodPtr Queue::pop(Time now) {
    advance(now);
    if (active_.empty()) return nullptr;
    const std::string key = std::get<2>(*active_.begin());
    active_.erase(active_.begin());
    Entry& entry = pods_.at(key);
    entry.place = Place::kUnderWay;
    ++entry.attempts;
    return entry.pod;
}

void Queue::failed(const std::string& key, Time now, bool retry) {
    const auto it = pods_.find(key);
    if (it == pods_.end() || it->second.place != Place::kUnderWay) return;
    Entry& entry = it->second;
    entry.failed_at = now;
    if (retry) return release(key, &entry, now);
    entry.place = Place::kUnschedulable;
    unschedulable_.insert({now, key});
}

void Queue::move_all(Time now) {
    const auto all = std::exchange(unschedulable_, {});
    for (const auto& [since, key] : all)
        release(key, &pods_.at(key), now);
}

std::optional<Queue::Time> Queue::next_due() const {
    std::optional<Time> out;
    if (!backoff_.empty()) out = backoff_.begin()->first;
    if (!unschedulable_.empty()) {
        const Time flush = unschedulable_.begin()->first + options_.flush;
        out = out ? std::min(*out, flush) : flush;
    }
    return out;
}

}  // namespace scheduler
