#include "tools/hollow_nodes.h"

#include <fmt/format.h>

#include <set>

#include "api/informer.h"
#include "api/proto/coordination_v1.pb.h"
#include "api/proto/core_v1_node.pb.h"
#include "api/proto/core_v1_pod.pb.h"
#include "api/status.h"
#include "api/util.h"
#include "api/workqueue.h"
#include "base/log.h"

namespace tools {

namespace core = api::core;

namespace {

constexpr std::int32_t kLeaseSeconds = 40;
// A lease queue key is the node's number behind this; every other key is a pod's.
constexpr std::string_view kLeaseKey = "lease/";
constexpr base::Millis kRetry{500};

void add_condition(core::NodeStatus* status, const char* type, const char* value, const char* reason, const api::meta::Time& now) {
    auto* c = status->add_conditions();
    c->set_type(type);
    c->set_status(value);
    c->set_reason(reason);
    *c->mutable_lastheartbeattime() = now;
    *c->mutable_lasttransitiontime() = now;
}

std::string node_ip(int i) { return fmt::format("10.{}.{}.1", 128 + i / 256 % 64, i % 256); }

core::NodeStatus node_status(int i) {
    core::NodeStatus status;
    const auto now = api::to_time(api::wall_now());
    for (auto* resources : {status.mutable_capacity(), status.mutable_allocatable()}) {
        (*resources)["cpu"].set_string("32");
        (*resources)["memory"].set_string("256Gi");
        (*resources)["pods"].set_string("110");
        (*resources)["ephemeral-storage"].set_string("1Ti");
    }
    add_condition(&status, "MemoryPressure", "False", "HollowNodeHasSufficientMemory", now);
    add_condition(&status, "DiskPressure", "False", "HollowNodeHasNoDiskPressure", now);
    add_condition(&status, "PIDPressure", "False", "HollowNodeHasSufficientPID", now);
    add_condition(&status, "Ready", "True", "HollowNodeReady", now);
    auto* address = status.add_addresses();
    address->set_type("InternalIP");
    address->set_address(node_ip(i));
    auto* info = status.mutable_nodeinfo();
    info->set_kubeletversion("v1.36.0-hollow");
    info->set_osimage("hollow");
    info->set_kernelversion("hollow");
    info->set_containerruntimeversion("hollow://1");
    info->set_operatingsystem("linux");
    info->set_architecture("amd64");
    return status;
}

void set_condition(core::PodStatus* status, const char* type, const char* value) {
    for (auto& c : *status->mutable_conditions()) {
        if (c.type() != type) continue;
        if (c.status() != value) *c.mutable_lasttransitiontime() = api::to_time(api::wall_now());
        c.set_status(value);
        return;
    }
    auto* c = status->add_conditions();
    c->set_type(type);
    c->set_status(value);
    *c->mutable_lasttransitiontime() = api::to_time(api::wall_now());
}

bool ended(const core::Pod& pod) { return pod.status().phase() == "Succeeded" || pod.status().phase() == "Failed"; }

}  // namespace

struct HollowNodes::Impl {
    Impl(base::Loop& l, std::shared_ptr<api::Client> c, HollowNodesOptions o)
        : loop(l), client(c), options(std::move(o)), pods(l, c, api::resource_of<core::Pod>()), queue(l), tasks(l) {
        for (int i = 0; i < options.count; ++i) names[options.prefix + std::to_string(i)] = i;
    }

    void start() {
        pods.on_change([this](const api::ObjectPtr& before, const api::ObjectPtr& now) {
            const auto& pod = api::as<core::Pod>(now ? *now : *before);
            if (names.contains(pod.spec().nodename())) queue.add(api::key_of(pod));
        });
        pods.start();
        // Spread over a period, so that thousands do not renew at one instant.
        for (int i = 0; i < options.count; ++i) queue.add_after(std::string(kLeaseKey) + std::to_string(i), options.lease_period * i / options.count / 10);
        for (int i = 0; i < options.workers; ++i) tasks.spawn("hollow nodes", work(this));
    }

    base::Awaitable<void> stop() {
        queue.shut_down();
        co_await pods.stop();
        co_await tasks.stop();
    }

    static base::Awaitable<void> work(Impl* self) {
        for (;;) {
            auto key = co_await self->queue.get();
            if (!key) co_return;
            const bool lease = key->starts_with(kLeaseKey);
            base::Status done;
            if (lease)
                done = co_await self->keep_node(std::atoi(key->c_str() + kLeaseKey.size()));
            else
                done = co_await self->sync_pod(*key);
            self->queue.done(*key);
            if (!done) {
                LOG_DEBUG("hollow", "{}: {}", *key, done.error().message);
                self->queue.add_after(*key, kRetry);
            } else if (lease) {
                self->queue.add_after(*key, self->options.lease_period);
            }
        }
    }

    // Registers the node the first time, and renews its lease every time.
    base::Task<void> keep_node(int i) {
        const std::string name = options.prefix + std::to_string(i);
        if (!registered.contains(i)) {
            auto node = std::make_shared<core::Node>();
            auto* m = node->mutable_metadata();
            m->set_name(name);
            (*m->mutable_labels())["kubernetes.io/hostname"] = name;
            (*m->mutable_labels())["kubernetes.io/os"] = "linux";
            (*m->mutable_labels())["kubernetes.io/arch"] = "amd64";
            (*m->mutable_labels())["type"] = "hollow";
            *node->mutable_status() = node_status(i);
            auto made = co_await client->create<core::Node>(node);
            if (!made && !api::is_already_exists(made.error())) co_return made.error();
            if (!made) CO_TRY_VOID(co_await refresh_status(name, i));
        }
        CO_TRY_VOID(co_await renew(name));
        registered.insert(i);
        co_return base::Status();
    }

    // A node that was there before this process says that it is back.
    base::Task<void> refresh_status(std::string name, int i) {
        CO_TRY(auto node, co_await client->get<core::Node>(std::string(), name));
        auto next = api::copy(*node);
        *next->mutable_status() = node_status(i);
        next->mutable_metadata()->clear_resourceversion();
        CO_TRY_VOID(co_await client->update_status<core::Node>(next));
        co_return base::Status();
    }

    base::Task<void> renew(std::string name) {
        auto lease = std::make_shared<api::coordination::Lease>();
        lease->mutable_metadata()->set_name(name);
        lease->mutable_metadata()->set_namespace_("kube-node-lease");
        lease->mutable_spec()->set_holderidentity(name);
        lease->mutable_spec()->set_leasedurationseconds(kLeaseSeconds);
        *lease->mutable_spec()->mutable_renewtime() = api::to_micro_time(api::wall_now());
        // Leases are made by a PUT on what is not there.
        CO_TRY_VOID(co_await client->update<api::coordination::Lease>(lease));
        co_return base::Status();
    }

    base::Task<void> sync_pod(std::string key) {
        const auto pod = pods.get_as<core::Pod>(key);
        if (!pod || ended(*pod)) co_return base::Status();
        const auto& m = pod->metadata();
        if (api::is_deleting(*pod)) {
            const base::Millis grace = std::min<base::Millis>(std::chrono::seconds(m.deletiongraceperiodseconds()), options.max_grace);
            const auto marked = api::from_time(m.deletiontimestamp()) - std::chrono::seconds(m.deletiongraceperiodseconds());
            const auto left = std::chrono::duration_cast<base::Millis>(marked + grace - api::wall_now());
            if (left > base::Millis(0)) {
                queue.add_after(key, left);
                co_return base::Status();
            }
            api::DeleteOptions now;
            now.grace_period_seconds = 0;
            now.uid = m.uid();
            auto removed = co_await client->remove<core::Pod>(m.namespace_(), m.name(), std::move(now));
            if (!removed && !api::is_not_found(removed.error()) && !api::is_conflict(removed.error())) co_return removed.error();
            co_return base::Status();
        }
        if (pod->status().phase() == "Running") co_return base::Status();
        co_return co_await run_pod(pod, std::move(key));
    }

    base::Task<void> run_pod(api::Ptr<core::Pod> pod, std::string key) {
        // From when it was seen bound; the condition carries only whole seconds.
        const auto [seen, first] = bound_at.emplace(key, std::chrono::steady_clock::now());
        const auto left = std::chrono::duration_cast<base::Millis>(seen->second + options.start_delay - std::chrono::steady_clock::now());
        if (left > base::Millis(0)) {
            queue.add_after(key, left);
            co_return base::Status();
        }
        auto next = api::copy(*pod);
        auto* status = next->mutable_status();
        const auto now = api::to_time(api::wall_now());
        const int node = names.at(pod->spec().nodename());
        status->set_phase("Running");
        status->set_hostip(node_ip(node));
        *status->mutable_starttime() = now;
        const std::uint32_t n = next_ip++;
        status->set_podip(fmt::format("10.{}.{}.{}", 64 + n / 65536 % 64, n / 256 % 256, n % 256));
        status->clear_podips();
        status->add_podips()->set_ip(status->podip());
        for (const char* type : {"PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"}) set_condition(status, type, "True");
        status->clear_containerstatuses();
        for (const auto& c : pod->spec().containers()) {
            auto* s = status->add_containerstatuses();
            s->set_name(c.name());
            s->set_image(c.image());
            s->set_imageid("hollow://" + c.image());
            s->set_containerid("hollow://" + pod->metadata().uid() + "/" + c.name());
            s->set_ready(true);
            s->set_started(true);
            *s->mutable_state()->mutable_running()->mutable_startedat() = now;
        }
        auto updated = co_await client->update_status<core::Pod>(next);
        if (!updated && api::is_not_found(updated.error())) {
            bound_at.erase(key);
            co_return base::Status();
        }
        if (!updated) co_return updated.error();
        bound_at.erase(key);
        co_return base::Status();
    }

    base::Loop& loop;
    std::shared_ptr<api::Client> client;
    HollowNodesOptions options;
    api::Informer pods;
    api::WorkQueue queue;
    base::TaskGroup tasks;
    std::map<std::string, int, std::less<>> names;
    std::map<std::string, base::SteadyTime> bound_at;
    std::set<int> registered;
    std::uint32_t next_ip = 1;
};

HollowNodes::HollowNodes(base::Loop& loop, std::shared_ptr<api::Client> client, HollowNodesOptions options)
    : impl_(std::make_unique<Impl>(loop, std::move(client), std::move(options))) {}
HollowNodes::~HollowNodes() = default;
void HollowNodes::start() { impl_->start(); }
base::Awaitable<void> HollowNodes::stop() { co_await impl_->stop(); }
int HollowNodes::registered() const { return static_cast<int>(impl_->registered.size()); }

}  // namespace tools
