#include "api/defaults.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <fstream>

#include "api/codec/json.h"
#include "api/patch/patch.h"
#include "test/api/all_messages.h"

namespace api_test {
namespace {

namespace json = boost::json;

// What the defaults add to an object, as a merge patch: only what is new or other than before.
json::value difference(const json::value& before, const json::value& after) {
    if (!before.is_object() || !after.is_object()) return after;
    json::object out;
    for (const auto& [key, value] : after.get_object()) {
        const auto* old = before.get_object().if_contains(key);
        if (old != nullptr && *old == value) continue;
        const auto delta = old == nullptr ? value : difference(*old, value);
        out.insert_or_assign(key, delta);
    }
    for (const auto& [key, value] : before.get_object())
        if (!after.get_object().contains(key)) out.insert_or_assign(key, nullptr);
    return out;
}

TEST(Defaults, AreUpstreams) {
    std::ifstream in(std::string(SOURCE_ROOT) + "/test/data/defaults.txt");
    std::string line;
    int cases = 0;
    while (std::getline(in, line)) {
        if (!line.starts_with("== ")) continue;
        SCOPED_TRACE(line);
        const std::string type = line.substr(3, line.find(':') - 3);
        std::string object;
        std::string wanted;
        std::getline(in, object);
        std::getline(in, wanted);
        ++cases;
        const auto* d = google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(
            type.starts_with("k8s.") ? type : "k8s.io.api." + type);
        ASSERT_NE(d, nullptr);
        auto m = make(d);
        api::JsonProblems problems;
        const auto decoded = api::from_json(object, m.get(), nullptr, &problems);
        ASSERT_TRUE(decoded.has_value()) << decoded.error().message;
        EXPECT_TRUE(problems.empty()) << problems[0];
        const auto before = api::to_value(*m);
        api::set_defaults(m.get());
        const auto after = api::to_value(*m);
        EXPECT_EQ(difference(before, after), json::parse(wanted))
            << api::json_text(difference(before, after));
        api::set_defaults(m.get());
        EXPECT_EQ(api::to_value(*m), after) << "not idempotent";
        // What the defaults made is one and the same in JSON and in Protobuf.
        auto back = make(d);
        ASSERT_TRUE(api::from_value(after, back.get()).has_value());
        EXPECT_EQ(back->SerializeAsString().size(), m->SerializeAsString().size());
    }
    EXPECT_GT(cases, 30);
}

TEST(Defaults, EveryTypeCanBeDefaulted) {
    for (const auto* d : all_messages()) {
        SCOPED_TRACE(d->full_name());
        auto m = make(d);
        api::set_defaults(m.get());
        fill(m.get(), 4);
        api::set_defaults(m.get());
        const auto once = api::to_json(*m);
        api::set_defaults(m.get());
        EXPECT_EQ(api::to_json(*m), once);
    }
}

}  // namespace
}  // namespace api_test
