#pragma once
// Gate: who a request comes from. It turns the token in a call's metadata, or else the client
// certificate's common name, into a Caller; what that caller may do is checked in the node. While
// auth is off that is one branch. Shared by the services of one member; store loop only.

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/coro.h"
#include "base/function.h"
#include "base/result.h"
#include "kvstore/auth/caller.h"
#include "net/grpc.h"

namespace kvstore {

class Jwt;
class Node;

class Gate {
  public:
    // `node` outlives it. `jwt`: tokens are of that kind; null: simple tokens.
    Gate(base::Loop& loop, Node& node, std::shared_ptr<const Jwt> jwt);
    ~Gate();
    Gate(const Gate&) = delete;
    Gate& operator=(const Gate&) = delete;

    bool enabled() const;
    Node& node() { return node_; }
    base::Loop& loop() { return loop_; }
    const std::shared_ptr<const Jwt>& jwt() const { return jwt_; }

    // At once as a rule; after a read index when a simple token was made by another member in an
    // entry that is not applied here yet. Unauthenticated for a token that is not good.
    using Resolved = base::UniqueFunction<void(base::Result<Caller>)>;
    template <class Call>
    void resolve(const Call& call, Resolved resolved) {
        if (!enabled()) return resolved(Caller::nobody());
        resolve_enabled(token_of(call), call.peer().get(), std::move(resolved));
    }
    // The caller as the member knows them now; may be asked again in a long call, so that what has
    // changed since counts.
    base::Task<Caller> caller(std::shared_ptr<net::GrpcStream> stream);
    // For calls of which only administrators may make any, by path.
    static bool for_administrators(std::string_view path);
    base::Status may_call(std::string_view path, const Caller& caller) const;

    // A new simple token, for a user of whom it was found out at that revision of users and roles
    // who they are. Older than the member's by then: AuthOldRevision.
    using Token = base::UniqueFunction<void(base::Result<std::string>)>;
    void make_simple_token(const std::string& user, std::uint64_t auth_revision, Token made);
    // The caller of a call that may have to go on to the leader, who asks for a token: whoever is
    // known by their certificate gets one. FailedPrecondition where members cannot sign any.
    void with_credential(Caller caller, Resolved resolved);

    // Blocking work (password hashing) on a thread of its own, then `then` on the loop unless the
    // gate is gone by then. ResourceExhausted when too much is waiting already.
    base::Status in_background(base::UniqueFunction<void()> work,
                               base::UniqueFunction<void()> then);

  private:
    template <class Call>
    static std::string_view token_of(const Call& call) {
        const auto token = call.metadata("token");
        return token.empty() ? call.metadata("authorization") : token;
    }
    void resolve_enabled(std::string_view token, const net::PeerIdentity* peer, Resolved resolved);
    base::Result<Caller> by_simple_token(std::string_view token);
    base::Result<Caller> by_jwt(std::string_view token);

    struct Verified {
        Caller caller;
        std::int64_t expires = 0;
    };

    base::Loop& loop_;
    Node& node_;
    std::shared_ptr<const Jwt> jwt_;
    // Signatures that were verified lately.
    std::map<std::string, Verified, std::less<>> verified_;
    std::size_t waiting_ = 0;
    std::shared_ptr<bool> alive_;
    base::WorkerPool pool_;
};

}  // namespace kvstore
