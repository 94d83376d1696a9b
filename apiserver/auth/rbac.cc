#include "apiserver/auth/rbac.h"

#include <fmt/format.h>

#include <algorithm>

#include "api/proto/rbac_v1.pb.h"

namespace apiserver {

namespace rbac = api::rbac;

namespace {

template <class List>
bool has(const List& list, std::string_view item) {
    return std::any_of(list.begin(), list.end(), [&](const auto& x) { return x == item; });
}
template <class List>
bool has_or_star(const List& list, std::string_view item) {
    return has(list, "*") || has(list, item);
}

bool resource_matches(const rbac::PolicyRule& rule, const AccessRequest& r) {
    const std::string combined =
        r.subresource.empty() ? r.resource : r.resource + "/" + r.subresource;
    return std::any_of(rule.resources().begin(), rule.resources().end(),
                       [&](const std::string& have) {
                           // "*/scale" is the subresource of every resource.
                           return have == "*" || have == combined ||
                                  (!r.subresource.empty() && have == "*/" + r.subresource);
                       });
}

bool path_matches(const rbac::PolicyRule& rule, std::string_view path) {
    return std::any_of(
        rule.nonresourceurls().begin(), rule.nonresourceurls().end(), [&](const std::string& have) {
            if (have == "*" || have == path) return true;
            return have.ends_with('*') &&
                   path.starts_with(std::string_view(have).substr(0, have.size() - 1));
        });
}

bool rule_allows(const rbac::PolicyRule& rule, const AccessRequest& r) {
    if (!has_or_star(rule.verbs(), r.verb)) return false;
    if (!r.is_resource) return path_matches(rule, r.path);
    return has_or_star(rule.apigroups(), r.api_group) && resource_matches(rule, r) &&
           (rule.resourcenames().empty() || has(rule.resourcenames(), r.name));
}

bool subject_is(const rbac::Subject& subject, const User& user,
                std::string_view binding_namespace) {
    if (subject.kind() == "User") return subject.name() == user.name;
    if (subject.kind() == "Group") return user.in_group(subject.name());
    if (subject.kind() != "ServiceAccount") return false;
    const std::string_view ns =
        subject.namespace_().empty() ? binding_namespace : subject.namespace_();
    return user.name == fmt::format("system:serviceaccount:{}:{}", ns, subject.name());
}

template <class Binding>
bool binds(const Binding& binding, const User& user, std::string_view ns) {
    return std::any_of(binding.subjects().begin(), binding.subjects().end(),
                       [&](const auto& subject) { return subject_is(subject, user, ns); });
}

}  // namespace

// Visits (role object, where it was bound) until `visit` answers true.
template <class Visit>
void RbacAuthorizer::visit_roles(const User& user, std::string_view namespace_name,
                                 Visit visit) const {
    const auto& role_info = api::resource_of<rbac::Role>();
    const auto& cluster_role_info = api::resource_of<rbac::ClusterRole>();
    auto role_of = [&](const rbac::RoleRef& ref, std::string_view ns) -> api::ObjectPtr {
        const auto& info = ref.kind() == "ClusterRole" ? cluster_role_info : role_info;
        const auto found = caches_.of(info).find(info.storage_key(ns, ref.name()));
        return found ? found->object() : nullptr;
    };
    bool done = false;
    caches_.of(api::resource_of<rbac::ClusterRoleBinding>())
        .for_each("", [&](const CachedPtr& cached) {
            const auto binding = api::as<rbac::ClusterRoleBinding>(cached->object());
            if (!binding || !binds(*binding, user, "")) return true;
            const auto role = role_of(binding->roleref(), "");
            done = role &&
                   visit(role, fmt::format("ClusterRoleBinding \"{}\" of ClusterRole \"{}\"",
                                           binding->metadata().name(), binding->roleref().name()));
            return !done;
        });
    if (done || namespace_name.empty()) return;
    const auto& bindings = api::resource_of<rbac::RoleBinding>();
    caches_.of(bindings).for_each(
        bindings.storage_key(namespace_name, ""), [&](const CachedPtr& cached) {
            const auto binding = api::as<rbac::RoleBinding>(cached->object());
            if (!binding || !binds(*binding, user, namespace_name)) return true;
            const auto role = role_of(binding->roleref(), namespace_name);
            return !(role &&
                     visit(role, fmt::format("RoleBinding \"{}/{}\" of {} \"{}\"", namespace_name,
                                             binding->metadata().name(), binding->roleref().kind(),
                                             binding->roleref().name())));
        });
}

namespace {

const google::protobuf::RepeatedPtrField<rbac::PolicyRule>& rules_of(const api::Message& role) {
    if (role.GetDescriptor() == rbac::ClusterRole::descriptor())
        return api::as<rbac::ClusterRole>(role).rules();
    return api::as<rbac::Role>(role).rules();
}

}  // namespace

AccessDecision RbacAuthorizer::authorize(const User& user, const AccessRequest& request) const {
    if (user.in_group(kMastersGroup)) return {true, "member of system:masters"};
    AccessDecision decision;
    visit_roles(user, request.namespace_name, [&](const api::ObjectPtr& role, std::string reason) {
        const auto& rules = rules_of(*role);
        decision.allowed = std::any_of(rules.begin(), rules.end(), [&](const auto& rule) {
            return rule_allows(rule, request);
        });
        if (decision.allowed) decision.reason = "RBAC: allowed by " + std::move(reason);
        return decision.allowed;
    });
    return decision;
}

std::vector<api::ObjectPtr> RbacAuthorizer::roles_for(const User& user,
                                                      std::string_view namespace_name) const {
    std::vector<api::ObjectPtr> out;
    visit_roles(user, namespace_name, [&](const api::ObjectPtr& role, const std::string&) {
        out.push_back(role);
        return false;
    });
    return out;
}

std::string denial_message(const User& user, const AccessRequest& r) {
    if (!r.is_resource)
        return fmt::format("User \"{}\" cannot {} path \"{}\"", user.name, r.verb, r.path);
    const std::string resource =
        r.subresource.empty() ? r.resource : r.resource + "/" + r.subresource;
    const std::string where = r.namespace_name.empty()
                                  ? "at the cluster scope"
                                  : fmt::format("in the namespace \"{}\"", r.namespace_name);
    return fmt::format("User \"{}\" cannot {} resource \"{}\" in API group \"{}\" {}", user.name,
                       r.verb, resource, r.api_group, where);
}

}  // namespace apiserver
