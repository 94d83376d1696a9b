#include "scheduler/core/framework.h"

namespace scheduler {
namespace {

class NodePorts final : public Filter {
  public:
    std::vector<std::string> reject(const PodInfo& pod, const NodeInfo& node) const override {
        for (const auto& port : pod.ports)
            if (node.ports.contains(port)) return {"node(s) didn't have free ports for the requested pod ports"};
        return {};
    }
};

}  // namespace

std::unique_ptr<Filter> make_node_ports() { return std::make_unique<NodePorts>(); }

}  // namespace scheduler
