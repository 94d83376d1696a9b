#include "scheduler/core/framework.h"
#include "scheduler/core/tolerations.h"

namespace scheduler {
namespace {

class NodeUnschedulable final : public Filter {
  public:
    std::vector<std::string> reject(const PodInfo& pod, const NodeInfo& node) const override {
        if (!node.node->spec().unschedulable()) return {};
        api::core::Taint taint;
        taint.set_key("node.kubernetes.io/unschedulable");
        taint.set_effect("NoSchedule");
        if (tolerates(pod.pod->spec(), taint)) return {};
        return {"node(s) were unschedulable"};
    }
};

}  // namespace

std::unique_ptr<Filter> make_node_unschedulable() { return std::make_unique<NodeUnschedulable>(); }

}  // namespace scheduler
