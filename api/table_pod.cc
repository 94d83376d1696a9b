// A pod's row: what its containers' states add up to.

#include <fmt/format.h>

#include "api/proto/core_v1_pod.pb.h"
#include "api/table.h"
#include "api/table_cells.h"

namespace api {

namespace json = boost::json;

namespace {

using Statuses = google::protobuf::RepeatedPtrField<core::ContainerStatus>;

struct Summary {
    std::string reason;
    std::int64_t restarts = 0;
    meta::Time last_restart;
    int ready = 0;
};

void count_restarts(const core::ContainerStatus& c, Summary* s) {
    s->restarts += c.restartcount();
    const auto& ended = c.laststate().terminated().finishedat();
    if (c.laststate().has_terminated() && ended.seconds() > s->last_restart.seconds())
        s->last_restart = ended;
}

std::string exit_reason(const core::ContainerStateTerminated& t) {
    if (!t.reason().empty()) return t.reason();
    return t.signal() != 0 ? fmt::format("Signal:{}", t.signal())
                           : fmt::format("ExitCode:{}", t.exitcode());
}

// True while an initial container holds the pod back; the reason says which and why.
bool initializing(const core::Pod& pod, Summary* s) {
    for (int i = 0; i < pod.status().initcontainerstatuses_size(); ++i) {
        const auto& c = pod.status().initcontainerstatuses(i);
        count_restarts(c, s);
        if (c.state().has_terminated() && c.state().terminated().exitcode() == 0) continue;
        if (c.has_started() && c.started() && i < pod.spec().initcontainers_size() &&
            pod.spec().initcontainers(i).restartpolicy() == "Always") {
            s->ready += c.ready() ? 1 : 0;
            continue;
        }
        if (c.state().has_terminated())
            s->reason = "Init:" + exit_reason(c.state().terminated());
        else if (c.state().has_waiting() && !c.state().waiting().reason().empty() &&
                 c.state().waiting().reason() != "PodInitializing")
            s->reason = "Init:" + c.state().waiting().reason();
        else
            s->reason = fmt::format("Init:{}/{}", i, pod.spec().initcontainers_size());
        return true;
    }
    return false;
}

void look_at_containers(const core::Pod& pod, Summary* s) {
    s->restarts = 0;
    s->last_restart.Clear();
    bool running = false;
    const auto& all = pod.status().containerstatuses();
    for (int i = all.size() - 1; i >= 0; --i) {
        const auto& c = all[i];
        count_restarts(c, s);
        if (c.state().has_waiting() && !c.state().waiting().reason().empty())
            s->reason = c.state().waiting().reason();
        else if (c.state().has_terminated())
            s->reason = exit_reason(c.state().terminated());
        else if (c.ready() && c.state().has_running()) {
            running = true;
            ++s->ready;
        }
    }
    // One has completed, and another still runs.
    if (s->reason != "Completed" || !running) return;
    s->reason = "NotReady";
    for (const auto& condition : pod.status().conditions())
        if (condition.type() == "Ready" && condition.status() == "True") s->reason = "Running";
}

}  // namespace

json::array pod_cells(const Message& object, const CellContext& context) {
    const auto& pod = as<core::Pod>(object);
    Summary s;
    s.reason = pod.status().reason().empty() ? pod.status().phase() : pod.status().reason();
    for (const auto& condition : pod.status().conditions())
        if (condition.type() == "PodScheduled" && condition.reason() == "SchedulingGated")
            s.reason = "SchedulingGated";
    const bool held = initializing(pod, &s);
    if (!held) look_at_containers(pod, &s);
    if (is_deleting(pod))
        s.reason = pod.status().reason() == "NodeLost" ? "Unknown" : "Terminating";
    std::string restarts = std::to_string(s.restarts);
    if (s.restarts != 0 && s.last_restart.seconds() != 0)
        restarts += " (" + context.age(s.last_restart) + " ago)";
    const std::string gates = [&] {
        if (pod.spec().readinessgates().empty()) return std::string("<none>");
        int passed = 0;
        for (const auto& gate : pod.spec().readinessgates())
            for (const auto& condition : pod.status().conditions())
                passed += condition.type() == gate.conditiontype() && condition.status() == "True"
                              ? 1
                              : 0;
        return fmt::format("{}/{}", passed, pod.spec().readinessgates_size());
    }();
    auto or_none = [](const std::string& t) { return t.empty() ? std::string("<none>") : t; };
    return {pod.metadata().name(),
            fmt::format("{}/{}", s.ready, pod.spec().containers_size()),
            s.reason,
            restarts,
            context.age(pod.metadata().creationtimestamp()),
            or_none(pod.status().podip()),
            or_none(pod.spec().nodename()),
            or_none(pod.status().nominatednodename()),
            gates};
}

}  // namespace api
