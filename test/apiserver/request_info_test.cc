#include "apiserver/http/request_info.h"

#include <gtest/gtest.h>

namespace apiserver {
namespace {

TEST(RequestInfo, ReadsWhatAPathAsksFor) {
    struct Case {
        const char* method;
        const char* target;
        const char* expected;  // verb group/version namespace resource/name/subresource
    };
    const Case kCases[] = {
        {"GET", "/api/v1/pods?limit=500", "list /v1  pods//"},
        {"GET", "/api/v1/namespaces/default/pods/a", "get /v1 default pods/a/"},
        {"GET", "/api/v1/namespaces/default/pods?watch=true", "watch /v1 default pods//"},
        {"GET", "/api/v1/watch/namespaces/default/pods/a", "watch /v1 default pods/a/"},
        {"POST", "/api/v1/namespaces/x/pods/a/eviction", "create /v1 x pods/a/eviction"},
        {"GET", "/api/v1/namespaces", "list /v1  namespaces//"},
        {"GET", "/api/v1/namespaces/x", "get /v1 x namespaces/x/"},
        {"PUT", "/api/v1/namespaces/x/finalize", "update /v1 x namespaces/x/finalize"},
        {"PATCH", "/apis/apps/v1/namespaces/d/deployments/w/scale",
         "patch apps/v1 d deployments/w/scale"},
        {"DELETE", "/apis/apps/v1/namespaces/d/deployments",
         "deletecollection apps/v1 d deployments//"},
        {"DELETE", "/api/v1/nodes/n%2D1", "delete /v1  nodes/n-1/"},
        {"GET", "/apis/apps/v1", "get /   //"},
        {"GET", "/healthz", "get /   //"},
    };
    for (const auto& c : kCases) {
        auto info = parse_request(c.method, c.target);
        ASSERT_TRUE(info) << c.target;
        const std::string got = info->verb + " " + info->api_group + "/" + info->api_version + " " +
                                info->namespace_ + " " + (info->is_resource ? "" : " ") +
                                info->resource + "/" + info->name + "/" + info->subresource;
        EXPECT_EQ(got, c.expected) << c.method << " " << c.target;
    }
    EXPECT_FALSE(parse_request("GET", "/api/v1/pods/%zz"));
}

}  // namespace
}  // namespace apiserver
