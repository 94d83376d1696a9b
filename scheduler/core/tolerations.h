#pragma once
// Taints and tolerations, as plug-ins share them. Pure.

#include "api/proto/core_v1_pod.pb.h"
#include "api/proto/core_v1_reference.pb.h"

namespace scheduler {

bool tolerates(const k8s::io::api::core::v1::Toleration& toleration, const k8s::io::api::core::v1::Taint& taint);
bool tolerates(const k8s::io::api::core::v1::PodSpec& pod, const k8s::io::api::core::v1::Taint& taint);

}  // namespace scheduler
