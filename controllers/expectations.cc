#include "controllers/expectations.h"

#include <algorithm>

namespace controllers {

void Expectations::expect_creations(const std::string& key, int count, Time now) {
    open_[key] = Open{count, {}, now};
}

void Expectations::expect_deletions(const std::string& key, std::set<std::string> pods, Time now) {
    open_[key] = Open{0, std::move(pods), now};
}

void Expectations::creation_observed(const std::string& key) {
    creations_failed(key, 1);
}

void Expectations::creations_failed(const std::string& key, int count) {
    const auto it = open_.find(key);
    if (it != open_.end()) it->second.creations = std::max(0, it->second.creations - count);
}

void Expectations::deletion_observed(const std::string& key, const std::string& pod) {
    const auto it = open_.find(key);
    if (it != open_.end()) it->second.deletions.erase(pod);
}

bool Expectations::satisfied(const std::string& key, Time now) const {
    const auto it = open_.find(key);
    if (it == open_.end()) return true;
    const auto& open = it->second;
    return (open.creations == 0 && open.deletions.empty()) ||
           now - open.since > std::chrono::minutes(5);
}

}  // namespace controllers
