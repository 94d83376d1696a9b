#pragma once
// Pod garbage collection: pods bound to a node that no longer exists have nobody to end them. After
// a quarantine, in which the node may come back, and when the API itself (not a cache) says that it
// is gone, they become Failed with the condition DisruptionTarget and are deleted without grace.
// So are pods that were deleted before they were bound.

#include <memory>

#include "api/controller.h"

namespace controllers {

// Upstream's quarantine is 40 s.
std::unique_ptr<api::Controller> make_pod_gc(base::Loop& loop, std::shared_ptr<api::Client> client,
                                             api::Informers& informers, base::Millis quarantine);

}  // namespace controllers
