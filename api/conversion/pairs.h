#pragma once
// The conversions there are, a file a group. Each clears `to` first.

#include "api/proto/autoscaling_v1.pb.h"
#include "api/proto/autoscaling_v2.pb.h"
#include "api/proto/core_v1_event.pb.h"
#include "api/proto/events_v1.pb.h"

namespace api::conversion {

void convert(const k8s::io::api::core::v1::Event& from, k8s::io::api::events::v1::Event* to);
void convert(const k8s::io::api::events::v1::Event& from, k8s::io::api::core::v1::Event* to);

// What autoscaling/v1 has no field for is in annotations of autoscaling.alpha.kubernetes.io.
void convert(const k8s::io::api::autoscaling::v2::HorizontalPodAutoscaler& from,
             k8s::io::api::autoscaling::v1::HorizontalPodAutoscaler* to);
void convert(const k8s::io::api::autoscaling::v1::HorizontalPodAutoscaler& from,
             k8s::io::api::autoscaling::v2::HorizontalPodAutoscaler* to);

}  // namespace api::conversion
