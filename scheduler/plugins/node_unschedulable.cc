// NodeUnschedulable: a cordoned node takes only pods that tolerate that.

#include "scheduler/plugins/plugins.h"

namespace scheduler {
namespace {

class NodeUnschedulable final : public FilterPlugin {
  public:
    std::string_view name() const override { return "NodeUnschedulable"; }
    Reasons filter(const api::core::Pod& pod, const CycleState&,
                   const NodeInfo& node) const override {
        if (!node.node().spec().unschedulable()) return {};
        api::core::Taint taint;
        taint.set_key("node.kubernetes.io/unschedulable");
        taint.set_effect("NoSchedule");
        if (tolerates(pod, taint)) return {};
        return {"node(s) were unschedulable"};
    }
};

}  // namespace

std::unique_ptr<Plugin> make_node_unschedulable() {
    return std::make_unique<NodeUnschedulable>();
}

}  // namespace scheduler
