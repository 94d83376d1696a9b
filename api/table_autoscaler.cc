// A HorizontalPodAutoscaler's row: what it measures and what it wants.

#include <fmt/format.h>

#include <boost/json/array.hpp>

#include "api/proto/autoscaling_v2.pb.h"
#include "api/table_cells.h"

namespace api {
namespace {

namespace json = boost::json;

constexpr int kShown = 2;
const std::string kUnknown = "<unknown>";

std::string percent(bool known, std::int32_t value, const char* otherwise) {
    return known ? fmt::format("{}%", value) : std::string(otherwise);
}

std::string amount(bool known, const resource::Quantity& q) {
    return known ? q.string() : kUnknown;
}

// A resource's target is an amount a pod or a share of what it asks for.
std::string of_resource(const std::string& name, const autoscalingv2::MetricTarget& target,
                        const autoscalingv2::MetricValueStatus* now) {
    if (target.has_averagevalue())
        return fmt::format(
            "{}: {}/{}", name,
            now == nullptr ? kUnknown : amount(now->has_averagevalue(), now->averagevalue()),
            target.averagevalue().string());
    return fmt::format(
        "{}: {}/{}", name,
        now == nullptr
            ? kUnknown
            : percent(now->has_averageutilization(), now->averageutilization(), "<unknown>"),
        percent(target.has_averageutilization(), target.averageutilization(), "<auto>"));
}

std::string of_value(const autoscalingv2::MetricTarget& target,
                     const autoscalingv2::MetricValueStatus* now, bool tell_average) {
    const bool average = target.has_averagevalue();
    std::string current = kUnknown;
    if (now != nullptr)
        current = average ? amount(now->has_averagevalue(), now->averagevalue())
                          : amount(now->has_value(), now->value());
    return fmt::format("{}/{}{}", current,
                       (average ? target.averagevalue() : target.value()).string(),
                       average && tell_average ? " (avg)" : "");
}

std::string metric(const autoscalingv2::MetricSpec& spec, const autoscalingv2::MetricStatus* now) {
    if (spec.type() == "Resource")
        return of_resource(
            spec.resource().name(), spec.resource().target(),
            now != nullptr && now->has_resource() ? &now->resource().current() : nullptr);
    if (spec.type() == "ContainerResource")
        return of_resource(spec.containerresource().name(), spec.containerresource().target(),
                           now != nullptr && now->has_containerresource()
                               ? &now->containerresource().current()
                               : nullptr);
    if (spec.type() == "Pods")
        return of_value(spec.pods().target(),
                        now != nullptr && now->has_pods() ? &now->pods().current() : nullptr,
                        false);
    if (spec.type() == "Object")
        return of_value(spec.object().target(),
                        now != nullptr && now->has_object() ? &now->object().current() : nullptr,
                        true);
    if (spec.type() == "External")
        return of_value(
            spec.external().target(),
            now != nullptr && now->has_external() ? &now->external().current() : nullptr, true);
    return "<unknown type>";
}

}  // namespace

json::array autoscaler_cells(const Message& object, const CellContext& c) {
    const auto& h = as<autoscalingv2::HorizontalPodAutoscaler>(object);
    std::string targets;
    for (int i = 0; i < h.spec().metrics_size() && i < kShown; ++i) {
        const bool known = i < h.status().currentmetrics_size();
        targets += (i > 0 ? ", " : "") +
                   metric(h.spec().metrics(i), known ? &h.status().currentmetrics(i) : nullptr);
    }
    if (h.spec().metrics_size() > kShown)
        targets += fmt::format(" + {} more...", h.spec().metrics_size() - kShown);
    const auto& target = h.spec().scaletargetref();
    return {h.metadata().name(),
            target.kind() + "/" + target.name(),
            targets.empty() ? "<none>" : targets,
            h.spec().has_minreplicas() ? std::to_string(h.spec().minreplicas()) : "<unset>",
            h.spec().maxreplicas(),
            h.status().currentreplicas(),
            c.age(h.metadata().creationtimestamp())};
}

}  // namespace api
