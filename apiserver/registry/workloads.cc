// What replication controllers, replica sets, deployments, daemon sets and stateful sets have in
// common: a selector, a template that it selects, and a count.

#include <google/protobuf/util/message_differencer.h>

#include "api/proto/apps_v1.pb.h"
#include "api/proto/core_v1_replicationcontroller.pb.h"
#include "api/selector.h"
#include "apiserver/registry/strategy.h"

namespace apiserver {

namespace {

using Labels = google::protobuf::Map<std::string, std::string>;

void validate_template(const api::core::PodTemplateSpec& t, std::string_view restart_policy,
                       FieldErrors* errors) {
    validate_pod_spec(t.spec(), "spec.template.spec", errors);
    if (t.spec().restartpolicy() != restart_policy && !t.spec().restartpolicy().empty())
        errors->push_back(api::FieldError::not_supported("spec.template.spec.restartPolicy",
                                                         t.spec().restartpolicy(),
                                                         {std::string(restart_policy)}));
}

void validate_replicas(std::int32_t replicas, FieldErrors* errors) {
    if (replicas < 0)
        errors->push_back(api::FieldError::invalid("spec.replicas", replicas,
                                                   "must be greater than or equal to 0"));
}

void validate_selector(bool present, const api::meta::LabelSelector& selector,
                       const Labels& template_labels, FieldErrors* errors) {
    if (!present || (selector.matchlabels().empty() && selector.matchexpressions().empty())) {
        errors->push_back(present
                              ? api::FieldError::invalid("spec.selector", "{}",
                                                         "empty selector is invalid for deployment")
                              : api::FieldError::required("spec.selector", ""));
        return;
    }
    const auto parsed = api::LabelSelector::from(selector);
    if (!parsed)
        errors->push_back(api::FieldError::invalid("spec.selector", "", parsed.error().message));
    else if (!parsed->matches(template_labels))
        errors->push_back(api::FieldError::invalid("spec.template.metadata.labels",
                                                   api::labels_text(template_labels),
                                                   "`selector` does not match template `labels`"));
}

template <class T>
void validate_apps(const api::Message& object, FieldErrors* errors) {
    const auto& spec = api::as<T>(object).spec();
    if constexpr (requires { spec.replicas(); }) validate_replicas(spec.replicas(), errors);
    validate_selector(spec.has_selector(), spec.selector(), spec.template_().metadata().labels(),
                      errors);
    validate_template(spec.template_(), "Always", errors);
}

void validate_controller(const api::Message& object, FieldErrors* errors) {
    const auto& spec = api::as<api::core::ReplicationController>(object).spec();
    validate_replicas(spec.replicas(), errors);
    if (spec.selector().empty()) errors->push_back(api::FieldError::required("spec.selector", ""));
    const auto& labels = spec.template_().metadata().labels();
    for (const auto& [key, value] : spec.selector()) {
        const auto it = labels.find(key);
        if (it != labels.end() && it->second == value) continue;
        errors->push_back(api::FieldError::invalid("spec.template.metadata.labels",
                                                   api::labels_text(labels),
                                                   "`selector` does not match template `labels`"));
        break;
    }
    validate_template(spec.template_(), "Always", errors);
}

template <class T>
void selector_stands(const api::Message& object, const api::Message& old, FieldErrors* errors) {
    const auto& now = api::as<T>(object).spec().selector();
    if (!google::protobuf::util::MessageDifferencer::Equals(now, api::as<T>(old).spec().selector()))
        errors->push_back(api::FieldError::invalid("spec.selector", now.ShortDebugString(),
                                                   "field is immutable"));
}

}  // namespace

void validate_workload(const api::Message& object, FieldErrors* errors) {
    const auto* d = object.GetDescriptor();
    if (d == api::core::ReplicationController::descriptor()) validate_controller(object, errors);
    if (d == api::apps::ReplicaSet::descriptor())
        validate_apps<api::apps::ReplicaSet>(object, errors);
    if (d == api::apps::Deployment::descriptor())
        validate_apps<api::apps::Deployment>(object, errors);
    if (d == api::apps::DaemonSet::descriptor())
        validate_apps<api::apps::DaemonSet>(object, errors);
    if (d == api::apps::StatefulSet::descriptor())
        validate_apps<api::apps::StatefulSet>(object, errors);
}

void validate_workload_update(const api::Message& object, const api::Message& old,
                              std::string_view subresource, FieldErrors* errors) {
    if (!subresource.empty()) return;
    const auto* d = object.GetDescriptor();
    if (d == api::apps::ReplicaSet::descriptor())
        selector_stands<api::apps::ReplicaSet>(object, old, errors);
    if (d == api::apps::Deployment::descriptor())
        selector_stands<api::apps::Deployment>(object, old, errors);
    if (d == api::apps::DaemonSet::descriptor())
        selector_stands<api::apps::DaemonSet>(object, old, errors);
    if (d == api::apps::StatefulSet::descriptor())
        selector_stands<api::apps::StatefulSet>(object, old, errors);
}

}  // namespace apiserver
