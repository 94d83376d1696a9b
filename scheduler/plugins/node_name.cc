// NodeName: a pod that names its node goes nowhere else.

#include "scheduler/plugins/plugins.h"

namespace scheduler {
namespace {

class NodeName final : public FilterPlugin {
  public:
    std::string_view name() const override { return "NodeName"; }
    Reasons filter(const api::core::Pod& pod, const CycleState&,
                   const NodeInfo& node) const override {
        const auto& wanted = pod.spec().nodename();
        if (wanted.empty() || wanted == node.node().metadata().name()) return {};
        return {"node(s) didn't match the requested node name"};
    }
};

}  // namespace

std::unique_ptr<Plugin> make_node_name() {
    return std::make_unique<NodeName>();
}

}  // namespace scheduler
