#pragma once
// What controllers ask of pods. Pure; any thread, where nothing else is said.

#include <chrono>
#include <string_view>

#include "api/informer.h"
#include "api/object.h"
#include "api/proto/core_v1_pod.pb.h"

namespace controllers {

using WallTime = std::chrono::system_clock::time_point;

// Null when there is none.
const api::core::PodCondition* pod_condition(const api::core::Pod& pod, std::string_view type);
bool is_ready(const api::core::Pod& pod);
// Ready for at least so long.
bool is_available(const api::core::Pod& pod, std::chrono::seconds min_ready, WallTime now);
// Neither finished nor on its way out.
bool is_active(const api::core::Pod& pod);
bool is_finished(const api::core::Pod& pod);

// What a pod says it needs of taints with NoExecute: see node_lifecycle.
bool tolerates(const api::core::Toleration& toleration, const api::core::Taint& taint);

// The index of a pod informer by the node that the pod is bound to. The informer's loop.
inline constexpr std::string_view kByNode = "node";
void index_by_node(api::Informer& pods);

// A pod of the template, owned by `owner`. Its name is generated from the owner's.
std::shared_ptr<api::core::Pod> pod_from_template(const api::core::PodTemplateSpec& pod_template,
                                                  const api::Message& owner);

}  // namespace controllers
