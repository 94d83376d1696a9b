#pragma once
// What a Deployment's status says about its rollout. Pure.

#include <chrono>
#include <optional>

#include "controllers/rollout.h"

namespace controllers {

// Every pod is of the present template and available, and none of an old one is left.
bool is_complete(const api::apps::Deployment& d, const api::apps::DeploymentStatus& status);

// The status for these ReplicaSets; `fresh` is null while there is none. Conditions change their
// times only when they change.
api::apps::DeploymentStatus deployment_status(const api::apps::Deployment& d,
                                              const ReplicaSets& all, const ReplicaSetPtr& fresh,
                                              std::chrono::system_clock::time_point now);

void set_condition(api::apps::DeploymentStatus* status, const char* type, const char* value,
                   const char* reason, std::string message,
                   std::chrono::system_clock::time_point now);
const api::apps::DeploymentCondition* condition_of(const api::apps::DeploymentStatus& status,
                                                   std::string_view type);
// When the rollout, if it goes on like this, will have exceeded its deadline; nullopt when it has
// none or is done.
std::optional<std::chrono::system_clock::time_point> deadline_of(const api::apps::Deployment& d);

}  // namespace controllers
