#pragma once
// Expectations: what a controller did and has not yet seen in its cache. While some are open, it
// must not act on what the cache says. They lapse after five minutes. Pure but for the time it is
// given.

#include <chrono>
#include <map>
#include <set>
#include <string>

namespace controllers {

class Expectations {
  public:
    using Time = std::chrono::steady_clock::time_point;

    void expect_creations(const std::string& key, int count, Time now);
    void expect_deletions(const std::string& key, std::set<std::string> pods, Time now);
    void creation_observed(const std::string& key);
    // Also for a creation that failed: lowers what is expected by `count`.
    void creations_failed(const std::string& key, int count);
    void deletion_observed(const std::string& key, const std::string& pod);
    bool satisfied(const std::string& key, Time now) const;
    void forget(const std::string& key) { open_.erase(key); }

  private:
    struct Open {
        int creations = 0;
        std::set<std::string> deletions;
        Time since{};
    };
    std::map<std::string, Open> open_;
};

}  // namespace controllers
