#pragma once
// The Deployment controller: one ReplicaSet a template; a changed template moves the pods from the
// old ReplicaSets to the new one, all at once (Recreate) or step by step (RollingUpdate). The
// arithmetic stands in controllers/rollout.h, the status in controllers/deployment_status.h.

#include <memory>

#include "api/controller.h"
#include "api/events.h"

namespace controllers {

std::unique_ptr<api::Controller> make_deployment(base::Loop& loop,
                                                 std::shared_ptr<api::Client> client,
                                                 api::Informers& informers,
                                                 api::EventRecorder& events);

}  // namespace controllers
