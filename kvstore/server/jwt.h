#pragma once
// Jwt: signed tokens (RFC 7519) that name a user and the revision of users and roles they were
// made in, as etcd's: claims "username", "revision", "exp". Methods: RS, PS, ES 256/384/512,
// HS256/384/512 and EdDSA. A token of another method than the configured one is refused, whatever
// its header says. After construction from any thread.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace kvstore {

class Jwt {
  public:
    struct Claims {
        std::string user;
        std::uint64_t auth_revision = 0;
        std::int64_t expires = 0;  // seconds since 1970
    };

    // `options`: "pub-key=FILE,priv-key=FILE,sign-method=RS256,ttl=5m"; a member without a private
    // key can check tokens and not make any. For HS, priv-key is the file of the secret. Errors
    // name the option.
    static base::Result<std::shared_ptr<const Jwt>> open(std::string_view options);
    ~Jwt();

    // FailedPrecondition without a private key. `now`: seconds since 1970.
    base::Result<std::string> sign(const std::string& user, std::uint64_t auth_revision,
                                   std::int64_t now) const;
    // Nothing for one that is expired, malformed or not signed by us.
    std::optional<Claims> verify(std::string_view token, std::int64_t now) const;

  private:
    struct Impl;
    explicit Jwt(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace kvstore
