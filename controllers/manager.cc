#include "controllers/manager.h"

#include <vector>

#include "api/controller.h"
#include "api/elected.h"
#include "api/events.h"
#include "base/log.h"
#include "controllers/deployment.h"
#include "controllers/endpoints.h"
#include "controllers/garbage_collector.h"
#include "controllers/namespace.h"
#include "controllers/node_lifecycle.h"
#include "controllers/pod_gc.h"
#include "controllers/replicaset.h"
#include "controllers/service_account.h"

namespace controllers {
namespace {

// As upstream.
constexpr base::Millis kNodeQuarantine{40 * 1000};

// One term of leadership: its informers and controllers are made anew, so that one who does not
// lead costs nothing.
class Term {
  public:
    Term(base::Loop& loop, const std::shared_ptr<api::Client>& client,
         const ManagerOptions& options)
        : informers_(loop, client), tasks_(loop) {
        const auto recorder = [&](const char* component) -> api::EventRecorder& {
            api::EventRecorderOptions o;
            o.component = component;
            events_.push_back(std::make_unique<api::EventRecorder>(loop, client, o));
            return *events_.back();
        };
        auto& in = informers_;
        auto& nodes = recorder("node-controller");
        add(make_replicaset(loop, client, in, recorder("replicaset-controller")));
        add(make_replicationcontroller(loop, client, in, recorder("replication-controller")));
        add(make_deployment(loop, client, in, recorder("deployment-controller")));
        add(make_endpoints(loop, client, in));
        add(make_endpointslice(loop, client, in));
        add(make_namespace(loop, client, in));
        add(make_garbage_collector(loop, client, in));
        add(make_node_lifecycle(loop, client, in, nodes, options.node_grace));
        add(make_taint_eviction(loop, client, in, recorder("taint-eviction-controller")));
        add(make_pod_gc(loop, client, in, kNodeQuarantine));
        add(make_service_account(loop, client, in));
    }

    void start() {
        for (auto& events : events_)
            events->start();
        informers_.start();
        tasks_.spawn("start of the controllers", run());
    }

    base::Awaitable<void> stop() {
        // Waiters in run() end, too.
        co_await tasks_.stop();
        for (auto& controller : controllers_)
            co_await controller->stop();
        co_await informers_.stop();
        for (auto& events : events_)
            co_await events->stop();
    }

  private:
    void add(std::unique_ptr<api::Controller> controller) {
        controllers_.push_back(std::move(controller));
    }
    base::Awaitable<void> run() {
        const auto synced = co_await informers_.wait_synced();
        if (!synced) co_return;
        LOG_INFO("controllers", "caches are filled, {} controllers start", controllers_.size());
        for (auto& controller : controllers_)
            controller->start();
    }

    api::Informers informers_;
    base::TaskGroup tasks_;
    std::vector<std::unique_ptr<api::EventRecorder>> events_;
    std::vector<std::unique_ptr<api::Controller>> controllers_;
};

}  // namespace

struct Manager::Impl {
    Impl(base::Loop& loop, std::shared_ptr<api::Client> client, ManagerOptions o)
        : options(std::move(o)),
          term(loop, client, "kube-controller-manager", options,
               [this, &loop, client] { return std::make_unique<Term>(loop, client, options); }) {}

    ManagerOptions options;
    api::Elected<Term> term;
};

Manager::Manager(base::Loop& loop, std::shared_ptr<api::Client> client, ManagerOptions options)
    : impl_(std::make_unique<Impl>(loop, std::move(client), std::move(options))) {}
Manager::~Manager() = default;

void Manager::start() {
    impl_->term.start();
}
base::Awaitable<void> Manager::stop() {
    co_await impl_->term.stop();
}
bool Manager::leading() const {
    return impl_->term.leading();
}
std::string Manager::leader() const {
    return impl_->term.holder();
}

}  // namespace controllers
