#pragma once
// The pods that wait for a node: active (by priority, then by arrival), backing off, and
// unschedulable until something changes. Pure: time is given. One thread.

#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "scheduler/node_info.h"

namespace scheduler {

struct QueueOptions {
    std::chrono::milliseconds first_backoff{1000};
    std::chrono::milliseconds max_backoff{10 * 1000};
    std::chrono::milliseconds flush{5 * 60 * 1000};
};

class Queue {
  public:
    using Time = std::chrono::steady_clock::time_point;
    explicit Queue(QueueOptions options) : options_(options) {}

    // A new pod, or one that has changed: a change that may matter brings it back.
    void set(PodPtr pod, Time now);
    void remove(const std::string& key);
    // The pod whose turn it is; it is under way until it comes back or is removed.
    PodPtr pop(Time now);
    // It found no node: it waits for a change. `retry`: something failed, it waits for its backoff.
    void failed(const std::string& key, Time now, bool retry);
    // Something changed that may make room.
    void move_all(Time now);
    // When pop() may have more than now; nullopt when only a change brings more.
    std::optional<Time> next_due() const;

    std::size_t active() const { return active_.size(); }
    std::size_t backing_off() const { return backoff_.size(); }
    std::size_t unschedulable() const { return unschedulable_.size(); }
    bool contains(const std::string& key) const { return pods_.count(key) != 0; }

  private:
    enum class Place { kActive, kBackoff, kUnschedulable, kUnderWay };
    struct Entry {
        PodPtr pod;
        Place place = Place::kActive;
        std::uint64_t order = 0;
        int priority = 0;
        int attempts = 0;
        Time failed_at{};
        Time due{};
    };
    using ActiveKey = std::tuple<int, std::uint64_t, std::string>;  // -priority, order, key

    void take_out(const std::string& key, const Entry& entry);
    void activate(const std::string& key, Entry* entry);
    void release(const std::string& key, Entry* entry, Time now);
    std::chrono::milliseconds backoff_of(int attempts) const;
    void advance(Time now);

    QueueOptions options_;
    std::map<std::string, Entry> pods_;
    std::set<ActiveKey> active_;
    std::set<std::pair<Time, std::string>> backoff_;
    std::set<std::pair<Time, std::string>> unschedulable_;  // by the time they failed
    std::uint64_t next_order_ = 0;
};

}  // namespace scheduler
