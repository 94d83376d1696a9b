#pragma once
// The scheduling framework: what a plug-in sees and answers. Pure: no clock, no client. A filter says whether a pod may
// run on a node, and if not, why; a score says how well. A plug-in is a file in scheduler/plugins and a row in
// framework.cc's table. Source of behaviour: kube-scheduler's default plug-ins.

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "api/object.h"
#include "api/proto/core_v1_node.pb.h"
#include "api/proto/core_v1_pod.pb.h"

namespace scheduler {

// CPU in thousandths, everything else in units.
using Resources = std::map<std::string, std::int64_t, std::less<>>;

// What a pod asks for: the greater of its containers' sum and each initial container, and its overhead.
Resources requests_of(const api::core::Pod& pod);
std::set<std::string> host_ports_of(const api::core::Pod& pod);

struct PodInfo {
    explicit PodInfo(api::Ptr<api::core::Pod> p);
    api::Ptr<api::core::Pod> pod;
    Resources requests;
    std::set<std::string> ports;
};

// A node and what is on it, assumed pods included.
struct NodeInfo {
    api::Ptr<api::core::Node> node;
    Resources allocatable;
    Resources requested;
    std::int64_t pods = 0;
    std::map<std::string, int> ports;

    void set_node(api::Ptr<api::core::Node> n);
    void add(const PodInfo& pod);
    void remove(const PodInfo& pod);
};

class Filter {
  public:
    virtual ~Filter() = default;
    // Why the pod cannot run there, as the counts in FailedScheduling word it; empty when it can.
    virtual std::vector<std::string> reject(const PodInfo& pod, const NodeInfo& node) const = 0;
};

class Score {
  public:
    virtual ~Score() = default;
    // 0 (bad) to 100 (good).
    virtual std::int64_t score(const PodInfo& pod, const NodeInfo& node) const = 0;
};

struct Framework {
    std::vector<std::unique_ptr<Filter>> filters;
    std::vector<std::pair<std::unique_ptr<Score>, std::int64_t>> scores;  // with its weight

    // The default plug-ins with their default weights.
    static Framework make_default();

    struct Decision {
        std::string node;      // "" when none fits
        std::string message;   // then: "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable."
    };
    // `tie` breaks ties between nodes of the same score.
    Decision decide(const PodInfo& pod, const std::map<std::string, NodeInfo>& nodes, std::uint64_t tie) const;
};

// The plug-ins, a file each.
std::unique_ptr<Filter> make_node_name();
std::unique_ptr<Filter> make_node_unschedulable();
std::unique_ptr<Filter> make_node_ports();
std::unique_ptr<Filter> make_node_resources_fit();
std::unique_ptr<Filter> make_taint_toleration();
std::unique_ptr<Filter> make_node_affinity();
std::unique_ptr<Score> make_least_allocated();
std::unique_ptr<Score> make_balanced_allocation();
std::unique_ptr<Score> make_taint_score();
std::unique_ptr<Score> make_node_affinity_score();

}  // namespace scheduler
