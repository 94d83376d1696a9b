#pragma once
// The arithmetic of a Deployment's rollout: revisions, hashes, how many replicas which ReplicaSet
// gets. Pure.

#include <string>
#include <vector>

#include "api/object.h"
#include "api/proto/apps_v1.pb.h"

namespace controllers {

using DeploymentPtr = api::Ptr<api::apps::Deployment>;
using ReplicaSetPtr = api::Ptr<api::apps::ReplicaSet>;
using ReplicaSets = std::vector<ReplicaSetPtr>;

inline constexpr const char* kRevision = "deployment.kubernetes.io/revision";
inline constexpr const char* kRevisionHistory = "deployment.kubernetes.io/revision-history";
inline constexpr const char* kDesiredReplicas = "deployment.kubernetes.io/desired-replicas";
inline constexpr const char* kMaxReplicas = "deployment.kubernetes.io/max-replicas";
inline constexpr const char* kTemplateHash = "pod-template-hash";

int wanted(const api::apps::Deployment& d);
int wanted(const api::apps::ReplicaSet& rs);
int wanted(const ReplicaSets& sets);     // spec.replicas of all
int actual(const ReplicaSets& sets);     // status.replicas of all
int ready(const ReplicaSets& sets);      // status.readyReplicas of all
int available(const ReplicaSets& sets);  // status.availableReplicas of all

bool is_rolling(const api::apps::Deployment& d);
// Resolved against spec.replicas; never both 0; 0 with Recreate.
int max_surge(const api::apps::Deployment& d);
int max_unavailable(const api::apps::Deployment& d);

// The template without its hash label, as bytes: equal templates have equal bytes.
std::string template_bytes(const api::core::PodTemplateSpec& pod_template);
// Changes with the Deployment's collisionCount.
std::string template_hash(const api::apps::Deployment& d);
std::int64_t revision_of(const api::Message& object);

// The ReplicaSet of the Deployment's present template, the oldest of several; null when none.
ReplicaSetPtr find_new(const api::apps::Deployment& d, const ReplicaSets& sets);
void sort_by_age(ReplicaSets* sets);

// What spec.replicas of the new ReplicaSet should be now.
int new_replicas(const api::apps::Deployment& d, const ReplicaSets& all, int current);

struct Scaling {
    ReplicaSetPtr set;
    int replicas = 0;
};
// What a rolling update may take from old ReplicaSets now: first pods that are not available, then
// as many as keeps enough available.
std::vector<Scaling> scale_down_old(const api::apps::Deployment& d, const ReplicaSets& all,
                                    const ReplicaSets& old, const ReplicaSetPtr& fresh);
// Spreads a changed spec.replicas over the active ReplicaSets in proportion to their sizes.
std::vector<Scaling> scale_in_proportion(const api::apps::Deployment& d, const ReplicaSets& all);
// Whether spec.replicas changed since the ReplicaSets were scaled last.
bool is_scaling(const api::apps::Deployment& d, const ReplicaSets& all);

}  // namespace controllers
