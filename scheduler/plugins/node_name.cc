#include "scheduler/core/framework.h"

namespace scheduler {
namespace {

class NodeName final : public Filter {
  public:
    std::vector<std::string> reject(const PodInfo& pod, const NodeInfo& node) const override {
        const auto& wanted = pod.pod->spec().nodename();
        if (wanted.empty() || wanted == node.node->metadata().name()) return {};
        return {"node(s) didn't match the requested node name"};
    }
};

}  // namespace

std::unique_ptr<Filter> make_node_name() { return std::make_unique<NodeName>(); }

}  // namespace scheduler
