#include "apiserver/server.h"

#include <fmt/format.h>

#include "api/codec/json.h"
#include "api/status.h"
#include "apiserver/http/handlers.h"
#include "apiserver/http/watch.h"
#include "base/log.h"
#include "base/metrics.h"

namespace apiserver {

ApiServer::ApiServer(base::Loop& loop, std::shared_ptr<kvstore::Client> store,
                     ApiServerOptions options)
    : loop_(loop),
      store_(std::move(store)),
      options_(std::move(options)),
      caches_(loop, *store_),
      registry_(*store_, caches_),
      authorizer_(caches_),
      tasks_(loop) {
    authenticator_.allow_anonymous = options_.anonymous;
}

ApiServer::~ApiServer() = default;

base::Result<std::uint16_t> ApiServer::start() {
    TRY_VOID(authenticator_.load_tokens(options_.tokens_csv));
    net::ServerHandlers handlers;
    handlers.on_exchange = [this](std::shared_ptr<net::Exchange> exchange) {
        return serve(std::move(exchange));
    };
    http_ = std::make_unique<net::Server>(loop_, options_.http, std::move(handlers));
    auto port = http_->listen();
    if (!port) {
        http_.reset();
        return port.error();
    }
    if (options_.advertise_port == 0) options_.advertise_port = *port;
    caches_.start();
    tasks_.spawn("bootstrap", bootstrap());
    return port;
}

base::Awaitable<void> ApiServer::stop(base::Millis drain) {
    stopping_ = true;
    for (const auto& weak : watches_)
        if (auto watch = weak.lock()) watch->cancel();
    co_await tasks_.stop();
    if (http_) co_await http_->stop(drain);
    co_await caches_.stop();
}

base::Awaitable<void> ApiServer::bootstrap() {
    constexpr base::Millis kRetry{250};
    constexpr base::Millis kCheckEvery{30'000};
    bool told = false;
    while (!tasks_.stopping()) {
        base::Status done = base::unavailable("the caches are not loaded");
        if (caches_.ready()) done = co_await bootstrap_cluster(*this);
        if (done) bootstrapped_ = true;
        if (!done && caches_.ready() && !std::exchange(told, true))
            LOG_INFO("apiserver", "the cluster's own objects are not there yet: {}",
                     done.error().message);
        const auto pause = bootstrapped_     ? kCheckEvery
                           : caches_.ready() ? kRetry
                                             : base::Millis(10);
        if (auto slept = co_await base::sleep_for(pause); !slept) co_return;
    }
}

void ApiServer::track(const std::shared_ptr<CacheWatch>& watch) {
    constexpr std::size_t kSweepAt = 256;
    if (watches_.size() >= kSweepAt && (watches_.size() & (watches_.size() - 1)) == 0)
        std::erase_if(watches_, [](const auto& weak) { return weak.expired(); });
    watches_.push_back(watch);
}

std::vector<ApiServer::HealthCheck> ApiServer::health_checks(bool readiness) const {
    std::vector<HealthCheck> out{{"ping", [] { return std::string(); }}};
    out.emplace_back("etcd", [this] {
        return std::string(caches_.ready() ? "" : "the store's content is not loaded");
    });
    if (readiness) {
        out.emplace_back("informer-sync",
                         [this] { return std::string(caches_.ready() ? "" : "not synced"); });
        out.emplace_back("poststarthook/bootstrap",
                         [this] { return std::string(bootstrapped_ ? "" : "not finished"); });
        out.emplace_back("shutdown", [this] {
            return std::string(stopping_ ? "process is shutting down" : "");
        });
    }
    return out;
}

base::Result<User> ApiServer::authenticate(const net::Exchange& exchange) {
    if (options_.insecure) return User::internal("insecure");
    return authenticator_.authenticate(exchange.peer().get(), exchange.header("authorization"));
}

base::Status ApiServer::authorize(const RequestContext& context) const {
    const auto& info = context.info;
    AccessRequest request;
    request.verb = info.verb;
    request.is_resource = info.is_resource;
    request.api_group = info.api_group;
    request.resource = info.resource;
    request.subresource = info.subresource;
    request.name = info.name;
    request.namespace_name = info.namespace_;
    request.path = info.path;
    if (authorizer_.authorize(context.user, request).allowed) return {};
    const std::string why = denial_message(context.user, request);
    if (!info.is_resource) return api::forbidden("", "", why);
    const std::string qualified =
        info.api_group.empty() ? info.resource : info.resource + "." + info.api_group;
    return api::forbidden(qualified, info.name, why);
}

void ApiServer::count_request(const RequestContext& context) {
    // Only what the resource table knows becomes a label: a client must not be able to make series.
    static constexpr std::string_view kVerbs[] = {"create", "delete", "deletecollection", "get",
                                                  "list",   "patch",  "update",           "watch"};
    const auto known = std::find(std::begin(kVerbs), std::end(kVerbs), context.info.verb);
    const std::string_view verb = known == std::end(kVerbs) ? "other" : *known;
    auto& counter = requests_[{context.resource, verb}];
    if (counter == nullptr)
        counter = &base::metrics().counter(
            "apiserver_request_total", "Requests by verb and resource.",
            {{"verb", std::string(verb)},
             {"resource", context.resource == nullptr ? "" : context.resource->qualified()}});
    counter->add();
}

base::Awaitable<void> ApiServer::serve(std::shared_ptr<net::Exchange> exchange) {
    static auto& latency =
        base::metrics().histogram("apiserver_request_duration_seconds",
                                  "Time from a request's headers to its answer; watches left out.",
                                  {0.001, 0.005, 0.025, 0.1, 0.5, 1, 5, 30});
    const auto began = std::chrono::steady_clock::now();
    auto context = std::make_shared<RequestContext>();
    context->exchange = exchange;
    auto done = co_await dispatch(context);
    if (!done) respond_error(*context, done.error());
    count_request(*context);
    if (context->info.verb != "watch")
        latency.observe(
            std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count());
}

base::Task<void> ApiServer::dispatch(std::shared_ptr<RequestContext> context) {
    auto info = parse_request(context->exchange->method(), context->exchange->target());
    if (!info) co_return api::bad_request(info.error().message);
    context->info = std::move(*info);
    // Who asks for errors in protobuf gets them so, even if nothing else is acceptable.
    if (auto accepted = negotiate(context->exchange->header("accept"), true))
        context->accepted = std::move(*accepted);
    CO_TRY(context->user, authenticate(*context->exchange));
    // What a load balancer asks must be answered before there are any roles.
    const bool open =
        context->info.path == "/healthz" || context->info.path.starts_with("/livez") ||
        context->info.path.starts_with("/readyz") || context->info.path.starts_with("/healthz/") ||
        context->info.path == "/version" || context->info.path == "/version/";
    if (open && serve_health(*this, *context)) co_return base::Status();
    if (!caches_.ready()) {
        if (auto loaded = co_await caches_.wait_for(1, base::Millis(10'000)); !loaded)
            co_return api::service_unavailable(
                "the API server is not ready: the store's content is not loaded");
    }
    CO_TRY_VOID(authorize(*context));
    if (context->info.is_resource) co_return co_await dispatch_resource(context);
    co_return co_await serve_other(context);
}

base::Task<void> ApiServer::serve_other(std::shared_ptr<RequestContext> context) {
    if (serve_health(*this, *context)) co_return base::Status();
    CO_TRY(const bool served, co_await serve_discovery(*this, context));
    if (served) co_return base::Status();
    co_return api::no_such_path();
}

base::Task<void> ApiServer::dispatch_resource(std::shared_ptr<RequestContext> context) {
    const auto& info = context->info;
    context->resource = api::find_resource(info.api_group, info.api_version, info.resource);
    if (context->resource == nullptr) co_return api::no_such_path();
    const auto& resource = *context->resource;
    if (!resource.namespaced && !info.namespace_.empty() && info.resource != "namespaces")
        co_return api::no_such_path();
    if (info.resource == "namespaces") context->info.namespace_.clear();
    CO_TRY(context->accepted, negotiate(context->exchange->header("accept"), true));
    if (info.verb == "create" && is_review(resource))
        co_return co_await handle_review(*this, context);
    if (resource.kind == "Binding" && info.verb == "create" && info.subresource.empty())
        co_return co_await handle_binding(*this, context);
    if (resource.storage_prefix.empty() && resource.kind != "ComponentStatus")
        co_return api::method_not_supported(resource.qualified(), info.verb);

    if (!info.subresource.empty()) {
        const auto* sub = resource.subresource(info.subresource);
        if (sub == nullptr) co_return api::no_such_path();
        if (std::find(sub->verbs.begin(), sub->verbs.end(), info.verb) == sub->verbs.end())
            co_return api::method_not_supported(resource.qualified(), info.verb);
        const bool same_kind = info.subresource == "status" || info.subresource == "finalize" ||
                               info.subresource == "approval" ||
                               info.subresource == "ephemeralcontainers" ||
                               info.subresource == "resize";
        if (!same_kind) co_return co_await handle_subresource(*this, context);
    } else if (!resource.has_verb(info.verb)) {
        co_return api::method_not_supported(resource.qualified(), info.verb);
    }
    if (info.verb == "get") co_return co_await handle_get(*this, context);
    if (info.verb == "list") co_return co_await handle_list(*this, context);
    if (info.verb == "watch") co_return co_await handle_watch(*this, context);
    if (info.verb == "create") co_return co_await handle_create(*this, context);
    if (info.verb == "update") co_return co_await handle_update(*this, context);
    if (info.verb == "patch") co_return co_await handle_patch(*this, context);
    if (info.verb == "delete") co_return co_await handle_delete(*this, context);
    if (info.verb == "deletecollection")
        co_return co_await handle_delete_collection(*this, context);
    co_return api::method_not_supported(resource.qualified(), info.verb);
}

}  // namespace apiserver
