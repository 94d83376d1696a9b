#include "tools/api_role.h"

#include <fmt/format.h>

#include "apiserver/server.h"
#include "base/file.h"
#include "base/log.h"
#include "kvstore/remote_client.h"
#include "tools/blocking.h"

namespace tools {

namespace {
constexpr base::Millis kDrain{2000};
}

struct ApiRole::Impl {
    explicit Impl(const Config& c) : config(c), loop("api") {}

    base::Status open(StoreRole* local) {
        if (local != nullptr) {
            store = local->client(loop);
        } else {
            kvstore::RemoteClientOptions options;
            for (const auto& text : config.store_endpoints) {
                TRY(net::Endpoint endpoint, net::Endpoint::parse(text));
                options.endpoints.push_back(std::move(endpoint));
            }
            if (!config.insecure) options.tls = config.tls.client();
            store = kvstore::make_remote_client(loop, std::move(options));
        }
        TRY(const net::Endpoint listen, net::Endpoint::parse(config.listen_api));
        apiserver::ApiServerOptions options;
        options.http.name = "api";
        options.http.address = listen.host;
        options.http.port = listen.port;
        if (!config.insecure) options.http.tls = config.tls.server(net::ClientAuth::kRequest);
        options.insecure = config.insecure;
        options.anonymous = config.anonymous;
        options.advertise_address =
            config.advertise_address.empty() ? listen.host : config.advertise_address;
        if (!config.token_file.empty()) {
            TRY(options.tokens_csv, base::read_file(config.token_file));
        }
        server = std::make_unique<apiserver::ApiServer>(loop, store, std::move(options));
        auto port = server->start();
        if (!port) return port.error().with_context("--listen-api " + config.listen_api);
        LOG_INFO("api", "serving the Kubernetes API on {}{}:{}",
                 config.insecure ? "http://" : "https://", listen.host, *port);
        return {};
    }

    base::Awaitable<void> close() {
        if (server) co_await server->stop(kDrain);
        server.reset();
        store.reset();
    }

    Config config;
    base::Loop loop;
    std::shared_ptr<kvstore::Client> store;
    std::unique_ptr<apiserver::ApiServer> server;
    bool started = false;
};

ApiRole::ApiRole(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ApiRole::~ApiRole() {
    stop();
}

base::Result<std::unique_ptr<ApiRole>> ApiRole::start(const Config& config, StoreRole* store) {
    auto impl = std::make_unique<Impl>(config);
    impl->loop.start();
    base::Status opened;
    impl->loop.run_and_wait([&] { opened = impl->open(store); });
    impl->started = true;
    std::unique_ptr<ApiRole> role(new ApiRole(std::move(impl)));
    if (!opened) return opened.error();
    return role;
}

std::shared_ptr<api::Client> ApiRole::client(const std::string& component) {
    return impl_->server->make_client(apiserver::User::internal(component));
}

void ApiRole::stop() {
    if (!std::exchange(impl_->started, false)) return;
    run_on(impl_->loop, [this] { return impl_->close(); });
    impl_->loop.stop();
    impl_->loop.join();
}

}  // namespace tools
