// What every cluster has from its first start on. Written so that any number of API servers may do
// it at once: each object is created if it is not there, and found if another was faster.

#include "api/codec/json.h"
#include "api/codec/yaml.h"
#include "api/proto/core_v1_config.pb.h"
#include "api/proto/core_v1_service.pb.h"
#include "api/proto/rbac_v1.pb.h"
#include "api/status.h"
#include "apiserver/admission/admission.h"
#include "apiserver/server.h"

namespace apiserver {

namespace core = api::core;

namespace {

// RBAC's defaults: discovery for everybody, the classic user-facing roles, and what the parts of a
// master and its nodes need. One YAML document each, as a person would write them.
constexpr const char* kRoles[] = {
    R"(
kind: ClusterRole
metadata: {name: cluster-admin, labels: {kubernetes.io/bootstrapping: rbac-defaults}}
rules:
- {apiGroups: ["*"], resources: ["*"], verbs: ["*"]}
- {nonResourceURLs: ["*"], verbs: ["*"]}
)",
    R"(
kind: ClusterRole
metadata: {name: "system:discovery", labels: {kubernetes.io/bootstrapping: rbac-defaults}}
rules:
- {nonResourceURLs: ["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz", "/version", "/version/"], verbs: [get]}
)",
    R"(
kind: ClusterRole
metadata: {name: "system:basic-user", labels: {kubernetes.io/bootstrapping: rbac-defaults}}
rules:
- {apiGroups: [authorization.k8s.io], resources: [selfsubjectaccessreviews, selfsubjectrulesreviews], verbs: [create]}
- {apiGroups: [authentication.k8s.io], resources: [selfsubjectreviews], verbs: [create]}
)",
    R"(
kind: ClusterRole
metadata: {name: "system:public-info-viewer", labels: {kubernetes.io/bootstrapping: rbac-defaults}}
rules:
- {nonResourceURLs: ["/healthz", "/livez", "/readyz", "/version", "/version/"], verbs: [get]}
)",
    R"(
kind: ClusterRole
metadata: {name: view, labels: {kubernetes.io/bootstrapping: rbac-defaults}}
rules:
- {apiGroups: [""], resources: [configmaps, endpoints, events, limitranges, namespaces, namespaces/status, persistentvolumeclaims, persistentvolumeclaims/status, pods, pods/log, pods/status, replicationcontrollers, replicationcontrollers/scale, replicationcontrollers/status, resourcequotas, resourcequotas/status, serviceaccounts, services, services/status, bindings], verbs: [get, list, watch]}
- {apiGroups: [apps], resources: ["*"], verbs: [get, list, watch]}
- {apiGroups: [autoscaling, batch, policy, discovery.k8s.io, networking.k8s.io], resources: ["*"], verbs: [get, list, watch]}
)",
    R"(
kind: ClusterRole
metadata: {name: edit, labels: {kubernetes.io/bootstrapping: rbac-defaults}}
rules:
- {apiGroups: [""], resources: [configmaps, endpoints, events, persistentvolumeclaims, pods, pods/attach, pods/eviction, pods/exec, pods/log, pods/portforward, pods/proxy, pods/status, replicationcontrollers, replicationcontrollers/scale, secrets, serviceaccounts, services, services/proxy], verbs: [create, delete, deletecollection, get, list, patch, update, watch]}
- {apiGroups: [""], resources: [limitranges, namespaces, resourcequotas], verbs: [get, list, watch]}
- {apiGroups: [apps, autoscaling, batch, policy, networking.k8s.io], resources: ["*"], verbs: [create, delete, deletecollection, get, list, patch, update, watch]}
- {apiGroups: [discovery.k8s.io], resources: ["*"], verbs: [get, list, watch]}
- {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [create, delete, deletecollection, get, list, patch, update, watch]}
)",
    R"(
kind: ClusterRole
metadata: {name: admin, labels: {kubernetes.io/bootstrapping: rbac-defaults}}
rules:
- {apiGroups: ["", apps, autoscaling, batch, policy, networking.k8s.io, discovery.k8s.io, coordination.k8s.io], resources: ["*"], verbs: [create, delete, deletecollection, get, list, patch, update, watch]}
- {apiGroups: [rbac.authorization.k8s.io], resources: [roles, rolebindings], verbs: [create, delete, deletecollection, get, list, patch, update, watch]}
- {apiGroups: [authorization.k8s.io], resources: [localsubjectaccessreviews], verbs: [create]}
)",
    R"(
kind: ClusterRole
metadata: {name: "system:node", labels: {kubernetes.io/bootstrapping: rbac-defaults}}
rules:
- {apiGroups: [""], resources: [nodes], verbs: [create, get, list, watch, update, patch]}
- {apiGroups: [""], resources: [nodes/status], verbs: [patch, update]}
- {apiGroups: [""], resources: [pods], verbs: [get, list, watch, create, delete]}
- {apiGroups: [""], resources: [pods/status], verbs: [patch, update]}
- {apiGroups: [""], resources: [pods/eviction], verbs: [create]}
- {apiGroups: [""], resources: [services, configmaps, secrets, persistentvolumeclaims, persistentvolumes, endpoints], verbs: [get, list, watch]}
- {apiGroups: ["", events.k8s.io], resources: [events], verbs: [create, patch, update]}
- {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [create, get, update, patch, delete]}
- {apiGroups: [storage.k8s.io], resources: [csidrivers, csinodes, volumeattachments], verbs: [get, list, watch, create, update, patch, delete]}
- {apiGroups: [node.k8s.io], resources: [runtimeclasses], verbs: [get, list, watch]}
)",
    R"(
kind: ClusterRole
metadata: {name: "system:kube-scheduler", labels: {kubernetes.io/bootstrapping: rbac-defaults}}
rules:
- {apiGroups: [""], resources: [pods, nodes, namespaces, services, replicationcontrollers, persistentvolumes, persistentvolumeclaims], verbs: [get, list, watch]}
- {apiGroups: [""], resources: [pods], verbs: [delete]}
- {apiGroups: [""], resources: [pods/binding, bindings], verbs: [create]}
- {apiGroups: [""], resources: [pods/status], verbs: [patch, update]}
- {apiGroups: ["", events.k8s.io], resources: [events], verbs: [create, patch, update]}
- {apiGroups: [apps, policy, storage.k8s.io, resource.k8s.io], resources: ["*"], verbs: [get, list, watch]}
- {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [create, get, update]}
)",
    R"(
kind: ClusterRole
metadata: {name: "system:kube-controller-manager", labels: {kubernetes.io/bootstrapping: rbac-defaults}}
rules:
- {apiGroups: ["*"], resources: ["*"], verbs: ["*"]}
)",
};

struct Binding {
    const char* name;
    const char* role;
    const char* subject_kind;
    const char* subject;
};
constexpr Binding kBindings[] = {
    {"cluster-admin", "cluster-admin", "Group", "system:masters"},
    {"system:discovery", "system:discovery", "Group", "system:authenticated"},
    {"system:basic-user", "system:basic-user", "Group", "system:authenticated"},
    {"system:public-info-viewer", "system:public-info-viewer", "Group", "system:unauthenticated"},
    {"system:node", "system:node", "Group", "system:nodes"},
    {"system:kube-scheduler", "system:kube-scheduler", "User", "system:kube-scheduler"},
    {"system:kube-controller-manager", "system:kube-controller-manager", "User",
     "system:kube-controller-manager"},
};

base::Task<void> ensure(Registry& registry, const api::ResourceInfo* resource,
                        std::string namespace_name, std::shared_ptr<api::Message> object) {
    if (registry.caches().of(*resource).find(
            resource->storage_key(namespace_name, api::meta_of(*object).name())))
        co_return base::Status();
    WriteContext context;
    context.user = User::internal("apiserver");
    auto made = co_await registry.create(*resource, namespace_name, api::clone(*object),
                                         std::move(context));
    if (!made && made.error().code != base::Code::kAlreadyExists) co_return made.error();
    co_return base::Status();
}

base::Task<void> ensure_roles(Registry& registry) {
    const auto* roles = api::find_kind("rbac.authorization.k8s.io/v1", "ClusterRole");
    for (const char* yaml : kRoles) {
        auto value = api::parse_yaml(yaml);
        CHECK(value.has_value(), "a built-in role is no YAML: {}", value.error().message);
        std::shared_ptr<api::Message> role(roles->prototype().New());
        api::JsonProblems problems;
        api::TypeMeta type;
        auto decoded = api::from_value(*value, role.get(), &type, &problems);
        CHECK(decoded.has_value() && problems.empty(), "a built-in role does not decode");
        CO_TRY_VOID(co_await ensure(registry, roles, "", role));
    }
    const auto* bindings = api::find_kind("rbac.authorization.k8s.io/v1", "ClusterRoleBinding");
    for (const auto& b : kBindings) {
        auto binding = std::make_shared<api::rbac::ClusterRoleBinding>();
        binding->mutable_metadata()->set_name(b.name);
        (*binding->mutable_metadata()->mutable_labels())["kubernetes.io/bootstrapping"] =
            "rbac-defaults";
        binding->mutable_roleref()->set_apigroup("rbac.authorization.k8s.io");
        binding->mutable_roleref()->set_kind("ClusterRole");
        binding->mutable_roleref()->set_name(b.role);
        auto* subject = binding->add_subjects();
        subject->set_kind(b.subject_kind);
        subject->set_apigroup("rbac.authorization.k8s.io");
        subject->set_name(b.subject);
        CO_TRY_VOID(co_await ensure(registry, bindings, "", binding));
    }
    co_return base::Status();
}

base::Task<void> ensure_kubernetes_service(ApiServer& server) {
    auto service = std::make_shared<core::Service>();
    auto* m = service->mutable_metadata();
    m->set_name("kubernetes");
    m->set_namespace_("default");
    (*m->mutable_labels())["component"] = "apiserver";
    (*m->mutable_labels())["provider"] = "kubernetes";
    auto* spec = service->mutable_spec();
    spec->set_clusterip(kKubernetesServiceIp);
    auto* port = spec->add_ports();
    port->set_name("https");
    port->set_protocol("TCP");
    port->set_port(443);
    port->mutable_targetport()->set_type(0);
    port->mutable_targetport()->set_intval(server.options().advertise_port);
    CO_TRY_VOID(
        co_await ensure(server.registry(), &api::resource_of<core::Service>(), "default", service));
    co_return base::Status();
}

// Each API server adds itself to the endpoints. One that is taken out of service for good is
// removed by hand.
base::Task<void> ensure_endpoints(ApiServer& server) {
    const auto& o = server.options();
    if (o.advertise_address.empty()) co_return base::Status();
    const auto& resource = api::resource_of<core::Endpoints>();
    auto endpoints = std::make_shared<core::Endpoints>();
    endpoints->mutable_metadata()->set_name("kubernetes");
    endpoints->mutable_metadata()->set_namespace_("default");
    (*endpoints->mutable_metadata()->mutable_labels())["endpointslice.kubernetes.io/skip-mirror"] =
        "true";
    auto add = [&o](core::Endpoints* to) {
        for (const auto& subset : to->subsets())
            for (const auto& address : subset.addresses())
                if (address.ip() == o.advertise_address && subset.ports_size() > 0 &&
                    subset.ports(0).port() == o.advertise_port)
                    return false;
        auto* subset = to->add_subsets();
        subset->add_addresses()->set_ip(o.advertise_address);
        auto* port = subset->add_ports();
        port->set_name("https");
        port->set_port(o.advertise_port);
        port->set_protocol("TCP");
        return true;
    };
    add(endpoints.get());
    if (!server.caches().of(resource).find(resource.storage_key("default", "kubernetes")))
        co_return co_await ensure(server.registry(), &resource, "default", endpoints);
    Registry::Transform join =
        [add](const api::Message& current) -> base::Result<std::unique_ptr<api::Message>> {
        auto out = api::clone(current);
        add(static_cast<core::Endpoints*>(out.get()));
        api::mutable_meta(out.get())->clear_resourceversion();
        return out;
    };
    WriteContext context;
    context.user = User::internal("apiserver");
    CO_TRY_VOID(co_await server.registry().update(resource, "default", "kubernetes", "",
                                                  std::move(join), std::move(context)));
    co_return base::Status();
}

}  // namespace

base::Task<void> bootstrap_cluster(ApiServer& server) {
    for (const char* name : {"default", "kube-system", "kube-public", "kube-node-lease"}) {
        auto ns = std::make_shared<core::Namespace>();
        ns->mutable_metadata()->set_name(name);
        CO_TRY_VOID(
            co_await ensure(server.registry(), &api::resource_of<core::Namespace>(), "", ns));
    }
    CO_TRY_VOID(co_await ensure_roles(server.registry()));
    CO_TRY_VOID(co_await ensure_kubernetes_service(server));
    co_return co_await ensure_endpoints(server);
}

}  // namespace apiserver
