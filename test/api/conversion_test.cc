#include "api/conversion/conversion.h"

#include <gtest/gtest.h>

#include "api/codec/json.h"

namespace {

// The JSON of an object of `version`, in another version.
std::string convert(std::string_view json, std::string_view from, std::string_view to,
                    std::string_view kind) {
    const auto* source = api::find_kind(from, kind);
    const auto* target = api::find_kind(to, kind);
    EXPECT_TRUE(source != nullptr && target != nullptr);
    std::unique_ptr<api::Message> object(source->prototype().New());
    api::JsonProblems problems;
    const auto read = api::from_json(json, object.get(), nullptr, &problems);
    EXPECT_TRUE(read) << read.error().message;
    EXPECT_EQ(problems, api::JsonProblems{});
    return api::to_json(*api::convert(*object, *target));
}

constexpr std::string_view kHpa = "HorizontalPodAutoscaler";
constexpr std::string_view kFullV2 =
    R"({"metadata":{"name":"h","annotations":{"mine":"1"}},"spec":{"scaleTargetRef":{"kind":"Deployment","name":"d","apiVersion":"apps/v1"},"minReplicas":2,"maxReplicas":9,"metrics":[)"
    R"({"type":"Object","object":{"describedObject":{"kind":"Service","name":"s"},"target":{"type":"Value","value":"3"},"metric":{"name":"o","selector":{"matchLabels":{"a":"b"}}}}},)"
    R"({"type":"Pods","pods":{"metric":{"name":"p"},"target":{"type":"AverageValue","averageValue":"4"}}},)"
    R"({"type":"ContainerResource","containerResource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":5},"container":"c"}},)"
    R"({"type":"External","external":{"metric":{"name":"e","selector":{"matchLabels":{"x":"y"}}},"target":{"type":"AverageValue","averageValue":"6"}}},)"
    R"({"type":"Resource","resource":{"name":"memory","target":{"type":"AverageValue","averageValue":"7Mi"}}},)"
    R"({"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":70}}}],)"
    R"("behavior":{"scaleUp":{"stabilizationWindowSeconds":0,"selectPolicy":"Max","policies":[{"type":"Pods","value":4,"periodSeconds":15}]}}},)"
    R"("status":{"observedGeneration":3,"currentReplicas":1,"desiredReplicas":2,"currentMetrics":[)"
    R"({"type":"Object","object":{"metric":{"name":"o"},"current":{"value":"1"},"describedObject":{"kind":"Service","name":"s"}}},)"
    R"({"type":"Pods","pods":{"metric":{"name":"p"},"current":{"averageValue":"2"}}},)"
    R"({"type":"External","external":{"metric":{"name":"e"},"current":{"averageValue":"8"}}},)"
    R"({"type":"ContainerResource","containerResource":{"name":"cpu","current":{"averageUtilization":9},"container":"c"}},)"
    R"({"type":"Resource","resource":{"name":"cpu","current":{"averageValue":"20m","averageUtilization":40}}}],)"
    R"("conditions":[{"type":"AbleToScale","status":"True","lastTransitionTime":"2023-11-14T22:13:20Z","reason":"r","message":"m"}]}})";

TEST(Conversion, AutoscalersLoseNothingOnTheWayThroughV1) {
    const std::string v1 = convert(kFullV2, "autoscaling/v2", "autoscaling/v1", kHpa);
    EXPECT_EQ(convert(v1, "autoscaling/v1", "autoscaling/v2", kHpa), kFullV2);
    for (
        const char* part :
        {R"("targetCPUUtilizationPercentage":70)", R"("currentCPUUtilizationPercentage":40)",
         R"("autoscaling.alpha.kubernetes.io/metrics":"[{\"type\":\"Object\",\"object\":{\"target\":{\"kind\":\"Service\",\"name\":\"s\"},\"metricName\":\"o\",\"targetValue\":\"3\")",
         R"("autoscaling.alpha.kubernetes.io/behavior":"{\"scaleUp\":)",
         R"("autoscaling.alpha.kubernetes.io/conditions":"[{\"type\":\"AbleToScale\")",
         R"("mine":"1")"})
        EXPECT_NE(v1.find(part), std::string::npos) << part << " in " << v1;
}

TEST(Conversion, OneCpuTargetIsAFieldInV1AndAMetricInV2) {
    const std::string v1 =
        R"({"metadata":{"name":"h"},"spec":{"scaleTargetRef":{"kind":"Deployment","name":"d"},"maxReplicas":3,"targetCPUUtilizationPercentage":60},"status":{"currentReplicas":0,"desiredReplicas":0}})";
    const std::string v2 = convert(v1, "autoscaling/v1", "autoscaling/v2", kHpa);
    EXPECT_NE(
        v2.find(
            R"("metrics":[{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":60}}}])"),
        std::string::npos)
        << v2;
    EXPECT_EQ(convert(v2, "autoscaling/v2", "autoscaling/v1", kHpa), v1);
}

TEST(Conversion, AnAnnotationThatCannotBeReadCountsAsNone) {
    const std::string v1 =
        R"({"metadata":{"name":"h","annotations":{"autoscaling.alpha.kubernetes.io/metrics":"[{\"type\":5}]","autoscaling.alpha.kubernetes.io/behavior":"{","autoscaling.alpha.kubernetes.io/conditions":"7"}},"spec":{"scaleTargetRef":{"kind":"D","name":"d"},"maxReplicas":3}})";
    EXPECT_EQ(
        convert(v1, "autoscaling/v1", "autoscaling/v2", kHpa),
        R"({"metadata":{"name":"h"},"spec":{"scaleTargetRef":{"kind":"D","name":"d"},"maxReplicas":3},"status":{"desiredReplicas":0,"currentMetrics":[]}})");
}

TEST(Conversion, EventsHaveOtherNamesInTheirOwnGroup) {
    const std::string core =
        R"({"metadata":{"name":"e","namespace":"n"},"involvedObject":{"kind":"Pod","name":"p"},"reason":"R","message":"m","source":{"component":"c","host":"h"},"firstTimestamp":"2023-11-14T22:13:00Z","lastTimestamp":"2023-11-14T22:13:10Z","count":3,"type":"Warning","eventTime":"2023-11-14T22:13:00.000001Z","series":{"count":9,"lastObservedTime":"2023-11-14T22:13:10.000000Z"},"action":"a","related":{"kind":"Node","name":"x"},"reportingComponent":"rc","reportingInstance":"ri"})";
    const std::string events = convert(core, "v1", "events.k8s.io/v1", "Event");
    EXPECT_EQ(
        events,
        R"({"metadata":{"name":"e","namespace":"n"},"eventTime":"2023-11-14T22:13:00.000001Z","series":{"count":9,"lastObservedTime":"2023-11-14T22:13:10.000000Z"},"reportingController":"rc","reportingInstance":"ri","action":"a","reason":"R","regarding":{"kind":"Pod","name":"p"},"related":{"kind":"Node","name":"x"},"note":"m","type":"Warning","deprecatedSource":{"component":"c","host":"h"},"deprecatedFirstTimestamp":"2023-11-14T22:13:00Z","deprecatedLastTimestamp":"2023-11-14T22:13:10Z","deprecatedCount":3})");
    EXPECT_EQ(convert(events, "events.k8s.io/v1", "v1", "Event"), core);
}

// Whatever is served can be converted to what is stored and back.
TEST(Conversion, EveryServedVersionHasAWayToTheStoredOne) {
    int converted = 0;
    for (const auto& resource : api::all_resources()) {
        const auto& stored = api::stored_as(resource);
        if (&stored == &resource) continue;
        ++converted;
        EXPECT_EQ(stored.storage_prefix, resource.storage_prefix);
        EXPECT_EQ(stored.api_version(), resource.storage_version);
        const auto there = api::convert(resource.prototype(), stored);
        EXPECT_EQ(api::convert(*there, resource)->GetDescriptor(),
                  resource.prototype().GetDescriptor());
    }
    EXPECT_EQ(converted, 2);
}

}  // namespace
