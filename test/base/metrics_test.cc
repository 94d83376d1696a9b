#include "base/metrics.h"

#include <gtest/gtest.h>

namespace base {
namespace {

TEST(Metrics, RendersTheTextFormat) {
    Registry registry;
    registry.counter("requests_total", "Requests.", {{"path", "/a\"b"}}).add(3);
    registry.gauge("open", "Open.").set(-2);
    auto& h = registry.histogram("latency_seconds", "Latency.", {0.1, 1});
    h.observe(0.1);
    h.observe(5);
    EXPECT_EQ(
        registry.render(),
        "# HELP latency_seconds Latency.\n# TYPE latency_seconds histogram\n"
        "latency_seconds_bucket{le=\"0.1\"} 1\nlatency_seconds_bucket{le=\"1\"} 1\n"
        "latency_seconds_bucket{le=\"+Inf\"} 2\nlatency_seconds_sum 5.1\nlatency_seconds_count 2\n"
        "# HELP open Open.\n# TYPE open gauge\nopen -2\n"
        "# HELP requests_total Requests.\n# TYPE requests_total counter\n"
        "requests_total{path=\"/a\\\"b\"} 3\n");
}

TEST(Metrics, WhatIsCountedElsewhereIsShownAsItIsNow) {
    Registry registry;
    double seconds = 1;
    registry.counter_callback("cpu_seconds_total", "Seconds.", [&] { return seconds; });
    registry.counter("seen_total", "Seen.").advance_to(7);
    seconds = 2.5;
    EXPECT_EQ(registry.render(),
              "# HELP cpu_seconds_total Seconds.\n# TYPE cpu_seconds_total counter\n"
              "cpu_seconds_total 2.5\n"
              "# HELP seen_total Seen.\n# TYPE seen_total counter\nseen_total 7\n");
}

}  // namespace
}  // namespace base
