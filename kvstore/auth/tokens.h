#pragma once
// TokenTable: the simple tokens that were given out, by their SHA-256. Each member fills its own
// from the log's entries and keeps it in memory only: a restarted member has none, and clients
// authenticate again. What it holds has no influence on what entries do. Pure; store loop only.

#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace kvstore::auth {

class TokenTable {
  public:
    // From its grant or its last use on this member.
    static constexpr std::int64_t kTtlMs = 300'000;
    // The oldest are forgotten beyond this.
    static constexpr std::size_t kMaxTokens = 100'000;

    void grant(const std::string& sha256, const std::string& user, std::int64_t now_ms);
    // The token's user; its time begins anew.
    std::optional<std::string> use(const std::string& sha256, std::int64_t now_ms);
    // The user is gone or has another password.
    void forget_user(const std::string& user);
    void clear();
    std::size_t size() const { return tokens_.size(); }

  private:
    struct Token {
        std::string user;
        std::int64_t expires_ms = 0;
    };
    using Tokens = std::map<std::string, Token>;
    void expire(std::int64_t now_ms);
    void erase(Tokens::iterator it);

    Tokens tokens_;
    std::multimap<std::int64_t, std::string> by_expiry_;
};

}  // namespace kvstore::auth
