#include "controllers/pods_to_delete.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <tuple>

namespace controllers {
namespace {

int phase_rank(const std::string& phase) {
    return phase == "Pending" ? 0 : phase == "Unknown" ? 1 : 2;
}

long deletion_cost(const api::core::Pod& pod) {
    const auto text = api::annotation(pod, "controller.kubernetes.io/pod-deletion-cost");
    return text.empty() ? 0 : std::strtol(std::string(text).c_str(), nullptr, 10);
}

// The logarithm of an age; 0 for what is not yet.
int magnitude(WallTime since, WallTime now) {
    const auto age = std::chrono::duration_cast<std::chrono::seconds>(now - since).count();
    return age <= 0 ? 0 : static_cast<int>(std::bit_width(static_cast<std::uint64_t>(age)));
}

int ready_age(const api::core::Pod& pod, WallTime now) {
    const auto* ready = pod_condition(pod, "Ready");
    if (ready == nullptr || ready->status() != "True" || !ready->has_lasttransitiontime()) return 0;
    return magnitude(api::from_time(ready->lasttransitiontime()), now);
}

int restarts(const api::core::Pod& pod) {
    int most = 0;
    for (const auto& status : pod.status().containerstatuses())
        most = std::max(most, status.restartcount());
    return most;
}

// Less means: goes earlier.
auto order_of(const RankedPod& ranked, WallTime now) {
    const auto& pod = *ranked.pod;
    return std::tuple(pod.spec().nodename().empty() ? 0 : 1, phase_rank(pod.status().phase()),
                      is_ready(pod) ? 1 : 0, deletion_cost(pod), -ranked.neighbours,
                      ready_age(pod, now), -restarts(pod),
                      magnitude(api::from_time(pod.metadata().creationtimestamp()), now),
                      std::string_view(pod.metadata().uid()));
}

}  // namespace

std::vector<api::Ptr<api::core::Pod>> pods_to_delete(std::vector<RankedPod> pods, std::size_t count,
                                                     WallTime now) {
    std::sort(pods.begin(), pods.end(), [now](const RankedPod& a, const RankedPod& b) {
        return order_of(a, now) < order_of(b, now);
    });
    std::vector<api::Ptr<api::core::Pod>> out;
    for (std::size_t i = 0; i < std::min(count, pods.size()); ++i)
        out.push_back(pods[i].pod);
    return out;
}

}  // namespace controllers
