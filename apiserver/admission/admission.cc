#include "apiserver/admission/admission.h"

#include <algorithm>

#include "api/proto/core_v1_config.pb.h"
#include "api/proto/core_v1_pod.pb.h"
#include "api/proto/core_v1_service.pb.h"
#include "api/status.h"

namespace apiserver {

namespace core = api::core;

namespace {

constexpr std::string_view kImmortal[] = {"default", "kube-system", "kube-public"};
constexpr std::int64_t kTolerateSeconds = 300;

// DefaultTolerationSeconds: a pod stays this long on a node that is not ready or cannot be reached.
void add_default_tolerations(core::PodSpec* spec) {
    for (const char* key : {"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"}) {
        const bool has =
            std::any_of(spec->tolerations().begin(), spec->tolerations().end(), [&](const auto& t) {
                return (t.key() == key || t.key().empty()) &&
                       (t.effect() == "NoExecute" || t.effect().empty());
            });
        if (has) continue;
        auto* t = spec->add_tolerations();
        t->set_key(key);
        t->set_operator_("Exists");
        t->set_effect("NoExecute");
        t->set_tolerationseconds(kTolerateSeconds);
    }
}

}  // namespace

// Nothing is made in a namespace that is not there or is going away.
base::Task<void> Admission::namespace_lifecycle(const api::ResourceInfo& resource,
                                                std::string namespace_name) {
    const auto& info = api::resource_of<core::Namespace>();
    auto& cache = registry_.caches().of(info);
    auto found = cache.find(info.storage_key("", namespace_name));
    if (!found) {
        // It may have been made on another API server a moment ago.
        CO_TRY_VOID(co_await registry_.caches().wait_fresh());
        found = cache.find(info.storage_key("", namespace_name));
    }
    if (!found) co_return api::not_found("namespaces", namespace_name);
    const auto ns = api::as<core::Namespace>(found->object());
    if (ns && api::is_deleting(*ns))
        co_return api::namespace_terminating(resource.qualified(), namespace_name);
    co_return base::Status();
}

base::Task<void> Admission::admit_create(const api::ResourceInfo& resource,
                                         std::shared_ptr<api::Message> object,
                                         const WriteContext& context) {
    const std::string namespace_name = api::meta_of(*object).namespace_();
    if (resource.namespaced) CO_TRY_VOID(co_await namespace_lifecycle(resource, namespace_name));
    if (object->GetDescriptor() == core::Pod::descriptor()) {
        auto* spec = static_cast<core::Pod*>(object.get())->mutable_spec();
        if (spec->serviceaccountname().empty()) spec->set_serviceaccountname("default");
        spec->set_serviceaccount(spec->serviceaccountname());
        add_default_tolerations(spec);
    }
    if (object->GetDescriptor() == core::Service::descriptor())
        CO_TRY_VOID(co_await allocate_service(registry_, object, context));
    co_return base::Status();
}

base::Task<void> Admission::admit_update(const api::ResourceInfo&,
                                         std::shared_ptr<api::Message> object, api::ObjectPtr old,
                                         std::string subresource, const WriteContext& context) {
    if (object->GetDescriptor() == core::Service::descriptor() && subresource.empty()) {
        auto* spec = static_cast<core::Service*>(object.get())->mutable_spec();
        const auto& before = api::as<core::Service>(*old).spec();
        // A replaced manifest seldom repeats the address that it was given.
        if (spec->clusterip().empty() && spec->type() != "ExternalName") {
            spec->set_clusterip(before.clusterip());
            *spec->mutable_clusterips() = before.clusterips();
        }
        CO_TRY_VOID(co_await allocate_service(registry_, object, context));
    }
    co_return base::Status();
}

base::Task<void> Admission::admit_delete(const api::ResourceInfo& resource, api::ObjectPtr object,
                                         const WriteContext&) {
    const auto& name = api::meta_of(*object).name();
    if (object->GetDescriptor() == core::Namespace::descriptor() &&
        std::ranges::find(kImmortal, name) != std::end(kImmortal))
        co_return api::forbidden(resource.qualified(), name, "this namespace may not be deleted");
    co_return base::Status();
}

base::Awaitable<void> Admission::release(const api::ResourceInfo&, api::ObjectPtr object) {
    if (object->GetDescriptor() == core::Service::descriptor())
        co_await release_service(registry_, object);
}

}  // namespace apiserver
