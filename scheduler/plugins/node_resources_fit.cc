// NodeResourcesFit: what the pod asks for must be free; the more that is free then, the better
// (LeastAllocated).

#include "scheduler/plugins/plugins.h"

namespace scheduler {
namespace {

struct Wanted final : PluginData {
    Resources requests;
    Resources scored;
};

// The part of `all` that is free, 0 … kMaxScore.
std::int64_t free_part(std::int64_t all, std::int64_t used) {
    return all <= 0 || used > all ? 0 : (all - used) * kMaxScore / all;
}

class NodeResourcesFit final : public PreFilterPlugin, public FilterPlugin, public ScorePlugin {
  public:
    std::string_view name() const override { return "NodeResourcesFit"; }

    Reasons pre_filter(const api::core::Pod& pod, CycleState* state) const override {
        auto wanted = std::make_shared<Wanted>();
        wanted->requests = requests_of(pod);
        wanted->scored = scored_requests_of(pod);
        state->put(name(), std::move(wanted));
        return {};
    }

    Reasons filter(const api::core::Pod&, const CycleState& state,
                   const NodeInfo& node) const override {
        const auto& wanted = state.get<Wanted>(name())->requests;
        const auto& has = node.allocatable();
        const auto& used = node.requested();
        Reasons out;
        const auto check = [&](std::int64_t asked, std::int64_t all, std::int64_t taken,
                               const std::string& what) {
            if (asked > 0 && asked > all - taken) out.push_back("Insufficient " + what);
        };
        if (node.pods() + 1 > node.max_pods()) out.emplace_back("Too many pods");
        check(wanted.milli_cpu, has.milli_cpu, used.milli_cpu, "cpu");
        check(wanted.memory, has.memory, used.memory, "memory");
        check(wanted.ephemeral_storage, has.ephemeral_storage, used.ephemeral_storage,
              "ephemeral-storage");
        for (const auto& [what, asked] : wanted.others) {
            const auto all = has.others.find(what);
            const auto taken = used.others.find(what);
            check(asked, all == has.others.end() ? 0 : all->second,
                  taken == used.others.end() ? 0 : taken->second, what);
        }
        return out;
    }

    std::int64_t score(const api::core::Pod&, const CycleState& state,
                       const NodeInfo& node) const override {
        const auto& wanted = state.get<Wanted>(name())->scored;
        const auto& has = node.allocatable();
        const auto& used = node.scored();
        return (free_part(has.milli_cpu, used.milli_cpu + wanted.milli_cpu) +
                free_part(has.memory, used.memory + wanted.memory)) /
               2;
    }
};

}  // namespace

std::unique_ptr<Plugin> make_node_resources_fit() {
    return std::make_unique<NodeResourcesFit>();
}

}  // namespace scheduler
