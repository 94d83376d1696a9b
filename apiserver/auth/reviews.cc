// Reviews: questions about access and identity that are POSTed, answered and not stored.

#include "api/codec/json.h"
#include "api/proto/authentication_v1.pb.h"
#include "api/proto/authorization_v1.pb.h"
#include "api/proto/rbac_v1.pb.h"
#include "api/status.h"
#include "apiserver/http/handlers.h"
#include "apiserver/server.h"

namespace apiserver {

namespace authorization = api::authorization;

bool is_review(const api::ResourceInfo& resource) {
    return resource.kind.ends_with("Review") &&
           (resource.group == "authorization.k8s.io" || resource.group == "authentication.k8s.io");
}

namespace {

template <class Spec>
base::Result<AccessRequest> asked(const Spec& spec) {
    AccessRequest out;
    if (spec.has_resourceattributes() == spec.has_nonresourceattributes())
        return api::bad_request(
            "spec: Invalid value: exactly one of nonResourceAttributes or resourceAttributes must "
            "be specified");
    if (spec.has_nonresourceattributes()) {
        out.is_resource = false;
        out.verb = spec.nonresourceattributes().verb();
        out.path = spec.nonresourceattributes().path();
        return out;
    }
    const auto& r = spec.resourceattributes();
    out.verb = r.verb();
    out.api_group = r.group();
    out.resource = r.resource();
    out.subresource = r.subresource();
    out.name = r.name();
    out.namespace_name = r.namespace_();
    return out;
}

template <class Review>
base::Status judge(ApiServer& server, const User& user, Review* review) {
    TRY(const AccessRequest request, asked(review->spec()));
    const auto decision = server.authorizer().authorize(user, request);
    review->mutable_status()->set_allowed(decision.allowed);
    if (!decision.reason.empty()) review->mutable_status()->set_reason(decision.reason);
    return {};
}

template <class Spec>
User user_of(const Spec& spec) {
    User out{spec.user(), spec.uid(), {}};
    for (const auto& g : spec.groups())
        out.groups.push_back(g);
    return out;
}

void rules_review(ApiServer& server, const User& user,
                  authorization::SelfSubjectRulesReview* review) {
    auto* status = review->mutable_status();
    auto add = [&](const api::rbac::PolicyRule& rule) {
        if (!rule.nonresourceurls().empty()) {
            auto* out = status->add_nonresourcerules();
            *out->mutable_verbs() = rule.verbs();
            *out->mutable_nonresourceurls() = rule.nonresourceurls();
            return;
        }
        auto* out = status->add_resourcerules();
        *out->mutable_verbs() = rule.verbs();
        *out->mutable_apigroups() = rule.apigroups();
        *out->mutable_resources() = rule.resources();
        *out->mutable_resourcenames() = rule.resourcenames();
    };
    if (user.in_group(kMastersGroup)) {
        api::rbac::PolicyRule all;
        all.add_verbs("*");
        all.add_apigroups("*");
        all.add_resources("*");
        add(all);
        api::rbac::PolicyRule paths;
        paths.add_verbs("*");
        paths.add_nonresourceurls("*");
        add(paths);
    }
    for (const auto& role : server.authorizer().roles_for(user, review->spec().namespace_())) {
        const auto* d = role->GetDescriptor();
        const auto& rules = d == api::rbac::ClusterRole::descriptor()
                                ? api::as<api::rbac::ClusterRole>(*role).rules()
                                : api::as<api::rbac::Role>(*role).rules();
        for (const auto& rule : rules)
            add(rule);
    }
    status->set_incomplete(false);
}

}  // namespace

base::Task<void> handle_review(ApiServer& server, std::shared_ptr<RequestContext> context) {
    const auto& resource = *context->resource;
    const api::TypeMeta type{resource.api_version(), std::string(resource.kind)};
    CO_TRY(std::string body, co_await context->exchange->read_body(kMaxBody));
    CO_TRY(auto decoded, decode_body(*context, body, resource.message_name, type));
    auto* message = decoded.object.get();
    if (resource.kind == "SelfSubjectAccessReview") {
        CO_TRY_VOID(judge(server, context->user,
                          static_cast<authorization::SelfSubjectAccessReview*>(message)));
    } else if (resource.kind == "SubjectAccessReview") {
        auto* review = static_cast<authorization::SubjectAccessReview*>(message);
        CO_TRY_VOID(judge(server, user_of(review->spec()), review));
    } else if (resource.kind == "LocalSubjectAccessReview") {
        auto* review = static_cast<authorization::LocalSubjectAccessReview*>(message);
        if (review->spec().resourceattributes().namespace_() != context->info.namespace_)
            co_return api::bad_request(
                "spec.resourceAttributes.namespace: Invalid value: must match the namespace of the "
                "request");
        CO_TRY_VOID(judge(server, user_of(review->spec()), review));
    } else if (resource.kind == "SelfSubjectRulesReview") {
        rules_review(server, context->user,
                     static_cast<authorization::SelfSubjectRulesReview*>(message));
    } else if (resource.kind == "SelfSubjectReview") {
        auto* info = static_cast<api::authentication::SelfSubjectReview*>(message)
                         ->mutable_status()
                         ->mutable_userinfo();
        info->set_username(context->user.name);
        if (!context->user.uid.empty()) info->set_uid(context->user.uid);
        for (const auto& g : context->user.groups)
            info->add_groups(g);
    } else {
        auto* review = static_cast<api::authentication::TokenReview*>(message);
        auto found = server.authenticate_token(review->spec().token());
        review->mutable_status()->set_authenticated(found.has_value());
        if (found) {
            review->mutable_status()->mutable_user()->set_username(found->name);
            if (!found->uid.empty()) review->mutable_status()->mutable_user()->set_uid(found->uid);
            for (const auto& g : found->groups)
                review->mutable_status()->mutable_user()->add_groups(g);
        } else {
            review->mutable_status()->set_error("invalid bearer token");
        }
    }
    respond_object(*context, 201, *message, type);
    co_return base::Status();
}

}  // namespace apiserver
