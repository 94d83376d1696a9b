// ComponentStatus: not stored, but found out when somebody asks. The store is healthy when it
// answers a linearizable read; scheduler and controllers when somebody holds their lease.

#include "api/codec/envelope.h"
#include "api/proto/coordination_v1.pb.h"
#include "api/proto/core_v1_event.pb.h"
#include "api/status.h"
#include "apiserver/http/handlers.h"
#include "apiserver/server.h"

namespace apiserver {
namespace {

std::string lease_trouble(CacheSet& caches, std::string_view name) {
    const auto& leases = api::resource_of<api::coordination::Lease>();
    const auto found = caches.of(leases).find(leases.storage_key("kube-system", name));
    if (!found) return "no leader was elected yet";
    const auto lease = api::as<api::coordination::Lease>(found->object());
    const auto& spec = lease->spec();
    if (spec.holderidentity().empty()) return "there is no leader";
    const auto until =
        api::from_time(spec.renewtime()) + std::chrono::seconds(spec.leasedurationseconds());
    if (until < std::chrono::system_clock::now())
        return "the leader " + spec.holderidentity() + " does not renew its lease";
    return {};
}

CachedPtr component(const std::string& name, const std::string& trouble) {
    api::core::ComponentStatus out;
    out.mutable_metadata()->set_name(name);
    auto* condition = out.add_conditions();
    condition->set_type("Healthy");
    condition->set_status(trouble.empty() ? "True" : "False");
    if (trouble.empty())
        condition->set_message("ok");
    else
        condition->set_error(trouble);
    return Cached::make(api::resource_of<api::core::ComponentStatus>(), "/" + name, 0,
                        api::encode_envelope({"v1", "ComponentStatus"}, out));
}

}  // namespace

base::Task<std::vector<CachedPtr>> component_statuses(CacheSet& caches) {
    std::vector<CachedPtr> out;
    const auto fresh = co_await caches.wait_fresh(base::Millis(2000));
    out.push_back(
        component("controller-manager", lease_trouble(caches, "kube-controller-manager")));
    out.push_back(component("scheduler", lease_trouble(caches, "kube-scheduler")));
    out.push_back(component("etcd-0", fresh ? "" : fresh.error().message));
    co_return out;
}

}  // namespace apiserver
