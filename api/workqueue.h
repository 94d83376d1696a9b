#pragma once
// WorkQueue: keys that wait to be worked on, first come first served. A key stands in it once
// however often it is added; a key added while it is being worked on comes again when it is done,
// so no two workers ever have the same key. Bounded by the number of different keys. Used on its
// loop only.

#include <deque>
#include <map>
#include <optional>
#include <queue>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/coro.h"

namespace api {

struct WorkQueueOptions {
    base::Millis first_backoff{5};
    base::Millis max_backoff{1000 * 1000};
};

class WorkQueue {
  public:
    explicit WorkQueue(base::Loop& loop, WorkQueueOptions options = {});
    ~WorkQueue();
    WorkQueue(const WorkQueue&) = delete;
    WorkQueue& operator=(const WorkQueue&) = delete;

    void add(const std::string& key);
    // Not before `delay` has passed; of several, the earliest counts.
    void add_after(const std::string& key, base::Millis delay);
    // After the key's backoff, which doubles with each call until forget().
    void add_rate_limited(const std::string& key);
    void forget(const std::string& key);
    int failures(const std::string& key) const;
    // The delay that the next add_rate_limited() of this key has.
    base::Millis backoff(const std::string& key) const;

    // Waits for a key; nullopt once the queue is shut down. Who got a key says done().
    base::Awaitable<std::optional<std::string>> get();
    void done(const std::string& key);

    // Drops what waits and wakes all who wait in get().
    void shut_down();
    bool is_shut_down() const { return shut_down_; }
    // Keys that wait now, the delayed ones left out.
    std::size_t size() const { return order_.size(); }
    std::size_t delayed() const { return due_.size(); }

  private:
    void wake_one();
    void on_timer();
    void arm();

    WorkQueueOptions options_;
    base::Timer timer_;
    std::deque<std::string> order_;
    std::unordered_set<std::string> dirty_;
    std::unordered_set<std::string> processing_;
    std::unordered_map<std::string, int> failures_;
    std::unordered_map<std::string, base::SteadyTime> due_;
    std::multimap<base::SteadyTime, std::string> by_time_;
    std::deque<base::UniqueFunction<void(bool)>> waiters_;
    bool shut_down_ = false;
};

}  // namespace api
