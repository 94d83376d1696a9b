#include "api/table.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <fstream>

#include "api/codec/json.h"
#include "api/proto/core_v1_pod.pb.h"
#include "test/api/all_messages.h"

namespace api_test {
namespace {

namespace json = boost::json;

constexpr std::chrono::system_clock::time_point kNow{
    std::chrono::seconds(1'700'000'000)};  // 2023-11-14T22:13:20Z

api::TableOptions options() {
    api::TableOptions out;
    out.now = kNow;
    return out;
}

json::object table(const api::ResourceInfo& resource, std::vector<api::ObjectPtr> objects,
                   const api::TableOptions& o = options()) {
    const auto text = api::table_json(resource, objects, R"({"resourceVersion":"5"})", o);
    boost::system::error_code ec;
    json::parse_options parsing;
    parsing.max_depth = 512;
    auto value = json::parse(text, ec, {}, parsing);
    EXPECT_FALSE(ec) << text;
    return value.is_object() ? value.get_object() : json::object();
}

TEST(Table, CellsAreUpstreams) {
    std::ifstream in(std::string(SOURCE_ROOT) + "/test/data/table.txt");
    std::string line;
    int cases = 0;
    while (std::getline(in, line)) {
        if (!line.starts_with("== ")) continue;
        SCOPED_TRACE(line);
        const std::string type = line.substr(3, line.find(':') - 3);
        std::string object;
        std::string cells;
        std::getline(in, object);
        std::getline(in, cells);
        const auto space = type.find(' ');
        const auto* resource = api::find_kind(type.substr(0, space), type.substr(space + 1));
        ASSERT_NE(resource, nullptr);
        std::shared_ptr<Message> m(resource->prototype().New());
        api::JsonProblems problems;
        auto decoded = api::from_json(object, m.get(), nullptr, &problems);
        ASSERT_TRUE(decoded.has_value()) << decoded.error().message;
        EXPECT_TRUE(problems.empty()) << problems[0];
        const auto t = table(*resource, {m});
        EXPECT_EQ(t.at("rows").at(0).at("cells"), json::parse(cells))
            << json::serialize(t.at("rows").at(0).at("cells"));
        ++cases;
    }
    EXPECT_GT(cases, 30);
}

TEST(Table, EveryKindHasAsManyCellsAsColumns) {
    for (const auto& resource : api::all_resources()) {
        SCOPED_TRACE(std::string(resource.api_version()) + " " + std::string(resource.kind));
        const auto* d = resource.prototype().GetDescriptor();
        if (!api::has_meta(d)) continue;
        std::shared_ptr<Message> full(resource.prototype().New());
        fill(full.get(), 5);
        std::shared_ptr<Message> empty(resource.prototype().New());
        const auto t = table(resource, {full, empty});
        const auto columns = t.at("columnDefinitions").as_array();
        EXPECT_GE(columns.size(), 2U);
        for (const auto& row : t.at("rows").as_array())
            EXPECT_EQ(row.at("cells").as_array().size(), columns.size())
                << json::serialize(row.at("cells"));
    }
}

TEST(Table, ObjectsColumnsAndVersion) {
    const auto& resource = api::resource_of<api::core::Pod>();
    auto pod = std::make_shared<api::core::Pod>();
    pod->mutable_metadata()->set_name("a");
    auto o = options();
    auto t = table(resource, {pod}, o);
    EXPECT_EQ(t.at("kind"), "Table");
    EXPECT_EQ(t.at("apiVersion"), "meta.k8s.io/v1");
    EXPECT_EQ(t.at("metadata").at("resourceVersion"), "5");
    EXPECT_EQ(t.at("columnDefinitions").at(0).at("format"), "name");
    EXPECT_EQ(
        t.at("rows").at(0).at("object"),
        json::parse(
            R"({"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":"a"}})"));
    o.include_object = "Object";
    o.version = "v1beta1";
    t = table(resource, {pod}, o);
    EXPECT_EQ(t.at("apiVersion"), "meta.k8s.io/v1beta1");
    EXPECT_EQ(t.at("rows").at(0).at("object").at("kind"), "Pod");
    o.include_object = "None";
    o.without_columns = true;
    t = table(resource, {pod, pod}, o);
    EXPECT_TRUE(t.at("rows").at(1).at("object").is_null());
    EXPECT_TRUE(t.at("columnDefinitions").is_null());
}

TEST(Table, DurationsAreHuman) {
    const std::pair<std::int64_t, const char*> kCases[] = {
        {-5, "<invalid>"},      {-1, "0s"},           {0, "0s"},
        {119, "119s"},          {120, "2m"},          {312, "5m12s"},
        {599, "9m59s"},         {600, "10m"},         {10'799, "179m"},
        {10'800, "3h"},         {11'000, "3h3m"},     {28'800, "8h"},
        {172'799, "47h"},       {172'800, "2d"},      {273'600, "3d4h"},
        {691'200, "8d"},        {63'071'999, "729d"}, {63'072'000, "2y"},
        {73'180'800, "2y117d"}, {252'288'000, "8y"},
    };
    for (const auto& [seconds, text] : kCases)
        EXPECT_EQ(api::human_duration(std::chrono::seconds(seconds)), text) << seconds;
}

}  // namespace
}  // namespace api_test
