#pragma once
// RBAC: may this user do that? Reads roles and bindings from the watch cache at each question, so
// that a change counts at once. API loop. Source: rbac.authorization.k8s.io/v1.

#include <string>
#include <string_view>
#include <vector>

#include "apiserver/auth/user.h"
#include "apiserver/cache/object_cache.h"

namespace apiserver {

// What is asked for: a verb on a resource, or on a path outside of the resources.
struct AccessRequest {
    std::string verb;
    bool is_resource = true;
    std::string api_group;
    std::string resource;
    std::string subresource;
    std::string name;
    std::string namespace_name;
    std::string path;
};

struct AccessDecision {
    bool allowed = false;
    std::string reason;  // which binding allowed it
};

class RbacAuthorizer {
  public:
    explicit RbacAuthorizer(CacheSet& caches) : caches_(caches) {}

    // Members of system:masters may do everything.
    AccessDecision authorize(const User& user, const AccessRequest& request) const;
    // All rules that hold for the user in a namespace (SelfSubjectRulesReview).
    std::vector<api::ObjectPtr> roles_for(const User& user, std::string_view namespace_name) const;

  private:
    template <class Visit>
    void visit_roles(const User& user, std::string_view namespace_name, Visit visit) const;

    CacheSet& caches_;
};

// `User "x" cannot list resource "pods" in API group "" in the namespace "default"`: why a 403 is
// one.
std::string denial_message(const User& user, const AccessRequest& request);

}  // namespace apiserver
