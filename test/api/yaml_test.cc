#include "api/codec/yaml.h"

#include <gtest/gtest.h>

#include "api/codec/json.h"

namespace {

struct Case {
    const char* yaml;
    const char* json;
};

TEST(Yaml, ScalarsAreYaml11WithoutYAndN) {
    const Case kCases[] = {
        {"a: true", R"({"a":true})"},
        {"a: yes\nb: Off\nc: y\nd: N", R"({"a":true,"b":false,"c":"y","d":"N"})"},
        {"a: \"true\"\nb: '1'", R"({"a":"true","b":"1"})"},
        {"a:\nb: ~\nc: null\nd: Null\ne: ''", R"({"a":null,"b":null,"c":null,"d":null,"e":""})"},
        {"a: 0644\nb: 0x1F\nc: 0b11\nd: 1_000\ne: -5\nf: +7\ng: 0o17",
         R"({"a":420,"b":31,"c":3,"d":1000,"e":-5,"f":7,"g":15})"},
        {"a: 1.5\nb: 1e3\nc: .5\nd: 09\ne: 1.\nf: 1.2.3\ng: 1e",
         R"({"a":1.5,"b":1000,"c":0.5,"d":9,"e":1,"f":"1.2.3","g":"1e"})"},
        {"a: 18446744073709551615\nb: 9223372036854775807",
         R"({"a":18446744073709551615,"b":9223372036854775807})"},
        {"a: 2024-01-01\nb: 12:30:45\nc: 100m\nd: -x",
         R"({"a":"2024-01-01","b":"12:30:45","c":"100m","d":"-x"})"},
        {"a: !!str 12\nb: !!binary aGk=", R"({"a":"12","b":"hi"})"},
        {"1: a\ntrue: b\n0x10: c\n1.5: d", R"({"1":"a","true":"b","16":"c","1.5":"d"})"},
        {"- a\n- [b, {c: d}]\n- |\n  x\n  y\n- >\n  p\n  q",
         R"(["a",["b",{"c":"d"}],"x\ny\n","p q"])"},
        {"", "null"},
        {"# nothing\n", "null"},
        {"{\"a\": [1, 2.0, null]}", R"({"a":[1,2,null]})"},
        {"a: 1\na: 2", R"({"a":2})"},
    };
    for (const auto& c : kCases) {
        auto value = api::parse_yaml(c.yaml);
        ASSERT_TRUE(value.has_value()) << c.yaml << ": " << value.error().message;
        EXPECT_EQ(api::json_text(*value), c.json) << c.yaml;
    }
}

TEST(Yaml, AnchorsAndMergeKeys) {
    auto value = api::parse_yaml(
        "base: &b {x: 1, y: 2}\nover:\n  <<: *b\n  y: 3\nlist:\n  <<: [*b, {z: 4}]\nsame: "
        "*b\nquoted: {'<<': 1}");
    ASSERT_TRUE(value.has_value()) << value.error().message;
    EXPECT_EQ(
        api::json_text(*value),
        R"({"base":{"x":1,"y":2},"over":{"y":3,"x":1},"list":{"x":1,"y":2,"z":4},"same":{"x":1,"y":2},"quoted":{"<<":1}})");
}

TEST(Yaml, ManyDocuments) {
    auto all = api::parse_yaml_documents("a: 1\n---\n---\nb: 2\n---\n# c\n");
    ASSERT_TRUE(all.has_value());
    ASSERT_EQ(all->size(), 2U);
    EXPECT_EQ(api::json_text((*all)[1]), R"({"b":2})");
    EXPECT_EQ(api::json_text(api::parse_yaml("a: 1\n---\nb: 2\n").value()), R"({"a":1})");
}

TEST(Yaml, RefusesWhatIsNone) {
    for (const char* text : {"a: b: c", "{", "[1, 2", "a: *unknown", "a:\n\t- b", "? [a]\n: b",
                             "a: .inf", "x: &x {y: *x}", "<<: 1", "\"unterminated"}) {
        auto value = api::parse_yaml(text);
        EXPECT_FALSE(value.has_value())
            << text << " gave " << (value ? api::json_text(*value) : "");
    }
    EXPECT_EQ(api::parse_yaml("a: 1\nb: c: d\n").error().message.substr(0, 45),
              "error converting YAML to JSON: yaml: line 2: ");
    EXPECT_FALSE(api::parse_yaml(std::string(5000, '[')).has_value());
    std::string deep;
    for (int i = 0; i < 3000; ++i)
        deep += std::string(static_cast<std::size_t>(i), ' ') + "a:\n";
    EXPECT_FALSE(api::parse_yaml(deep).has_value());
}

TEST(Yaml, AliasesDoNotBlowUp) {
    std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n";
    for (int i = 1; i < 9; ++i) {
        const std::string last = "*a" + std::to_string(i - 1);
        bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + last;
        for (int k = 0; k < 8; ++k)
            bomb += ", " + last;
        bomb += "]\n";
    }
    const auto value = api::parse_yaml(bomb);
    ASSERT_FALSE(value.has_value());
    EXPECT_NE(value.error().message.find("excessive aliasing"), std::string::npos);
}

}  // namespace
