#include "controllers/pod_util.h"

namespace controllers {

const api::core::PodCondition* pod_condition(const api::core::Pod& pod, std::string_view type) {
    for (const auto& condition : pod.status().conditions())
        if (condition.type() == type) return &condition;
    return nullptr;
}

void index_by_node(api::Informer& pods) {
    pods.add_index(kByNode, [](const api::Message& pod) {
        const auto& node = api::as<api::core::Pod>(pod).spec().nodename();
        return node.empty() ? std::vector<std::string>() : std::vector<std::string>{node};
    });
}

bool is_ready(const api::core::Pod& pod) {
    const auto* ready = pod_condition(pod, "Ready");
    return ready != nullptr && ready->status() == "True";
}

bool is_available(const api::core::Pod& pod, std::chrono::seconds min_ready, WallTime now) {
    if (!is_ready(pod)) return false;
    if (min_ready.count() == 0) return true;
    const auto* ready = pod_condition(pod, "Ready");
    return ready->has_lasttransitiontime() &&
           api::from_time(ready->lasttransitiontime()) + min_ready <= now;
}

bool is_finished(const api::core::Pod& pod) {
    return pod.status().phase() == "Succeeded" || pod.status().phase() == "Failed";
}

bool is_active(const api::core::Pod& pod) {
    return !is_finished(pod) && !api::is_deleting(pod);
}

bool tolerates(const api::core::Toleration& toleration, const api::core::Taint& taint) {
    if (!toleration.effect().empty() && toleration.effect() != taint.effect()) return false;
    if (!toleration.key().empty() && toleration.key() != taint.key()) return false;
    if (toleration.operator_() == "Exists") return true;
    if (!toleration.operator_().empty() && toleration.operator_() != "Equal") return false;
    return !toleration.key().empty() && toleration.value() == taint.value();
}

std::shared_ptr<api::core::Pod> pod_from_template(const api::core::PodTemplateSpec& pod_template,
                                                  const api::Message& owner) {
    auto pod = std::make_shared<api::core::Pod>();
    auto* m = pod->mutable_metadata();
    const auto& from = pod_template.metadata();
    m->set_namespace_(api::meta_of(owner).namespace_());
    m->set_generatename(api::meta_of(owner).name() + "-");
    *m->mutable_labels() = from.labels();
    *m->mutable_annotations() = from.annotations();
    *m->mutable_finalizers() = from.finalizers();
    *m->add_ownerreferences() = api::controller_ref(owner);
    *pod->mutable_spec() = pod_template.spec();
    return pod;
}

}  // namespace controllers
