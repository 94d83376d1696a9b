#pragma once
// The Endpoints and EndpointSlice controllers: which pods stand behind a Service. What a slice and
// an Endpoints object say is computed by the pure functions here.

#include <memory>
#include <vector>

#include "api/controller.h"
#include "api/proto/core_v1_pod.pb.h"
#include "api/proto/core_v1_service.pb.h"
#include "api/proto/discovery_v1.pb.h"

namespace controllers {

// Of one slice, as upstream's default.
inline constexpr int kMaxEndpointsPerSlice = 100;
// Of an Endpoints object; what is beyond is left out. (Upstream annotates it so; this does not
// yet.)
inline constexpr int kMaxAddresses = 1000;

using PodList = std::vector<api::Ptr<api::core::Pod>>;

// Subsets for the pods the Service selects, with one set of ports each.
google::protobuf::RepeatedPtrField<api::core::EndpointSubset> subsets_of(
    const api::core::Service& service, const PodList& pods);
// Slices without names, filled to the maximum, in the order of the pods' names.
std::vector<api::discovery::EndpointSlice> slices_of(const api::core::Service& service,
                                                     const PodList& pods);

std::unique_ptr<api::Controller> make_endpoints(base::Loop& loop,
                                                std::shared_ptr<api::Client> client,
                                                api::Informers& informers);
std::unique_ptr<api::Controller> make_endpointslice(base::Loop& loop,
                                                    std::shared_ptr<api::Client> client,
                                                    api::Informers& informers);

}  // namespace controllers
