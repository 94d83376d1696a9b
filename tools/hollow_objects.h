#pragma once
// What a hollow node writes: its Node, its Lease and its pods' status. Pure.

#include <chrono>
#include <string>

#include "api/object.h"
#include "api/proto/coordination_v1.pb.h"
#include "api/proto/core_v1_node.pb.h"
#include "api/proto/core_v1_pod.pb.h"

namespace tools {

using WallTime = std::chrono::system_clock::time_point;

// 172.16.0.1 and on.
std::string hollow_node_ip(int index);
// The n-th address of 10.0.0.0/8.
std::string hollow_pod_ip(std::uint32_t n);

api::core::Node hollow_node(const std::string& name);
// 32 CPUs, 256 GiB, 110 pods; all conditions good. Transition times stay where nothing changed.
void set_node_status(api::core::Node* node, int index, WallTime now);
// On top of what the lease was; made anew when that has no name.
void renew_lease(api::coordination::Lease* lease, const api::core::Node& node, WallTime now);
// Running and ready, with this address unless the pod has one.
void set_running(api::core::Pod* pod, const std::string& pod_ip, const std::string& host_ip,
                 WallTime now);

}  // namespace tools
