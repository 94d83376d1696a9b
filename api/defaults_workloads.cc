// Defaults of apps, batch and autoscaling that depend on more than one field.

#include <unordered_map>

#include "api/defaults_internal.h"
#include "api/proto/apps_v1.pb.h"
#include "api/proto/autoscaling_v2.pb.h"
#include "api/proto/batch_v1.pb.h"
#include "api/quantity.h"
#include "api/v1.h"

namespace api::defaults {
namespace {

using google::protobuf::Message;

template <class T>
T* as(Message* m) {
    return static_cast<T*>(m);
}

void deployment(Message* m) {
    auto* strategy = as<apps::DeploymentSpec>(m)->mutable_strategy();
    if (strategy->type().empty()) strategy->set_type("RollingUpdate");
    if (strategy->type() != "RollingUpdate") return;
    auto* rolling = strategy->mutable_rollingupdate();
    if (!rolling->has_maxunavailable()) *rolling->mutable_maxunavailable() = int_or_string("25%");
    if (!rolling->has_maxsurge()) *rolling->mutable_maxsurge() = int_or_string("25%");
}

void daemon_set(Message* m) {
    auto* strategy = as<apps::DaemonSetSpec>(m)->mutable_updatestrategy();
    if (strategy->type().empty()) strategy->set_type("RollingUpdate");
    if (strategy->type() != "RollingUpdate") return;
    auto* rolling = strategy->mutable_rollingupdate();
    if (!rolling->has_maxunavailable()) *rolling->mutable_maxunavailable() = int_or_string(1);
    if (!rolling->has_maxsurge()) *rolling->mutable_maxsurge() = int_or_string(0);
}

void stateful_set(Message* m) {
    auto* spec = as<apps::StatefulSetSpec>(m);
    auto* strategy = spec->mutable_updatestrategy();
    if (strategy->type().empty()) {
        strategy->set_type("RollingUpdate");
        strategy->mutable_rollingupdate();
    }
    if (strategy->type() == "RollingUpdate" && strategy->has_rollingupdate()) {
        auto* rolling = strategy->mutable_rollingupdate();
        if (!rolling->has_partition()) rolling->set_partition(0);
        if (!rolling->has_maxunavailable()) *rolling->mutable_maxunavailable() = int_or_string(1);
    }
    spec->mutable_persistentvolumeclaimretentionpolicy();
}

// Of jobs themselves; the template of a CronJob stays as it is.
void job_spec(batch::JobSpec* spec) {
    if (!spec->has_completions() && !spec->has_parallelism()) spec->set_completions(1);
    if (!spec->has_parallelism()) spec->set_parallelism(1);
    if (!spec->has_backofflimit())
        spec->set_backofflimit(spec->has_backofflimitperindex() ? INT32_MAX : 6);
    if (!spec->has_completionmode()) spec->set_completionmode("NonIndexed");
    if (!spec->has_suspend()) spec->set_suspend(false);
    if (!spec->has_manualselector()) spec->set_manualselector(false);
    if (!spec->has_podreplacementpolicy())
        spec->set_podreplacementpolicy(spec->has_podfailurepolicy() ? "Failed"
                                                                    : "TerminatingOrFailed");
}

void job(Message* m) {
    auto* object = as<batch::Job>(m);
    job_spec(object->mutable_spec());
    const auto& labels = object->spec().template_().metadata().labels();
    if (object->metadata().labels().empty() && !labels.empty())
        *object->mutable_metadata()->mutable_labels() = labels;
}

void add_policy(autoscalingv2::HPAScalingRules* rules, const char* type, std::int32_t value) {
    auto* policy = rules->add_policies();
    policy->set_type(type);
    policy->set_value(value);
    policy->set_periodseconds(15);
}

void autoscaler(Message* m) {
    auto* spec = as<autoscalingv2::HorizontalPodAutoscalerSpec>(m);
    if (spec->metrics().empty()) {
        auto* metric = spec->add_metrics();
        metric->set_type("Resource");
        metric->mutable_resource()->set_name("cpu");
        metric->mutable_resource()->mutable_target()->set_type("Utilization");
        metric->mutable_resource()->mutable_target()->set_averageutilization(80);
    }
    if (!spec->has_behavior()) return;
    auto* up = spec->mutable_behavior()->mutable_scaleup();
    if (!up->has_stabilizationwindowseconds()) up->set_stabilizationwindowseconds(0);
    if (!up->has_selectpolicy()) up->set_selectpolicy("Max");
    if (up->policies().empty()) {
        add_policy(up, "Pods", 4);
        add_policy(up, "Percent", 100);
    }
    auto* down = spec->mutable_behavior()->mutable_scaledown();
    if (!down->has_selectpolicy()) down->set_selectpolicy("Max");
    if (down->policies().empty()) add_policy(down, "Percent", 100);
}

}  // namespace

Hook workload_hook(std::string_view type) {
    static const std::unordered_map<std::string_view, Hook> kHooks = {
        {"apps.v1.DeploymentSpec", deployment},
        {"apps.v1.DaemonSetSpec", daemon_set},
        {"apps.v1.StatefulSetSpec", stateful_set},
        {"batch.v1.Job", job},
        {"autoscaling.v2.HorizontalPodAutoscalerSpec", autoscaler},
    };
    const auto it = kHooks.find(type);
    return it == kHooks.end() ? nullptr : it->second;
}

}  // namespace api::defaults
