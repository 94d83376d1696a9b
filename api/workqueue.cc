#include "api/workqueue.h"

#include <algorithm>

namespace api {

WorkQueue::WorkQueue(base::Loop& loop, WorkQueueOptions options)
    : options_(options), timer_(loop) {}

WorkQueue::~WorkQueue() {
    shut_down();
}

void WorkQueue::add(const std::string& key) {
    if (shut_down_ || !dirty_.insert(key).second) return;
    if (processing_.count(key) != 0) return;
    order_.push_back(key);
    wake_one();
}

void WorkQueue::add_after(const std::string& key, base::Millis delay) {
    if (shut_down_) return;
    if (delay <= base::Millis::zero()) return add(key);
    const auto at = std::chrono::steady_clock::now() + delay;
    const auto known = due_.find(key);
    if (known != due_.end()) {
        if (known->second <= at) return;
        const auto range = by_time_.equal_range(known->second);
        by_time_.erase(std::find_if(range.first, range.second,
                                    [&](const auto& entry) { return entry.second == key; }));
        known->second = at;
    } else {
        due_.emplace(key, at);
    }
    by_time_.emplace(at, key);
    arm();
}

void WorkQueue::add_rate_limited(const std::string& key) {
    add_after(key, backoff(key));
    ++failures_[key];
}

void WorkQueue::forget(const std::string& key) {
    failures_.erase(key);
}

int WorkQueue::failures(const std::string& key) const {
    const auto it = failures_.find(key);
    return it == failures_.end() ? 0 : it->second;
}

base::Millis WorkQueue::backoff(const std::string& key) const {
    auto out = options_.first_backoff;
    for (int i = failures(key); i > 0 && out < options_.max_backoff; --i)
        out *= 2;
    return std::min(out, options_.max_backoff);
}

void WorkQueue::wake_one() {
    if (waiters_.empty()) return;
    auto waiter = std::move(waiters_.front());
    waiters_.pop_front();
    waiter(true);
}

base::Awaitable<std::optional<std::string>> WorkQueue::get() {
    while (!shut_down_ && order_.empty()) {
        auto wait = [this](base::UniqueFunction<void(bool)> resolve) {
            waiters_.push_back(std::move(resolve));
        };
        co_await base::suspend<bool>(wait);
    }
    if (shut_down_) co_return std::nullopt;
    std::string key = std::move(order_.front());
    order_.pop_front();
    dirty_.erase(key);
    processing_.insert(key);
    co_return key;
}

void WorkQueue::done(const std::string& key) {
    processing_.erase(key);
    if (shut_down_ || dirty_.count(key) == 0) return;
    order_.push_back(key);
    wake_one();
}

void WorkQueue::shut_down() {
    shut_down_ = true;
    timer_.cancel();
    order_.clear();
    dirty_.clear();
    due_.clear();
    by_time_.clear();
    while (!waiters_.empty())
        wake_one();
}

void WorkQueue::arm() {
    if (by_time_.empty()) return timer_.cancel();
    const auto wait =
        std::chrono::ceil<base::Millis>(by_time_.begin()->first - std::chrono::steady_clock::now());
    timer_.after(std::max(wait, base::Millis(0)), [this] { on_timer(); });
}

void WorkQueue::on_timer() {
    const auto now = std::chrono::steady_clock::now();
    while (!by_time_.empty() && by_time_.begin()->first <= now) {
        const std::string key = std::move(by_time_.begin()->second);
        by_time_.erase(by_time_.begin());
        due_.erase(key);
        add(key);
    }
    arm();
}

}  // namespace api
