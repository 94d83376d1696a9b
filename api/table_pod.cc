// A pod's row: what its containers' states add up to.

#include <fmt/format.h>

#include "api/proto/core_v1_pod.pb.h"
#include "api/table.h"
#include "api/table_cells.h"

namespace api {

namespace json = boost::json;

namespace {

using Statuses = google::protobuf::RepeatedPtrField<core::ContainerStatus>;

struct Restarts {
    std::int64_t count = 0;
    meta::Time last;
};

struct Summary {
    std::string reason;
    Restarts restarts;  // of the containers that the row tells about
    Restarts sidecars;  // of the initial containers that stay
    int ready = 0;
    int total = 0;
};

void count_restarts(const core::ContainerStatus& c, Restarts* r) {
    r->count += c.restartcount();
    const auto& ended = c.laststate().terminated().finishedat();
    if (c.laststate().has_terminated() && ended.seconds() > r->last.seconds()) r->last = ended;
}

bool stays(const core::Pod& pod, const std::string& init_container) {
    for (const auto& c : pod.spec().initcontainers())
        if (c.name() == init_container) return c.restartpolicy() == "Always";
    return false;
}

bool holds(const core::Pod& pod, std::string_view type) {
    for (const auto& c : pod.status().conditions())
        if (c.type() == type) return c.status() == "True";
    return false;
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
        count_restarts(c, &s->restarts);
        const bool sidecar = stays(pod, c.name());
        if (sidecar) count_restarts(c, &s->sidecars);
        if (c.state().has_terminated() && c.state().terminated().exitcode() == 0) continue;
        if (sidecar && c.started()) {
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
    s->restarts = s->sidecars;
    bool running = false;
    const auto& all = pod.status().containerstatuses();
    for (int i = all.size() - 1; i >= 0; --i) {
        const auto& c = all[i];
        count_restarts(c, &s->restarts);
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
    s->reason = holds(pod, "Ready") ? "Running" : "NotReady";
}

}  // namespace

json::array pod_cells(const Message& object, const CellContext& context) {
    const auto& pod = as<core::Pod>(object);
    Summary s;
    s.reason = pod.status().reason().empty() ? pod.status().phase() : pod.status().reason();
    for (const auto& condition : pod.status().conditions())
        if (condition.type() == "PodScheduled" && condition.reason() == "SchedulingGated")
            s.reason = "SchedulingGated";
    s.total = pod.spec().containers_size();
    for (const auto& c : pod.spec().initcontainers())
        s.total += c.restartpolicy() == "Always" ? 1 : 0;
    const bool held = initializing(pod, &s);
    if (!held || holds(pod, "Initialized")) look_at_containers(pod, &s);
    const bool ended = pod.status().phase() == "Succeeded" || pod.status().phase() == "Failed";
    if (is_deleting(pod) && pod.status().reason() == "NodeLost")
        s.reason = "Unknown";
    else if (is_deleting(pod) && !ended)
        s.reason = "Terminating";
    std::string restarts = std::to_string(s.restarts.count);
    if (s.restarts.count != 0 && s.restarts.last.seconds() != 0)
        restarts += " (" + context.age(s.restarts.last) + " ago)";
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
            fmt::format("{}/{}", s.ready, s.total),
            s.reason,
            restarts,
            context.age(pod.metadata().creationtimestamp()),
            or_none(pod.status().podip()),
            or_none(pod.spec().nodename()),
            or_none(pod.status().nominatednodename()),
            gates};
}

}  // namespace api
