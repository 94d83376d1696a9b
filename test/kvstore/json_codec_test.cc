#include "kvstore/server/json_codec.h"

#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include "kvstore/proto/rpc.pb.h"

namespace kvstore::json {
namespace {

namespace pb = etcdserverpb;

TEST(JsonCodec, PathsAreMethods) {
    for (const auto* path : {"/v3/kv/range", "/v3/watch", "/v3/lock/lock", "/v3/election/observe",
                             "/v3/auth/role/revoke", "/v3/kv/lease/leases"})
        EXPECT_NE(method_of(path), nullptr) << path;
    EXPECT_EQ(method_of("/v3/kv/range")->full_name(), "etcdserverpb.KV.Range");
    EXPECT_TRUE(method_of("/v3/watch")->server_streaming());
    for (const auto* path : {"", "/", "/v3", "/v3/kv", "/v3/kv/ranges", "/version"})
        EXPECT_EQ(method_of(path), nullptr) << path;
}

TEST(JsonCodec, NumbersOf64BitsAreStringsAndNamesTheOriginalOnes) {
    auto bytes = to_message(*pb::RangeRequest::descriptor(),
                            R"({"key":"Zm9v","range_end":"Zm9w","limit":"3","keysOnly":true})");
    ASSERT_TRUE(bytes) << bytes.error().message;
    pb::RangeRequest request;
    ASSERT_TRUE(request.ParseFromString(*bytes));
    EXPECT_EQ(request.key(), "foo");
    EXPECT_EQ(request.range_end(), "fop");
    EXPECT_EQ(request.limit(), 3);
    EXPECT_TRUE(request.keys_only());
    pb::RangeResponse response;
    response.mutable_header()->set_revision(5);
    auto* kv = response.add_kvs();
    kv->set_key("foo");
    kv->set_mod_revision(4);
    EXPECT_EQ(*from_message(*pb::RangeResponse::descriptor(), response.SerializeAsString()),
              R"({"header":{"revision":"5"},"kvs":[{"key":"Zm9v","mod_revision":"4"}]})");
}

TEST(JsonCodec, WhatIsNoRequestIsRefused) {
    const auto& type = *pb::RangeRequest::descriptor();
    EXPECT_EQ(*to_message(type, ""), "");
    EXPECT_EQ(*to_message(type, " {} \n"), "");
    EXPECT_EQ(*to_message(type, R"({"of_a_newer_client":1})"), "");
    for (const auto* text : {"{", "[]", "{\"key\":1.5}", "{\"limit\":{}}", "nonsense", "\xff\xfe"})
        EXPECT_FALSE(to_message(type, text)) << text;
    EXPECT_FALSE(from_message(type, "\xff\xff\xff"));
}

TEST(JsonCodec, ObjectsComeCutAnywhere) {
    const std::string text = R"( {"a":"}{\"["} {"b":[{}]})";
    for (std::size_t cut = 0; cut <= text.size(); ++cut) {
        std::vector<std::string> got;
        std::string pending;
        for (const auto& piece : {text.substr(0, cut), text.substr(cut)}) {
            pending += piece;
            for (auto o = take_object(&pending); o && *o; o = take_object(&pending))
                got.push_back(**o);
        }
        EXPECT_EQ(got, (std::vector<std::string>{R"({"a":"}{\"["})", R"({"b":[{}]})"})) << cut;
        EXPECT_EQ(pending, "");
    }
    std::string bad = "x{}";
    EXPECT_FALSE(take_object(&bad));
    std::string escape = "{\"\\";  // ends inside an escape
    EXPECT_FALSE(*take_object(&escape));
}

TEST(JsonCodec, ErrorsHaveEtcdsShape) {
    const base::Error error(base::Code::kPermissionDenied, "etcdserver: permission denied");
    EXPECT_EQ(http_status(error.code), 403);
    EXPECT_EQ(error_body(error, false), R"({"error":"etcdserver: permission denied","code":7,)"
                                        R"("message":"etcdserver: permission denied"})");
    EXPECT_EQ(
        error_body(error, true),
        R"({"error":{"grpc_code":7,"http_code":403,"message":"etcdserver: permission denied"}})");
}

}  // namespace
}  // namespace kvstore::json
