#pragma once
// Nodes that no longer report: a node whose Lease (or status) has not changed for the grace period,
// as seen here, becomes Ready=Unknown; conditions become taints; pods on it become not ready. Taint
// eviction: pods that do not, or no longer, tolerate a NoExecute taint of their node are deleted.

#include <memory>
#include <optional>

#include "api/controller.h"
#include "api/events.h"
#include "api/proto/core_v1_node.pb.h"
#include "controllers/pod_util.h"

namespace controllers {

// The taints that the node's conditions and spec ask for, in place of those it has of their kind.
// True when that changes something.
bool set_condition_taints(api::core::Node* node, WallTime now);
// When the pod has to leave the node; nullopt when it may stay. Pure.
std::optional<WallTime> eviction_time(const api::core::Pod& pod, const api::core::Node& node,
                                      WallTime now);

std::unique_ptr<api::Controller> make_node_lifecycle(base::Loop& loop,
                                                     std::shared_ptr<api::Client> client,
                                                     api::Informers& informers,
                                                     api::EventRecorder& events,
                                                     base::Millis grace);
std::unique_ptr<api::Controller> make_taint_eviction(base::Loop& loop,
                                                     std::shared_ptr<api::Client> client,
                                                     api::Informers& informers,
                                                     api::EventRecorder& events);

}  // namespace controllers
