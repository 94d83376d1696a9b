#pragma once
// ApiServer: the Kubernetes API over one loop: HTTPS in front, the watch cache and the registry
// behind, a kvstore::Client underneath. Any number of them serve one store side by side.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "api/client.h"
#include "apiserver/auth/rbac.h"
#include "apiserver/auth/user.h"
#include "apiserver/cache/object_cache.h"
#include "apiserver/http/context.h"
#include "apiserver/registry/registry.h"
#include "base/coro.h"
#include "base/metrics.h"
#include "kvstore/client.h"
#include "net/server.h"

namespace apiserver {

class CacheWatch;

struct ApiServerOptions {
    net::ServerOptions http;
    // Content of a token file (Authenticator::load_tokens); empty: no tokens.
    std::string tokens_csv;
    bool anonymous = true;
    // Clear text on loopback for benchmarks: there are no certificates, so everybody is an
    // administrator.
    bool insecure = false;
    // Where this server is reached, for the endpoints of the service `kubernetes`. Empty: not
    // published.
    std::string advertise_address;
    std::uint16_t advertise_port = 0;
    std::string version = "v1.36.0";
};

class ApiServer {
  public:
    // `loop` and `store` outlive it; both are used on the loop.
    ApiServer(base::Loop& loop, std::shared_ptr<kvstore::Client> store, ApiServerOptions options);
    ~ApiServer();
    ApiServer(const ApiServer&) = delete;
    ApiServer& operator=(const ApiServer&) = delete;

    // Binds and serves; the bound port. Requests for objects wait until the caches are loaded
    // (readyz tells).
    base::Result<std::uint16_t> start();
    // /readyz fails from here on, watches end, running requests get `drain` to end.
    base::Awaitable<void> stop(base::Millis drain);

    base::Loop& loop() { return loop_; }
    CacheSet& caches() { return caches_; }
    Registry& registry() { return registry_; }
    RbacAuthorizer& authorizer() { return authorizer_; }
    const ApiServerOptions& options() const { return options_; }
    bool ready() const { return caches_.ready() && bootstrapped_ && !stopping_; }
    bool stopping() const { return stopping_; }
    // Who a bearer token belongs to; Unauthenticated when nobody.
    base::Result<User> authenticate_token(std::string_view token) const {
        return authenticator_.authenticate(nullptr, "Bearer " + std::string(token));
    }
    // Cancelled when the server stops.
    void track(const std::shared_ptr<CacheWatch>& watch);

    // For health checks: name → what is wrong ("" nothing).
    using HealthCheck = std::pair<std::string, std::function<std::string()>>;
    std::vector<HealthCheck> health_checks(bool readiness) const;

    // Of the same process, for use on any loop: no HTTP, no encoding. Acts as `user`. The server
    // outlives it.
    std::shared_ptr<api::Client> make_client(User user);

  private:
    base::Awaitable<void> serve(std::shared_ptr<net::Exchange> exchange);
    base::Task<void> dispatch(std::shared_ptr<RequestContext> context);
    base::Task<void> dispatch_resource(std::shared_ptr<RequestContext> context);
    base::Result<User> authenticate(const net::Exchange& exchange);
    base::Status authorize(const RequestContext& context) const;
    base::Task<void> serve_other(std::shared_ptr<RequestContext> context);
    base::Awaitable<void> bootstrap();
    void count_request(const RequestContext& context);

    base::Loop& loop_;
    std::shared_ptr<kvstore::Client> store_;
    ApiServerOptions options_;
    Authenticator authenticator_;
    CacheSet caches_;
    Registry registry_;
    RbacAuthorizer authorizer_;
    base::TaskGroup tasks_;
    std::unique_ptr<net::Server> http_;
    std::vector<std::weak_ptr<CacheWatch>> watches_;
    std::map<std::pair<const api::ResourceInfo*, std::string_view>, base::Counter*> requests_;
    bool bootstrapped_ = false;
    bool stopping_ = false;
};

// What a first start makes, and every start checks: system namespaces, RBAC's default roles and
// bindings, the service `kubernetes` and its endpoints. Answers whether all of it stands.
base::Task<void> bootstrap_cluster(ApiServer& server);

// Discovery and OpenAPI documents; false when `path` is none of theirs.
base::Task<bool> serve_discovery(ApiServer& server, std::shared_ptr<RequestContext> context);
// /healthz, /livez, /readyz (with ?verbose, ?exclude= and sub-paths), /version, /metrics; false
// when `path` is another.
bool serve_health(ApiServer& server, RequestContext& context);

}  // namespace apiserver
