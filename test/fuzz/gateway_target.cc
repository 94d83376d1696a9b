// Text from HTTP clients of the store: JSON as messages of every method, and back; tokens.

#include <google/protobuf/descriptor.h>
#include <openssl/evp.h>

#include <filesystem>

#include "base/check.h"
#include "base/file.h"
#include "base/random.h"
#include "kvstore/server/json_codec.h"
#include "kvstore/server/jwt.h"
#include "test/fuzz/target.h"

namespace fuzz {
namespace {

constexpr std::string_view kPaths[] = {
    "/v3/kv/range",        "/v3/kv/put",           "/v3/kv/txn",        "/v3/kv/deleterange",
    "/v3/watch",           "/v3/lease/grant",      "/v3/auth/user/add", "/v3/cluster/member/add",
    "/v3/auth/role/grant", "/v3/maintenance/alarm"};

std::shared_ptr<const kvstore::Jwt> jwt() {
    static const std::shared_ptr<const kvstore::Jwt> made = [] {
        const std::string file =
            std::filesystem::temp_directory_path() / ("fuzz-jwt-" + base::random_uuid());
        CHECK(base::write_file_atomic(file, "a secret of some length, for tests").has_value());
        auto out = kvstore::Jwt::open("priv-key=" + file + ",sign-method=HS256,ttl=5m");
        std::filesystem::remove(file);
        CHECK(out.has_value());
        return *out;
    }();
    return made;
}

}  // namespace

void run(std::string_view input) {
    Reader in(input);
    const std::uint8_t which = in.byte();
    if (which == 255) {
        const auto claims = jwt()->verify(in.rest(), 1000);
        if (claims) CHECK(claims->user == "alice", "a token that nobody signed");
        return;
    }
    const auto* method = kvstore::json::method_of(kPaths[which % std::size(kPaths)]);
    CHECK(method != nullptr);
    std::string pending(in.rest());
    for (;;) {
        const auto object = kvstore::json::take_object(&pending);
        if (!object || !*object) return;
        const auto message = kvstore::json::to_message(*method->input_type(), **object);
        if (!message) continue;
        // What was understood is told again, and understood alike.
        const auto text = kvstore::json::from_message(*method->input_type(), *message);
        CHECK(text.has_value());
        const auto again = kvstore::json::to_message(*method->input_type(), *text);
        CHECK(again && *again == *message);
    }
}

std::vector<std::string> seeds() {
    const std::string token = *jwt()->sign("alice", 3, 900);
    return {std::string(1, '\0') + R"({"key":"Zm9v","rangeEnd":"","limit":"5","sortOrder":1})",
            std::string(1, '\1') + R"({"key":"Zm9v","value":"YmFy","lease":7} {"key":"Zm9v"})",
            std::string(1, '\2') +
                R"({"compare":[{"key":"Zg==","target":"MOD","modRevision":"3","result":"EQUAL"}],)"
                R"("success":[{"requestPut":{"key":"Zg==","value":""}}],"failure":[]})",
            std::string(1, '\4') + R"({"createRequest":{"key":"Zm9v","filters":["NOPUT",1]}})",
            "\x08"
            R"({"name":"r","perm":{"permType":"READWRITE","key":"Zm9v"}})",
            "\xff" + token};
}

}  // namespace fuzz
