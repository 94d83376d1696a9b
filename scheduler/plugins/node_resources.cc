// NodeResourcesFit, and the two scores that look at what is left: LeastAllocated and BalancedAllocation.

#include <cmath>

#include "scheduler/core/framework.h"

namespace scheduler {
namespace {

std::int64_t of(const Resources& r, std::string_view name) {
    const auto it = r.find(name);
    return it == r.end() ? 0 : it->second;
}

class NodeResourcesFit final : public Filter {
  public:
    std::vector<std::string> reject(const PodInfo& pod, const NodeInfo& node) const override {
        std::vector<std::string> out;
        if (node.pods + 1 > of(node.allocatable, "pods")) out.emplace_back("Too many pods");
        for (const auto& [name, wanted] : pod.requests)
            if (wanted > 0 && wanted > of(node.allocatable, name) - of(node.requested, name)) out.push_back("Insufficient " + name);
        return out;
    }
};

// Pods that ask for nothing count as small ones here, so that they are spread, too.
constexpr std::int64_t kDefaultMilliCpu = 100;
constexpr std::int64_t kDefaultMemory = std::int64_t{200} << 20;

double used_share(const PodInfo& pod, const NodeInfo& node, std::string_view name) {
    const auto capacity = of(node.allocatable, name);
    if (capacity <= 0) return 1;
    std::int64_t wanted = of(pod.requests, name);
    const std::int64_t fallback = name == "cpu" ? kDefaultMilliCpu : kDefaultMemory;
    if (wanted == 0) wanted = fallback;
    // What pods without requests use is not in the sum: they count as the default each.
    const double used = static_cast<double>(of(node.requested, name) + wanted) + static_cast<double>(node.pods) * static_cast<double>(fallback) * 0.01;
    return std::min(1.0, used / static_cast<double>(capacity));
}

class LeastAllocated final : public Score {
  public:
    std::int64_t score(const PodInfo& pod, const NodeInfo& node) const override {
        const double free = 2 - used_share(pod, node, "cpu") - used_share(pod, node, "memory");
        // In finer steps than hundredths a node with one pod less would win by rounding luck only.
        return static_cast<std::int64_t>(std::lround(free * 50));
    }
};

class BalancedAllocation final : public Score {
  public:
    std::int64_t score(const PodInfo& pod, const NodeInfo& node) const override {
        const double difference = std::abs(used_share(pod, node, "cpu") - used_share(pod, node, "memory")) / 2;
        return static_cast<std::int64_t>((1 - difference) * 100);
    }
};

}  // namespace

std::unique_ptr<Filter> make_node_resources_fit() { return std::make_unique<NodeResourcesFit>(); }
std::unique_ptr<Score> make_least_allocated() { return std::make_unique<LeastAllocated>(); }
std::unique_ptr<Score> make_balanced_allocation() { return std::make_unique<BalancedAllocation>(); }

}  // namespace scheduler
