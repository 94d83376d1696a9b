// Binding, eviction and scale: subresources that are something else than a part of their object.

#include <charconv>

#include "api/codec/json.h"
#include "api/proto/apps_v1.pb.h"
#include "api/proto/autoscaling_v1.pb.h"
#include "api/proto/core_v1_other.pb.h"
#include "api/proto/core_v1_pod.pb.h"
#include "api/proto/core_v1_replicationcontroller.pb.h"
#include "api/proto/policy_v1.pb.h"
#include "api/quantity.h"
#include "api/selector.h"
#include "api/status.h"
#include "apiserver/http/handlers.h"
#include "apiserver/server.h"

namespace apiserver {

namespace core = api::core;

// A pod is bound once: its node, and the condition that says so, in one write.
base::Task<api::ObjectPtr> bind_pod(Registry& registry, std::string namespace_name,
                                    std::string name, api::ObjectPtr object, WriteContext context) {
    const auto binding = api::as<core::Binding>(object);
    const std::string node = binding->target().name();
    if (node.empty()) {
        std::vector<api::FieldError> errors{api::FieldError::required("target.name", "")};
        co_return api::invalid(api::resource_of<core::Binding>(), name, std::move(errors));
    }
    if (!binding->target().kind().empty() && binding->target().kind() != "Node") {
        std::vector<api::FieldError> errors{api::FieldError::not_supported(
            "target.kind", binding->target().kind(), {"Node", "<empty>"})};
        co_return api::invalid(api::resource_of<core::Binding>(), name, std::move(errors));
    }
    const auto& pods = api::resource_of<core::Pod>();
    Registry::Transform assign =
        [binding, node,
         &pods](const api::Message& current) -> base::Result<std::unique_ptr<api::Message>> {
        const auto& pod = api::as<core::Pod>(current);
        const std::string& pod_name = pod.metadata().name();
        if (!binding->metadata().uid().empty() && binding->metadata().uid() != pod.metadata().uid())
            return api::conflict(
                pods.qualified(), pod_name,
                "Precondition failed: UID in precondition: " + binding->metadata().uid() +
                    ", UID in object meta: " + pod.metadata().uid());
        if (api::is_deleting(pod))
            return api::conflict(
                pods.qualified(), pod_name,
                "pod " + pod_name + " is being deleted, cannot be assigned to a host");
        if (!pod.spec().nodename().empty())
            return api::conflict(pods.qualified(), pod_name,
                                 "pod " + pod_name + " is already assigned to node \"" +
                                     pod.spec().nodename() + "\"");
        auto out = api::clone(current);
        auto* bound = static_cast<core::Pod*>(out.get());
        bound->mutable_spec()->set_nodename(node);
        for (const auto& [key, value] : binding->metadata().annotations())
            (*bound->mutable_metadata()->mutable_annotations())[key] = value;
        auto* conditions = bound->mutable_status()->mutable_conditions();
        auto* condition = [&]() -> core::PodCondition* {
            for (auto& c : *conditions)
                if (c.type() == "PodScheduled") return &c;
            auto* made = conditions->Add();
            made->set_type("PodScheduled");
            return made;
        }();
        if (condition->status() != "True")
            *condition->mutable_lasttransitiontime() =
                api::to_time(std::chrono::system_clock::now());
        condition->set_status("True");
        condition->clear_reason();
        condition->clear_message();
        bound->mutable_metadata()->clear_resourceversion();
        return out;
    };
    co_return co_await registry.update(pods, namespace_name, name, "binding", std::move(assign),
                                       context);
}

namespace {

base::Error disruption_refused(const std::string& budget, std::int32_t healthy,
                               std::int32_t desired) {
    return api::too_many_requests(
        "Cannot evict pod as it would violate the pod's disruption budget.", 10,
        "The disruption budget " + budget + " needs " + std::to_string(desired) +
            " healthy pods and has " + std::to_string(healthy) + " currently");
}

}  // namespace

base::Task<void> evict_pod(Registry& registry, std::string namespace_name, std::string name,
                           api::ObjectPtr object, WriteContext context) {
    const auto eviction = api::as<api::policy::Eviction>(object);
    const auto& pods = api::resource_of<core::Pod>();
    CO_TRY(CachedPtr found, co_await registry.get(pods, namespace_name, name));
    const auto pod = api::as<core::Pod>(found->object());
    // Ended pods and pods on their way out do not count against a budget.
    const bool ended = pod->status().phase() == "Succeeded" || pod->status().phase() == "Failed";
    if (!ended && !api::is_deleting(*pod) && pod->status().phase() != "Pending") {
        const auto& budgets = api::resource_of<api::policy::PodDisruptionBudget>();
        std::vector<std::string> matching;
        registry.caches().of(budgets).for_each(
            budgets.storage_key(namespace_name, ""), [&](const CachedPtr& cached) {
                const auto budget = api::as<api::policy::PodDisruptionBudget>(cached->object());
                const auto selector =
                    budget ? api::LabelSelector::from(budget->spec().selector())
                           : base::Result<api::LabelSelector>(base::internal_error(""));
                if (budget && budget->spec().has_selector() && selector &&
                    selector->matches(pod->metadata().labels()))
                    matching.push_back(budget->metadata().name());
                return true;
            });
        if (matching.size() > 1)
            co_return base::internal_error(
                "This pod has more than one PodDisruptionBudget, which the eviction subresource "
                "does not support.");
        if (!matching.empty() && !context.dry_run) {
            Registry::Transform take =
                [name](const api::Message& current) -> base::Result<std::unique_ptr<api::Message>> {
                const auto& budget = api::as<api::policy::PodDisruptionBudget>(current);
                const auto& status = budget.status();
                if (status.disruptionsallowed() <= 0 ||
                    status.observedgeneration() < budget.metadata().generation())
                    return disruption_refused(budget.metadata().name(), status.currenthealthy(),
                                              status.desiredhealthy());
                auto out = api::clone(current);
                auto* next = static_cast<api::policy::PodDisruptionBudget*>(out.get());
                next->mutable_status()->set_disruptionsallowed(status.disruptionsallowed() - 1);
                (*next->mutable_status()->mutable_disruptedpods())[name] =
                    api::to_time(std::chrono::system_clock::now());
                next->mutable_metadata()->clear_resourceversion();
                return out;
            };
            CO_TRY_VOID(co_await registry.update(budgets, namespace_name, matching[0], "status",
                                                 std::move(take), context));
        }
    }
    RemoveOptions options;
    const auto& wanted = eviction->deleteoptions();
    if (wanted.has_graceperiodseconds())
        options.options.grace_period_seconds = wanted.graceperiodseconds();
    options.options.uid = wanted.preconditions().uid();
    options.options.resource_version = wanted.preconditions().resourceversion();
    options.options.propagation_policy = wanted.propagationpolicy();
    options.dry_run = context.dry_run || (wanted.dryrun_size() > 0 && wanted.dryrun(0) == "All");
    CO_TRY_VOID(co_await registry.remove(pods, namespace_name, name, std::move(options), context));
    co_return base::Status();
}

namespace {

template <class T>
void fill_scale(const T& object, api::autoscaling::Scale* scale) {
    const auto& from = object.metadata();
    auto* m = scale->mutable_metadata();
    m->set_name(from.name());
    m->set_namespace_(from.namespace_());
    m->set_uid(from.uid());
    m->set_resourceversion(from.resourceversion());
    *m->mutable_creationtimestamp() = from.creationtimestamp();
    scale->mutable_spec()->set_replicas(object.spec().replicas());
    scale->mutable_status()->set_replicas(object.status().replicas());
    if constexpr (requires { object.spec().selector().matchlabels(); }) {
        const auto selector = api::LabelSelector::from(object.spec().selector());
        if (selector) scale->mutable_status()->set_selector(selector->to_string());
    } else {
        std::map<std::string, std::string> sorted(object.spec().selector().begin(),
                                                  object.spec().selector().end());
        std::string text;
        for (const auto& [key, value] : sorted)
            text += (text.empty() ? "" : ",") + key + "=" + value;
        scale->mutable_status()->set_selector(text);
    }
}

// Calls `f` with the object as its type, where that is one that scales.
template <class F>
bool with_scalable(const api::Message& object, F f) {
    const auto* d = object.GetDescriptor();
    if (d == api::apps::Deployment::descriptor())
        return f(api::as<api::apps::Deployment>(object)), true;
    if (d == api::apps::ReplicaSet::descriptor())
        return f(api::as<api::apps::ReplicaSet>(object)), true;
    if (d == api::apps::StatefulSet::descriptor())
        return f(api::as<api::apps::StatefulSet>(object)), true;
    if (d == core::ReplicationController::descriptor())
        return f(api::as<core::ReplicationController>(object)), true;
    return false;
}

const api::TypeMeta kScaleType{"autoscaling/v1", "Scale"};

base::Result<api::autoscaling::Scale> scale_of(const api::Message& object) {
    api::autoscaling::Scale scale;
    if (!with_scalable(object, [&](const auto& typed) { fill_scale(typed, &scale); }))
        return base::unimplemented("this kind does not scale");
    return scale;
}

base::Task<void> get_scale(ApiServer& server, std::shared_ptr<RequestContext> context) {
    CO_TRY(CachedPtr found, co_await server.registry().get(
                                *context->resource, context->info.namespace_, context->info.name));
    const auto held = found->object();
    CO_TRY(auto scale, scale_of(*held));
    respond_object(*context, 200, scale, kScaleType);
    co_return base::Status();
}

base::Task<void> put_scale(ApiServer& server, std::shared_ptr<RequestContext> context,
                           std::optional<api::PatchType> patch_type) {
    CO_TRY(std::string body, co_await context->exchange->read_body(kMaxBody));
    std::shared_ptr<api::Message> given;
    if (!patch_type) {
        CO_TRY(auto decoded,
               decode_body(*context, body, "k8s.io.api.autoscaling.v1.Scale", kScaleType));
        given = std::move(decoded.object);
    }
    Registry::Transform change =
        [context, given, patch_type,
         body](const api::Message& current) -> base::Result<std::unique_ptr<api::Message>> {
        TRY(api::autoscaling::Scale scale, scale_of(current));
        if (given) {
            scale = api::as<api::autoscaling::Scale>(*given);
        } else {
            std::vector<std::string> problems;
            TRY(auto patched, apply_patch(scale, kScaleType, *patch_type, body, &problems));
            scale = api::as<api::autoscaling::Scale>(*patched);
            if (scale.metadata().resourceversion() == api::meta_of(current).resourceversion())
                scale.mutable_metadata()->clear_resourceversion();
        }
        if (scale.spec().replicas() < 0) {
            std::vector<api::FieldError> errors{api::FieldError::invalid(
                "spec.replicas", scale.spec().replicas(), "must be greater than or equal to 0")};
            return api::invalid(kScaleType, context->info.name, std::move(errors));
        }
        auto out = api::clone(current);
        with_scalable(*out, [&](const auto& typed) {
            auto& writable = const_cast<std::remove_cvref_t<decltype(typed)>&>(typed);
            writable.mutable_spec()->set_replicas(scale.spec().replicas());
        });
        auto* m = api::mutable_meta(out.get());
        m->clear_resourceversion();
        if (!scale.metadata().resourceversion().empty())
            m->set_resourceversion(scale.metadata().resourceversion());
        return out;
    };
    CO_TRY(auto updated, co_await server.registry().update(
                             *context->resource, context->info.namespace_, context->info.name,
                             "scale", std::move(change), context->write_context()));
    CO_TRY(auto scale, scale_of(*updated));
    respond_object(*context, 200, scale, kScaleType);
    co_return base::Status();
}

void respond_success(RequestContext& context) {
    api::meta::Status status;
    status.set_status("Success");
    respond_object(context, 201, status, {"v1", "Status"});
}

}  // namespace

base::Task<void> handle_binding(ApiServer& server, std::shared_ptr<RequestContext> context) {
    const auto& info = context->info;
    CO_TRY(std::string body, co_await context->exchange->read_body(kMaxBody));
    CO_TRY(auto decoded,
           decode_body(*context, body, "k8s.io.api.core.v1.Binding", {"v1", "Binding"}));
    const auto& m = api::meta_of(*decoded.object);
    // The path of a subresource names the pod; the body must not say otherwise.
    const std::string pod = info.subresource.empty() ? m.name() : info.name;
    if (!m.name().empty() && m.name() != pod)
        co_return api::bad_request("the name in the binding (" + m.name() +
                                   ") does not match the name of the pod (" + pod + ")");
    if (!m.namespace_().empty() && m.namespace_() != info.namespace_)
        co_return api::bad_request(
            "the namespace of the provided object does not match the namespace sent on the "
            "request");
    if (pod.empty()) co_return api::bad_request("metadata.name: Required value");
    CO_TRY_VOID(co_await bind_pod(server.registry(), info.namespace_, pod,
                                  std::move(decoded.object), context->write_context()));
    respond_success(*context);
    co_return base::Status();
}

base::Task<void> handle_subresource(ApiServer& server, std::shared_ptr<RequestContext> context) {
    const auto& info = context->info;
    if (info.subresource == "scale") {
        if (info.verb == "get") co_return co_await get_scale(server, context);
        if (info.verb == "update") co_return co_await put_scale(server, context, std::nullopt);
        if (info.verb == "patch") {
            const auto type = media_type(context->exchange->header("content-type"));
            const auto patch_type = type == "application/json-patch+json" ? api::PatchType::kJson
                                                                          : api::PatchType::kMerge;
            co_return co_await put_scale(server, context, patch_type);
        }
        co_return api::method_not_supported(context->resource->qualified(), info.verb);
    }
    if (info.verb == "create" && info.subresource == "binding")
        co_return co_await handle_binding(server, context);
    if (info.verb == "create" && info.subresource == "eviction") {
        CO_TRY(std::string body, co_await context->exchange->read_body(kMaxBody));
        CO_TRY(auto decoded, decode_body(*context, body, "k8s.io.api.policy.v1.Eviction",
                                         {"policy/v1", "Eviction"}));
        CO_TRY_VOID(co_await evict_pod(server.registry(), info.namespace_, info.name,
                                       std::move(decoded.object), context->write_context()));
        respond_success(*context);
        co_return base::Status();
    }
    co_return api::not_implemented("the subresource " + std::string(context->resource->plural) +
                                   "/" + info.subresource + " is not served yet");
}

}  // namespace apiserver
