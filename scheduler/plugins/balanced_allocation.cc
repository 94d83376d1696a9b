// NodeResourcesBalancedAllocation: prefers nodes whose CPU and memory would be used evenly.

#include <algorithm>
#include <cmath>

#include "scheduler/plugins/plugins.h"

namespace scheduler {
namespace {

struct Wanted final : PluginData {
    Resources requests;
};

double part(std::int64_t used, std::int64_t all) {
    return all <= 0 ? 1.0 : std::min(1.0, static_cast<double>(used) / static_cast<double>(all));
}

class BalancedAllocation final : public PreFilterPlugin, public ScorePlugin {
  public:
    std::string_view name() const override { return "NodeResourcesBalancedAllocation"; }

    Reasons pre_filter(const api::core::Pod& pod, CycleState* state) const override {
        auto wanted = std::make_shared<Wanted>();
        wanted->requests = requests_of(pod);
        state->put(name(), std::move(wanted));
        return {};
    }
    std::int64_t score(const api::core::Pod&, const CycleState& state,
                       const NodeInfo& node) const override {
        const auto& wanted = state.get<Wanted>(name())->requests;
        const auto& has = node.allocatable();
        const auto& used = node.requested();
        const double cpu = part(used.milli_cpu + wanted.milli_cpu, has.milli_cpu);
        const double memory = part(used.memory + wanted.memory, has.memory);
        // The standard deviation of two values is half of their difference.
        const double deviation = std::abs(cpu - memory) / 2;
        return static_cast<std::int64_t>((1 - deviation) * static_cast<double>(kMaxScore));
    }
};

}  // namespace

std::unique_ptr<Plugin> make_balanced_allocation() {
    return std::make_unique<BalancedAllocation>();
}

}  // namespace scheduler
