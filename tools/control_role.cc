#include "tools/control_role.h"

#include "api/http_client.h"
#include "controllers/manager.h"
#include "scheduler/scheduler.h"
#include "tools/blocking.h"
#include "tools/hollow_nodes.h"

namespace tools {

struct ControlRole::Impl {
    explicit Impl(const Config& c) : config(c), loop("control") {}

    base::Result<std::shared_ptr<api::Client>> client(ApiRole* api, const char* component) {
        if (api != nullptr) return api->client(component);
        net::ClientOptions options;
        TRY(options.endpoint, net::Endpoint::parse(config.api_endpoint));
        if (!config.insecure) options.tls = config.tls.client();
        return api::make_http_client(loop, std::move(options));
    }

    base::Status open(ApiRole* api, Parts parts) {
        const base::Millis lease = std::chrono::seconds(config.lease_seconds);
        const base::Millis renew = std::chrono::seconds(config.renew_seconds);
        const base::Millis retry = std::chrono::seconds(config.retry_seconds);
        if (parts.controllers) {
            controllers::ManagerOptions options;
            options.identity = config.name;
            options.lease = lease;
            options.renew_deadline = renew;
            options.retry = retry;
            options.node_grace = std::chrono::seconds(config.node_grace_seconds);
            TRY(auto c, client(api, "kube-controller-manager"));
            manager =
                std::make_unique<controllers::Manager>(loop, std::move(c), std::move(options));
            manager->start();
        }
        if (parts.scheduler) {
            scheduler::SchedulerOptions options;
            options.identity = config.name;
            options.lease = lease;
            options.renew_deadline = renew;
            options.retry = retry;
            TRY(auto c, client(api, "kube-scheduler"));
            scheduler =
                std::make_unique<scheduler::Scheduler>(loop, std::move(c), std::move(options));
            scheduler->start();
        }
        if (parts.hollow_nodes) {
            HollowNodesOptions options;
            options.count = config.count;
            options.prefix = config.node_prefix;
            options.start_delay = base::Millis(config.start_delay_ms);
            TRY(auto c, client(api, "hollow-nodes"));
            nodes = std::make_unique<HollowNodes>(loop, std::move(c), std::move(options));
            nodes->start();
        }
        return {};
    }

    base::Awaitable<void> close() {
        if (nodes) co_await nodes->stop();
        if (scheduler) co_await scheduler->stop();
        if (manager) co_await manager->stop();
        nodes.reset();
        scheduler.reset();
        manager.reset();
    }

    Config config;
    base::Loop loop;
    std::unique_ptr<controllers::Manager> manager;
    std::unique_ptr<scheduler::Scheduler> scheduler;
    std::unique_ptr<HollowNodes> nodes;
    bool started = false;
};

ControlRole::ControlRole(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ControlRole::~ControlRole() {
    stop();
}

base::Result<std::unique_ptr<ControlRole>> ControlRole::start(const Config& config, ApiRole* api,
                                                              Parts parts) {
    auto impl = std::make_unique<Impl>(config);
    impl->loop.start();
    base::Status opened;
    impl->loop.run_and_wait([&] { opened = impl->open(api, parts); });
    impl->started = true;
    std::unique_ptr<ControlRole> role(new ControlRole(std::move(impl)));
    if (!opened) return opened.error();
    return role;
}

void ControlRole::stop() {
    if (!std::exchange(impl_->started, false)) return;
    run_on(impl_->loop, [this] { return impl_->close(); });
    impl_->loop.stop();
    impl_->loop.join();
}

}  // namespace tools
