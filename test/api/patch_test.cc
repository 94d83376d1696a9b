#include "api/patch/patch.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <fstream>

#include "api/codec/json.h"
#include "api/proto/core_v1_pod.pb.h"
#include "api/status.h"

namespace {

namespace json = boost::json;

base::Result<json::value> apply(const std::string& kind, const json::value& document,
                                const json::value& patch) {
    if (kind == "json") return api::json_patch(document, patch);
    if (kind == "merge") return api::merge_patch(document, patch);
    const auto* type = google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(
        "k8s.io.api." + kind);
    EXPECT_NE(type, nullptr) << kind;
    return api::strategic_merge_patch(document, patch, type);
}

int run_file(const std::string& name) {
    std::ifstream in(std::string(SOURCE_ROOT) + "/test/data/patch/" + name);
    std::string line;
    int cases = 0;
    while (std::getline(in, line)) {
        if (!line.starts_with("== ")) continue;
        ++cases;
        SCOPED_TRACE(line);
        const std::string kind = line.substr(3, line.find(':') - 3);
        std::string document;
        std::string patch;
        std::string wanted;
        std::getline(in, document);
        std::getline(in, patch);
        std::getline(in, wanted);
        const auto result = apply(kind, json::parse(document), json::parse(patch));
        if (wanted.starts_with("! ")) {
            EXPECT_FALSE(result.has_value()) << "gave " << (result ? api::json_text(*result) : "");
            if (!result) {
                EXPECT_EQ(result.error().message.substr(0, wanted.size() - 2), wanted.substr(2));
                EXPECT_TRUE(api::http_status(result.error()) == 400 ||
                            api::http_status(result.error()) == 422);
            }
        } else {
            EXPECT_TRUE(result.has_value()) << result.error().message;
            // Keys have no order, elements have.
            if (!result) continue;
            EXPECT_EQ(*result, json::parse(wanted)) << api::json_text(*result);
        }
    }
    return cases;
}

TEST(Patch, JsonAndMerge) {
    EXPECT_GT(run_file("json_merge.txt"), 10);
}
TEST(Patch, Strategic) {
    EXPECT_GT(run_file("strategic.txt"), 20);
}

// As many pairs of equal lists as these have would outlast the test's limit.
TEST(Patch, LongListsAreNotComparedPairByPair) {
    constexpr int kMany = 400'000;
    json::array many;
    for (int i = 0; i < kMany; ++i)
        many.push_back(json::string("finalizer-" + std::to_string(i)));
    json::object meta{{"finalizers", many}};
    json::object pod{{"metadata", meta}};
    auto merged = api::strategic_merge_patch(pod, pod, api::core::Pod::descriptor());
    ASSERT_TRUE(merged.has_value());
    EXPECT_EQ(merged->at("metadata").at("finalizers").as_array().size(), std::size_t{kMany});
}

TEST(Patch, CopiesAreBounded) {
    json::value document = json::parse(R"({"a":["xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"]})");
    json::array operations;
    for (int i = 0; i < 40; ++i)
        operations.push_back(json::parse(R"({"op":"copy","from":"/a","path":"/a/-"})"));
    auto result = api::json_patch(document, operations);
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(api::http_status(result.error()), 413);
}

}  // namespace
