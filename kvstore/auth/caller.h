#pragma once
// Caller: on whose behalf a request is made. A value.

#include <cstdint>
#include <string>

namespace kvstore {

struct Caller {
    // The store's own users in this process (the API server, expiring leases): never checked.
    bool trusted = true;
    std::string user;
    // The revision of users and roles in which the user was recognized; 0 when nobody was.
    std::uint64_t auth_revision = 0;
    // The token that named the user, for a call that is passed on to another member.
    std::string credential;

    // Somebody from outside who has not said who they are.
    static Caller nobody() {
        Caller out;
        out.trusted = false;
        return out;
    }
    static Caller named(std::string user, std::uint64_t auth_revision) {
        Caller out;
        out.trusted = false;
        out.user = std::move(user);
        out.auth_revision = auth_revision;
        return out;
    }
};

}  // namespace kvstore
