#include "kvstore/auth/tokens.h"

namespace kvstore::auth {

void TokenTable::erase(Tokens::iterator it) {
    auto [from, to] = by_expiry_.equal_range(it->second.expires_ms);
    for (auto e = from; e != to; ++e) {
        if (e->second != it->first) continue;
        by_expiry_.erase(e);
        break;
    }
    tokens_.erase(it);
}

void TokenTable::expire(std::int64_t now_ms) {
    while (!by_expiry_.empty() &&
           (by_expiry_.begin()->first <= now_ms || tokens_.size() > kMaxTokens)) {
        tokens_.erase(by_expiry_.begin()->second);
        by_expiry_.erase(by_expiry_.begin());
    }
}

void TokenTable::grant(const std::string& sha256, const std::string& user, std::int64_t now_ms) {
    if (auto it = tokens_.find(sha256); it != tokens_.end()) erase(it);
    tokens_[sha256] = {user, now_ms + kTtlMs};
    by_expiry_.emplace(now_ms + kTtlMs, sha256);
    expire(now_ms);
}

std::optional<std::string> TokenTable::use(const std::string& sha256, std::int64_t now_ms) {
    expire(now_ms);
    auto it = tokens_.find(sha256);
    if (it == tokens_.end()) return std::nullopt;
    // At most once a second: a busy client costs no more than the look-up.
    if (it->second.expires_ms < now_ms + kTtlMs - 1000) {
        std::string user = it->second.user;
        erase(it);
        grant(sha256, user, now_ms);
        return user;
    }
    return it->second.user;
}

void TokenTable::forget_user(const std::string& user) {
    for (auto it = tokens_.begin(); it != tokens_.end();) {
        auto next = std::next(it);
        if (it->second.user == user) erase(it);
        it = next;
    }
}

void TokenTable::clear() {
    tokens_.clear();
    by_expiry_.clear();
}

}  // namespace kvstore::auth
