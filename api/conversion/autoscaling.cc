// autoscaling/v1 knows one metric, the processors' utilization, by a field. All other metrics, the
// behaviour and the conditions are JSON in annotations there, as upstream writes them; an
// annotation that cannot be read counts as none.
#include <boost/json.hpp>

#include "api/codec/json.h"
#include "api/conversion/pairs.h"

namespace api::conversion {
namespace {

namespace v1 = k8s::io::api::autoscaling::v1;
namespace v2 = k8s::io::api::autoscaling::v2;
using Quantity = k8s::io::apimachinery::pkg::api::resource::Quantity;

constexpr const char* kMetrics = "autoscaling.alpha.kubernetes.io/metrics";
constexpr const char* kCurrentMetrics = "autoscaling.alpha.kubernetes.io/current-metrics";
constexpr const char* kBehavior = "autoscaling.alpha.kubernetes.io/behavior";
constexpr const char* kConditions = "autoscaling.alpha.kubernetes.io/conditions";
constexpr const char* kUtilization = "Utilization";
constexpr const char* kAverageValue = "AverageValue";
constexpr const char* kValue = "Value";

// Metrics are the same twice over, as what is wanted and as what is measured; only the names
// differ.
template <class T>
concept HasMetric = requires(const T& t) {
    t.metric();
};

template <class A, class B>
void same_reference(const A& from, B* to) {
    if (from.has_kind()) to->set_kind(from.kind());
    if (from.has_name()) to->set_name(from.name());
    if (from.has_apiversion()) to->set_apiversion(from.apiversion());
}

template <class From, class To>
void name_of_metric(const From& from, To* to) {
    if constexpr (HasMetric<From>) {
        if (from.metric().has_name()) to->set_metricname(from.metric().name());
        if (!from.metric().has_selector()) return;
        if constexpr (requires { to->mutable_metricselector(); })
            *to->mutable_metricselector() = from.metric().selector();
        else
            *to->mutable_selector() = from.metric().selector();
    } else {
        if (from.has_metricname()) to->mutable_metric()->set_name(from.metricname());
        if constexpr (requires { from.metricselector(); }) {
            if (from.has_metricselector())
                *to->mutable_metric()->mutable_selector() = from.metricselector();
        } else {
            if (from.has_selector()) *to->mutable_metric()->mutable_selector() = from.selector();
        }
    }
}

void resource_to_v1(const v2::MetricTarget& target, auto* to) {
    if (target.has_averageutilization())
        to->set_targetaverageutilization(target.averageutilization());
    if (target.has_averagevalue()) *to->mutable_targetaveragevalue() = target.averagevalue();
}

void resource_to_v2(const auto& from, v2::MetricTarget* target) {
    target->set_type(from.has_targetaverageutilization() ? kUtilization : kAverageValue);
    if (from.has_targetaverageutilization())
        target->set_averageutilization(from.targetaverageutilization());
    if (from.has_targetaveragevalue()) *target->mutable_averagevalue() = from.targetaveragevalue();
}

v1::MetricSpec to_v1(const v2::MetricSpec& from) {
    v1::MetricSpec to;
    if (from.has_type()) to.set_type(from.type());
    if (from.has_object()) {
        const auto& target = from.object().target();
        auto* object = to.mutable_object();
        same_reference(from.object().describedobject(), object->mutable_target());
        name_of_metric(from.object(), object);
        if (target.has_value()) *object->mutable_targetvalue() = target.value();
        if (target.has_averagevalue()) *object->mutable_averagevalue() = target.averagevalue();
    }
    if (from.has_pods()) {
        name_of_metric(from.pods(), to.mutable_pods());
        const auto& target = from.pods().target();
        if (target.has_averagevalue())
            *to.mutable_pods()->mutable_targetaveragevalue() = target.averagevalue();
    }
    if (from.has_resource()) {
        to.mutable_resource()->set_name(from.resource().name());
        resource_to_v1(from.resource().target(), to.mutable_resource());
    }
    if (from.has_containerresource()) {
        to.mutable_containerresource()->set_name(from.containerresource().name());
        to.mutable_containerresource()->set_container(from.containerresource().container());
        resource_to_v1(from.containerresource().target(), to.mutable_containerresource());
    }
    if (from.has_external()) {
        const auto& target = from.external().target();
        auto* external = to.mutable_external();
        name_of_metric(from.external(), external);
        if (target.has_value()) *external->mutable_targetvalue() = target.value();
        if (target.has_averagevalue())
            *external->mutable_targetaveragevalue() = target.averagevalue();
    }
    return to;
}

v2::MetricSpec to_v2(const v1::MetricSpec& from) {
    v2::MetricSpec to;
    if (from.has_type()) to.set_type(from.type());
    if (from.has_object()) {
        auto* object = to.mutable_object();
        same_reference(from.object().target(), object->mutable_describedobject());
        name_of_metric(from.object(), object);
        auto* target = object->mutable_target();
        const bool average = from.object().has_averagevalue();
        target->set_type(average ? kAverageValue : kValue);
        if (average)
            *target->mutable_averagevalue() = from.object().averagevalue();
        else if (from.object().has_targetvalue())
            *target->mutable_value() = from.object().targetvalue();
    }
    if (from.has_pods()) {
        name_of_metric(from.pods(), to.mutable_pods());
        auto* target = to.mutable_pods()->mutable_target();
        target->set_type(kAverageValue);
        if (from.pods().has_targetaveragevalue())
            *target->mutable_averagevalue() = from.pods().targetaveragevalue();
    }
    if (from.has_resource()) {
        to.mutable_resource()->set_name(from.resource().name());
        resource_to_v2(from.resource(), to.mutable_resource()->mutable_target());
    }
    if (from.has_containerresource()) {
        auto* resource = to.mutable_containerresource();
        resource->set_name(from.containerresource().name());
        resource->set_container(from.containerresource().container());
        resource_to_v2(from.containerresource(), resource->mutable_target());
    }
    if (from.has_external()) {
        name_of_metric(from.external(), to.mutable_external());
        auto* target = to.mutable_external()->mutable_target();
        const bool value = from.external().has_targetvalue();
        target->set_type(value ? kValue : kAverageValue);
        if (value) *target->mutable_value() = from.external().targetvalue();
        if (from.external().has_targetaveragevalue())
            *target->mutable_averagevalue() = from.external().targetaveragevalue();
    }
    return to;
}

void measured_resource_to_v1(const v2::MetricValueStatus& current, auto* to) {
    if (current.has_averageutilization())
        to->set_currentaverageutilization(current.averageutilization());
    if (current.has_averagevalue()) *to->mutable_currentaveragevalue() = current.averagevalue();
}

void measured_resource_to_v2(const auto& from, v2::MetricValueStatus* current) {
    if (from.has_currentaverageutilization())
        current->set_averageutilization(from.currentaverageutilization());
    if (from.has_currentaveragevalue())
        *current->mutable_averagevalue() = from.currentaveragevalue();
}

v1::MetricStatus to_v1(const v2::MetricStatus& from) {
    v1::MetricStatus to;
    if (from.has_type()) to.set_type(from.type());
    if (from.has_object()) {
        const auto& current = from.object().current();
        auto* object = to.mutable_object();
        same_reference(from.object().describedobject(), object->mutable_target());
        name_of_metric(from.object(), object);
        if (current.has_value()) *object->mutable_currentvalue() = current.value();
        if (current.has_averagevalue()) *object->mutable_averagevalue() = current.averagevalue();
    }
    if (from.has_pods()) {
        name_of_metric(from.pods(), to.mutable_pods());
        if (from.pods().current().has_averagevalue())
            *to.mutable_pods()->mutable_currentaveragevalue() =
                from.pods().current().averagevalue();
    }
    if (from.has_resource()) {
        to.mutable_resource()->set_name(from.resource().name());
        measured_resource_to_v1(from.resource().current(), to.mutable_resource());
    }
    if (from.has_containerresource()) {
        to.mutable_containerresource()->set_name(from.containerresource().name());
        to.mutable_containerresource()->set_container(from.containerresource().container());
        measured_resource_to_v1(from.containerresource().current(), to.mutable_containerresource());
    }
    if (from.has_external()) {
        const auto& current = from.external().current();
        auto* external = to.mutable_external();
        name_of_metric(from.external(), external);
        if (current.has_value()) *external->mutable_currentvalue() = current.value();
        if (current.has_averagevalue())
            *external->mutable_currentaveragevalue() = current.averagevalue();
    }
    return to;
}

v2::MetricStatus to_v2(const v1::MetricStatus& from) {
    v2::MetricStatus to;
    if (from.has_type()) to.set_type(from.type());
    if (from.has_object()) {
        auto* object = to.mutable_object();
        same_reference(from.object().target(), object->mutable_describedobject());
        name_of_metric(from.object(), object);
        auto* current = object->mutable_current();
        if (from.object().has_currentvalue())
            *current->mutable_value() = from.object().currentvalue();
        if (from.object().has_averagevalue())
            *current->mutable_averagevalue() = from.object().averagevalue();
    }
    if (from.has_pods()) {
        name_of_metric(from.pods(), to.mutable_pods());
        if (from.pods().has_currentaveragevalue())
            *to.mutable_pods()->mutable_current()->mutable_averagevalue() =
                from.pods().currentaveragevalue();
    }
    if (from.has_resource()) {
        to.mutable_resource()->set_name(from.resource().name());
        measured_resource_to_v2(from.resource(), to.mutable_resource()->mutable_current());
    }
    if (from.has_containerresource()) {
        auto* resource = to.mutable_containerresource();
        resource->set_name(from.containerresource().name());
        resource->set_container(from.containerresource().container());
        measured_resource_to_v2(from.containerresource(), resource->mutable_current());
    }
    if (from.has_external()) {
        name_of_metric(from.external(), to.mutable_external());
        auto* current = to.mutable_external()->mutable_current();
        if (from.external().has_currentvalue())
            *current->mutable_value() = from.external().currentvalue();
        if (from.external().has_currentaveragevalue())
            *current->mutable_averagevalue() = from.external().currentaveragevalue();
    }
    return to;
}

// --- annotations

using Annotations = google::protobuf::Map<std::string, std::string>;

template <class Messages>
void write_annotation(Annotations* annotations, const char* key, const Messages& messages) {
    if (messages.empty()) return;
    std::string text = "[";
    for (const auto& m : messages) {
        if (text.size() > 1) text += ',';
        append_json(&text, m);
    }
    (*annotations)[key] = text + "]";
}

// Nothing when there is none or when any part of it cannot be read.
template <class T>
std::vector<T> read_annotation(const Annotations& annotations, const char* key) {
    const auto it = annotations.find(key);
    if (it == annotations.end()) return {};
    boost::system::error_code ec;
    const auto json = boost::json::parse(it->second, ec);
    if (ec || !json.is_array()) return {};
    std::vector<T> out;
    for (const auto& value : json.get_array())
        if (!from_value(value, &out.emplace_back())) return {};
    return out;
}

void drop_round_trip_annotations(Annotations* annotations) {
    for (const char* key : {kMetrics, kCurrentMetrics, kBehavior, kConditions})
        annotations->erase(key);
}

template <class From, class To>
void convert_common(const From& from, To* to) {
    to->Clear();
    if (from.has_metadata()) *to->mutable_metadata() = from.metadata();
    if (from.has_metadata())
        drop_round_trip_annotations(to->mutable_metadata()->mutable_annotations());
    if (from.has_spec()) {
        if (from.spec().has_scaletargetref())
            same_reference(from.spec().scaletargetref(),
                           to->mutable_spec()->mutable_scaletargetref());
        if (from.spec().has_minreplicas())
            to->mutable_spec()->set_minreplicas(from.spec().minreplicas());
        if (from.spec().has_maxreplicas())
            to->mutable_spec()->set_maxreplicas(from.spec().maxreplicas());
    }
    if (!from.has_status()) return;
    const auto& status = from.status();
    auto* out = to->mutable_status();
    if (status.has_observedgeneration()) out->set_observedgeneration(status.observedgeneration());
    if (status.has_lastscaletime()) *out->mutable_lastscaletime() = status.lastscaletime();
    if (status.has_currentreplicas()) out->set_currentreplicas(status.currentreplicas());
    if (status.has_desiredreplicas()) out->set_desiredreplicas(status.desiredreplicas());
}

bool is_cpu(const auto& resource) {
    return resource.name() == "cpu";
}

}  // namespace

void convert(const v2::HorizontalPodAutoscaler& from, v1::HorizontalPodAutoscaler* to) {
    convert_common(from, to);
    std::vector<v1::MetricSpec> wanted;
    bool cpu = false;
    for (const auto& metric : from.spec().metrics()) {
        if (!cpu && metric.has_resource() && is_cpu(metric.resource()) &&
            metric.resource().target().has_averageutilization()) {
            to->mutable_spec()->set_targetcpuutilizationpercentage(
                metric.resource().target().averageutilization());
            cpu = true;
        } else {
            wanted.push_back(to_v1(metric));
        }
    }
    std::vector<v1::MetricStatus> measured;
    for (const auto& metric : from.status().currentmetrics()) {
        if (metric.has_resource() && is_cpu(metric.resource()) &&
            metric.resource().current().has_averageutilization())
            to->mutable_status()->set_currentcpuutilizationpercentage(
                metric.resource().current().averageutilization());
        measured.push_back(to_v1(metric));
    }
    if (wanted.empty() && measured.empty() && from.status().conditions().empty() &&
        !from.spec().has_behavior())
        return;
    auto* annotations = to->mutable_metadata()->mutable_annotations();
    write_annotation(annotations, kMetrics, wanted);
    write_annotation(annotations, kCurrentMetrics, measured);
    write_annotation(annotations, kConditions, from.status().conditions());
    if (from.spec().has_behavior()) (*annotations)[kBehavior] = to_json(from.spec().behavior());
}

void convert(const v1::HorizontalPodAutoscaler& from, v2::HorizontalPodAutoscaler* to) {
    convert_common(from, to);
    const auto& annotations = from.metadata().annotations();
    for (const auto& metric : read_annotation<v1::MetricSpec>(annotations, kMetrics))
        *to->mutable_spec()->add_metrics() = to_v2(metric);
    if (from.spec().has_targetcpuutilizationpercentage()) {
        auto* metric = to->mutable_spec()->add_metrics();
        metric->set_type("Resource");
        metric->mutable_resource()->set_name("cpu");
        auto* target = metric->mutable_resource()->mutable_target();
        target->set_type(kUtilization);
        target->set_averageutilization(from.spec().targetcpuutilizationpercentage());
    }
    if (const auto it = annotations.find(kBehavior); it != annotations.end()) {
        v2::HorizontalPodAutoscalerBehavior behavior;
        if (from_json(it->second, &behavior)) *to->mutable_spec()->mutable_behavior() = behavior;
    }
    for (const auto& metric : read_annotation<v1::MetricStatus>(annotations, kCurrentMetrics))
        *to->mutable_status()->add_currentmetrics() = to_v2(metric);
    if (to->status().currentmetrics().empty() &&
        from.status().has_currentcpuutilizationpercentage()) {
        auto* metric = to->mutable_status()->add_currentmetrics();
        metric->set_type("Resource");
        metric->mutable_resource()->set_name("cpu");
        metric->mutable_resource()->mutable_current()->set_averageutilization(
            from.status().currentcpuutilizationpercentage());
    }
    for (auto& condition :
         read_annotation<v2::HorizontalPodAutoscalerCondition>(annotations, kConditions))
        *to->mutable_status()->add_conditions() = std::move(condition);
}

}  // namespace api::conversion
