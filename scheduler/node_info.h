#pragma once
// What the scheduler knows of nodes and of the pods on them: the snapshot that plugins read, and
// the cache that keeps it, with pods that are assumed to be bound already. Pure; one thread.

#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "api/object.h"
#include "api/proto/core_v1_node.pb.h"
#include "api/proto/core_v1_pod.pb.h"

namespace scheduler {

using PodPtr = api::Ptr<api::core::Pod>;
using NodePtr = api::Ptr<api::core::Node>;

struct Resources {
    std::int64_t milli_cpu = 0;
    std::int64_t memory = 0;             // bytes
    std::int64_t ephemeral_storage = 0;  // bytes
    std::map<std::string, std::int64_t> others;

    void add(const Resources& other, int sign = 1);
};

// What the pod asks for: the sum of its containers and sidecars, or the greatest that an init
// container needs, and its overhead.
Resources requests_of(const api::core::Pod& pod);
// The same where containers that ask for nothing count as 100m and 200 MB: for scores.
Resources scored_requests_of(const api::core::Pod& pod);

struct HostPort {
    std::string ip;  // "0.0.0.0" is any
    std::string protocol;
    int port = 0;
    auto operator<=>(const HostPort&) const = default;
};
std::vector<HostPort> host_ports_of(const api::core::Pod& pod);

class NodeInfo {
  public:
    explicit NodeInfo(NodePtr node = nullptr) { set_node(std::move(node)); }

    void set_node(NodePtr node);
    void add(const api::core::Pod& pod);
    void remove(const api::core::Pod& pod);

    const api::core::Node& node() const { return *node_; }
    bool has_node() const { return node_ != nullptr; }
    const Resources& allocatable() const { return allocatable_; }
    const Resources& requested() const { return requested_; }
    const Resources& scored() const { return scored_; }
    int max_pods() const { return max_pods_; }
    int pods() const { return pods_; }
    bool port_taken(const HostPort& port) const;

  private:
    NodePtr node_;
    Resources allocatable_;
    Resources requested_;
    Resources scored_;
    int max_pods_ = 0;
    int pods_ = 0;
    std::multiset<HostPort> ports_;
};

class Cache {
  public:
    void set_node(NodePtr node);
    void remove_node(const std::string& name);
    // The pod as the server has it; without a node it is taken out.
    void set_pod(const PodPtr& pod);
    void remove_pod(const std::string& key);
    // As if it were bound already; set_pod() confirms it.
    void assume(const PodPtr& pod, const std::string& node);
    void forget(const std::string& key);
    bool is_assumed(const std::string& key) const { return assumed_.count(key) != 0; }

    const std::map<std::string, NodeInfo>& nodes() const { return nodes_; }
    // Those that exist, in the order of their names. Valid until a node comes or goes.
    std::vector<const NodeInfo*> snapshot() const;

  private:
    struct Placed {
        PodPtr pod;
        std::string node;
    };
    void place(const PodPtr& pod, const std::string& node);

    std::map<std::string, NodeInfo> nodes_;
    std::map<std::string, Placed> pods_;
    std::set<std::string> assumed_;
};

}  // namespace scheduler
