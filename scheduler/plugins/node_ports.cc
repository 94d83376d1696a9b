// NodePorts: a host port can be had once a node.

#include <algorithm>

#include "scheduler/plugins/plugins.h"

namespace scheduler {
namespace {

struct Ports final : PluginData {
    std::vector<HostPort> wanted;
};

class NodePorts final : public PreFilterPlugin, public FilterPlugin {
  public:
    std::string_view name() const override { return "NodePorts"; }
    Reasons pre_filter(const api::core::Pod& pod, CycleState* state) const override {
        auto ports = std::make_shared<Ports>();
        ports->wanted = host_ports_of(pod);
        if (!ports->wanted.empty()) state->put(name(), std::move(ports));
        return {};
    }
    Reasons filter(const api::core::Pod&, const CycleState& state,
                   const NodeInfo& node) const override {
        const auto* ports = state.get<Ports>(name());
        if (ports == nullptr) return {};
        const bool taken = std::any_of(ports->wanted.begin(), ports->wanted.end(),
                                       [&](const HostPort& port) { return node.port_taken(port); });
        if (!taken) return {};
        return {"node(s) didn't have free ports for the requested pod ports"};
    }
};

}  // namespace

std::unique_ptr<Plugin> make_node_ports() {
    return std::make_unique<NodePorts>();
}

}  // namespace scheduler
