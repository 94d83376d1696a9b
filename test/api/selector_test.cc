#include "api/selector.h"

#include <gtest/gtest.h>

#include "api/names.h"
#include "api/proto/meta_v1.pb.h"
#include "api/v1.h"

namespace {

using Map = std::map<std::string, std::string>;

bool matches(const char* selector, const Map& labels) {
    auto s = api::LabelSelector::parse(selector);
    EXPECT_TRUE(s.has_value()) << selector << ": " << (s ? "" : s.error().message);
    return s && s->matches(labels);
}

TEST(LabelSelector, Matches) {
    EXPECT_TRUE(matches("", {{"a", "b"}}));
    EXPECT_TRUE(matches("a=b", {{"a", "b"}}));
    EXPECT_TRUE(matches("a == b", {{"a", "b"}}));
    EXPECT_FALSE(matches("a=b", {}));
    EXPECT_TRUE(matches("a!=b", {}));
    EXPECT_TRUE(matches("a!=b", {{"a", "c"}}));
    EXPECT_FALSE(matches("a!=b", {{"a", "b"}}));
    EXPECT_TRUE(matches("a in (b, c)", {{"a", "c"}}));
    EXPECT_FALSE(matches("a in (b,c)", {{"a", "d"}}));
    EXPECT_TRUE(matches("a notin (b,c)", {}));
    EXPECT_TRUE(matches("a", {{"a", ""}}));
    EXPECT_FALSE(matches("!a", {{"a", ""}}));
    EXPECT_TRUE(matches("!a,b=1", {{"b", "1"}}));
    EXPECT_TRUE(matches("a=", {{"a", ""}}));
    EXPECT_TRUE(matches("a in (,b)", {{"a", ""}}));
    EXPECT_TRUE(matches("a>5", {{"a", "6"}}));
    EXPECT_FALSE(matches("a<5", {{"a", "6"}}));
    EXPECT_FALSE(matches("a<5", {{"a", "x"}}));
    EXPECT_TRUE(matches("in in (in),notin notin (x)", {{"in", "in"}}));
    EXPECT_TRUE(
        matches("example.com/app=web,tier in (x)", {{"example.com/app", "web"}, {"tier", "x"}}));
    EXPECT_FALSE(api::LabelSelector::nothing().matches(Map{}));
    EXPECT_FALSE(api::LabelSelector::nothing().empty());
}

TEST(LabelSelector, TextIsSorted) {
    EXPECT_EQ(api::LabelSelector::parse("c notin (z,y), b , !a, d!=e").value().to_string(),
              "!a,b,c notin (y,z),d!=e");
}

TEST(LabelSelector, ErrorsAreUpstreams) {
    const std::pair<const char*, const char*> kCases[] = {
        {"a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"},
        {"a in b", "unable to parse requirement: found 'b' expected: '('"},
        {"a in (b", "unable to parse requirement: found '', expected: ',' or ')'"},
        {"a,", "found '', expected: identifier after ','"},
        {"=a", "found '=', expected: !, identifier, or 'end of string'"},
        {"a=b c", "found 'c', expected: ',' or 'end of string'"},
        {"!", "unable to parse requirement: found '', expected: identifier"},
        {"a=(", "unable to parse requirement: found '(', expected: identifier"},
        {"a in ()",
         "unable to parse requirement: values: Invalid value: []: for 'in', 'notin' operators, "
         "values set "
         "can't be empty"},
        {"a>b",
         "unable to parse requirement: values[0]: Invalid value: \"b\": for 'Gt', 'Lt' operators, "
         "the value "
         "must be an integer"},
        {"a=-b",
         "unable to parse requirement: values[0][a]: Invalid value: \"-b\": a valid label must be "
         "an empty "
         "string or consist of alphanumeric characters, '-', '_' or '.', and must start and end "
         "with an "
         "alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for "
         "validation is "
         "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"},
    };
    for (const auto& [text, error] : kCases) {
        auto s = api::LabelSelector::parse(text);
        ASSERT_FALSE(s.has_value()) << text;
        EXPECT_EQ(s.error().message, error) << text;
    }
    EXPECT_FALSE(api::LabelSelector::parse("a/b/c=d").has_value());
}

TEST(LabelSelector, ComesFromTheApisForm) {
    api::meta::LabelSelector in;
    (*in.mutable_matchlabels())["app"] = "web";
    auto* e = in.add_matchexpressions();
    e->set_key("tier");
    e->set_operator_("NotIn");
    e->add_values("b");
    e->add_values("a");
    auto s = api::LabelSelector::from(in);
    ASSERT_TRUE(s.has_value());
    EXPECT_EQ(s->to_string(), "app=web,tier notin (a,b)");
    EXPECT_TRUE(s->matches(Map{{"app", "web"}}));
    EXPECT_FALSE(s->matches(Map{{"app", "web"}, {"tier", "a"}}));
    e->set_operator_("Nope");
    EXPECT_EQ(api::LabelSelector::from(in).error().message,
              "\"Nope\" is not a valid label selector operator");
    EXPECT_TRUE(api::LabelSelector::from({}).value().empty());
    api::Labels set;
    set["x"] = "y";
    EXPECT_TRUE(api::LabelSelector::from_set(set).matches(Map{{"x", "y"}, {"z", ""}}));
}

TEST(FieldSelector, ParsesAndMatches) {
    auto s =
        api::FieldSelector::parse("metadata.name=a\\,b,spec.nodeName!=n1,status.phase==Running");
    ASSERT_TRUE(s.has_value());
    Map fields{{"metadata.name", "a,b"}, {"status.phase", "Running"}};
    const auto look_up = [&](std::string_view f) { return fields[std::string(f)]; };
    EXPECT_TRUE(s->matches(look_up));
    fields["spec.nodeName"] = "n1";
    EXPECT_FALSE(s->matches(look_up));
    EXPECT_EQ(*s->required("metadata.name"), "a,b");
    EXPECT_EQ(s->required("spec.nodeName"), nullptr);
    EXPECT_EQ(s->to_string(), "metadata.name=a\\,b,spec.nodeName!=n1,status.phase=Running");
    EXPECT_TRUE(api::FieldSelector::parse("")->empty());
    EXPECT_TRUE(
        api::FieldSelector::parse("a=")->matches([](std::string_view) { return std::string(); }));
    EXPECT_EQ(api::FieldSelector::parse("a=b,c").error().message,
              "invalid selector: 'a=b,c'; can't understand 'c'");
    EXPECT_EQ(api::FieldSelector::parse("a=b=c").error().message,
              "invalid field selector: unescaped character in value: =");
    EXPECT_EQ(api::FieldSelector::parse("a=\\x").error().message,
              "invalid field selector: invalid escape sequence: \\x");
}

TEST(Names, Rules) {
    EXPECT_EQ(api::bad_dns1123_label("a-1"), "");
    EXPECT_EQ(api::bad_dns1123_label("a.b"), "must not contain dots");
    EXPECT_EQ(api::bad_dns1123_label("A"),
              "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or "
              "'-', and must start and "
              "end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for "
              "validation is "
              "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')");
    EXPECT_EQ(api::bad_dns1123_label(std::string(64, 'a')), "must be no more than 63 characters");
    EXPECT_EQ(api::bad_dns1123_subdomain("a.b-c.d"), "");
    EXPECT_EQ(api::bad_dns1123_subdomain("a..b"),
              "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, "
              "'-' or '.', and must "
              "start and end with an alphanumeric character (e.g. 'example.com', regex used for "
              "validation is "
              "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')");
    EXPECT_NE(api::bad_dns1123_subdomain(""), "");
    EXPECT_EQ(api::bad_dns1035_label("web"), "");
    EXPECT_NE(api::bad_dns1035_label("1web"), "");
    EXPECT_NE(api::bad_dns1035_label(""), "");
    EXPECT_EQ(api::bad_qualified_name("example.com/My_Name"), "");
    EXPECT_EQ(api::bad_qualified_name("/x"), "prefix part must be non-empty");
    EXPECT_NE(api::bad_qualified_name("a/b/c").find("with an optional DNS subdomain prefix"),
              std::string::npos);
    EXPECT_NE(api::bad_qualified_name("x/").find("name part must be non-empty"), std::string::npos);
    EXPECT_EQ(api::bad_label_value(""), "");
    EXPECT_NE(api::bad_label_value("a b"), "");
    EXPECT_EQ(api::bad_path_segment("system:node"), "");
    EXPECT_EQ(api::bad_path_segment(".."), "may not be '..'");
    EXPECT_EQ(api::bad_path_segment("a/b%"), "may not contain '/'; may not contain '%'");
    EXPECT_EQ(api::bad_env_name("my var"), "");
    EXPECT_NE(api::bad_env_name("a=b"), "");
    EXPECT_EQ(api::bad_config_map_key("a.b_C-1"), "");
    EXPECT_EQ(api::bad_config_map_key(".."), "must not be '..'");
    EXPECT_NE(api::bad_config_map_key("a/b"), "");
    EXPECT_EQ(api::bad_port_name("http"), "");
    EXPECT_EQ(api::bad_port_name("80"), "must contain at least one letter (a-z)");
    EXPECT_EQ(api::bad_port_number(0), "must be between 1 and 65535, inclusive");
    EXPECT_EQ(api::bad_port_number(65535), "");
}

}  // namespace
