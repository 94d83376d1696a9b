#include "api/status.h"

#include <gtest/gtest.h>

namespace {

using api::FieldError;

std::string json(const base::Error& e) {
    return api::to_json(api::to_status(e), {"v1", "Status"});
}

TEST(Status, IsWordedAsUpstream) {
    EXPECT_EQ(
        json(api::not_found("pods", "x")),
        R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"pods \"x\" not found",)"
        R"("reason":"NotFound","details":{"name":"x","kind":"pods"},"code":404})");
    EXPECT_EQ(
        json(api::not_found("deployments.apps", "x")),
        R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"deployments.apps \"x\" not found",)"
        R"("reason":"NotFound","details":{"name":"x","group":"apps","kind":"deployments"},"code":404})");
    EXPECT_EQ(api::already_exists("pods", "x").message, R"(pods "x" already exists)");
    EXPECT_EQ(
        api::conflict("pods", "x").message,
        R"(Operation cannot be fulfilled on pods "x": the object has been modified; please apply your changes to the latest version and try again)");
    EXPECT_EQ(api::conflict("pods", "x", "because").message,
              R"(Operation cannot be fulfilled on pods "x": because)");
    EXPECT_EQ(api::forbidden("pods", "x", "no").message, R"(pods "x" is forbidden: no)");
    EXPECT_EQ(api::forbidden("pods", "", "no").message, "pods is forbidden: no");
    EXPECT_EQ(api::expired(1, 5).message, "too old resource version: 1 (5)");
    EXPECT_EQ(api::method_not_supported("pods", "patch").message,
              R"(patch is not supported on resources of kind "pods")");
    EXPECT_EQ(api::not_acceptable({"a", "b"}).message,
              "only the following media types are accepted: a, b");
    EXPECT_EQ(api::internal("x").message, "Internal error occurred: x");
    EXPECT_EQ(api::to_status(api::too_many_requests("m", 10, "c")).details().causes(0).reason(),
              "DisruptionBudget");
}

TEST(Status, InvalidTellsEachField) {
    const api::TypeMeta pod{"v1", "Pod"};
    EXPECT_EQ(api::invalid(pod, "x", {FieldError::required("spec.containers", "")}).message,
              R"(Pod "x" is invalid: spec.containers: Required value)");
    const auto e = api::invalid(
        api::TypeMeta{"apps/v1", "Deployment"}, "x",
        {FieldError::invalid("a", "b\"c", "must not"),
         FieldError::invalid("n", -1, "must be positive"),
         FieldError::not_supported("p", "x", {"a", "b"}), FieldError::duplicate("d", "v"),
         FieldError::forbidden("f", "why"), FieldError::not_found("g", "v"),
         FieldError::too_long("l", 10), FieldError::too_many("m", 5, 3),
         FieldError::invalid_raw("r", "{}", "empty"), FieldError::duplicate("d", "v")});
    EXPECT_EQ(
        e.message,
        R"(Deployment.apps "x" is invalid: [a: Invalid value: "b\"c": must not, n: Invalid value: -1: must be positive, )"
        R"(p: Unsupported value: "x": supported values: "a", "b", d: Duplicate value: "v", f: Forbidden: why, g: Not found: "v", )"
        R"(l: Too long: may not be more than 10 bytes, m: Too many: 5: must have at most 3 items, r: Invalid value: {}: empty])");
    const auto s = api::to_status(e);
    EXPECT_EQ(s.code(), 422);
    EXPECT_EQ(s.details().causes(1).reason(), "FieldValueInvalid");
    EXPECT_EQ(s.details().causes(1).field(), "n");
    EXPECT_EQ(s.details().causes(1).message(), "Invalid value: -1: must be positive");
    EXPECT_EQ(s.details().kind(), "Deployment");
    EXPECT_EQ(s.details().group(), "apps");
}

TEST(Status, PlainErrorsBecomeOne) {
    EXPECT_EQ(api::http_status(base::invalid_argument("x")), 400);
    EXPECT_EQ(api::http_status(base::unavailable("x")), 503);
    EXPECT_EQ(api::http_status(base::deadline_exceeded("x")), 504);
    EXPECT_EQ(api::http_status(base::data_loss("x")), 500);
    EXPECT_EQ(api::to_status(base::internal_error("x")).message(), "Internal error occurred: x");
    EXPECT_EQ(api::to_status(base::not_found("x")).reason(), "NotFound");
}

TEST(Status, ComesBackAsTheErrorThatItWas) {
    for (const auto& e : {api::not_found("pods", "x"),
                          api::already_exists("pods", "x"),
                          api::conflict("pods", "x"),
                          api::bad_request("x"),
                          api::unauthorized(),
                          api::expired(1, 2),
                          api::gone("x"),
                          api::too_large_version(3, 2),
                          api::not_acceptable({}),
                          api::unsupported_media_type({}),
                          api::request_entity_too_large("x"),
                          api::too_many_requests("x", 1),
                          api::timeout("x"),
                          api::server_timeout("pods", "list", 2),
                          api::internal("x"),
                          api::service_unavailable("x"),
                          api::not_implemented("x"),
                          api::no_such_path(),
                          api::forbidden("pods", "x", "y"),
                          api::namespace_terminating("pods", "n"),
                          api::expired_continue(),
                          api::expired_reset(),
                          api::method_not_supported("pods", "get")}) {
        api::meta::Status wire;
        ASSERT_TRUE(api::from_json(json(e), &wire).has_value());
        const auto back = api::from_status(wire);
        EXPECT_EQ(back.code, e.code) << e.message;
        EXPECT_EQ(back.message, e.message);
        EXPECT_EQ(json(back), json(e));
        EXPECT_EQ(api::http_status(back), api::to_status(e).code());
    }
    EXPECT_TRUE(api::is_not_found(api::not_found("pods", "x")));
    EXPECT_TRUE(api::is_conflict(api::conflict("pods", "x")));
    EXPECT_FALSE(api::is_conflict(api::already_exists("pods", "x")));
    EXPECT_TRUE(api::is_expired(api::expired(1, 2)));
    EXPECT_EQ(api::reason_of(api::expired(1, 2)), "Expired");
    api::meta::Status strange;
    strange.set_code(418);
    EXPECT_EQ(api::from_status(strange).code, base::Code::kUnknown);
    EXPECT_EQ(api::from_status({}).code, base::Code::kInternal);
}

}  // namespace
