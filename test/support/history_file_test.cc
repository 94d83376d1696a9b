#include "test/support/history_file.h"

#include <gtest/gtest.h>

namespace linearizable {
namespace {

TEST(HistoryFile, EveryKindOfOperationIsRead) {
    const auto history = parse_history(R"(
{"process":1,"key":"a","op":"put","value":"x","invoked_us":10,"returned_us":20,"revision":2}
{"process":2,"key":"a","op":"get","invoked_us":30,"returned_us":40,"found":true,"seen_value":"x","seen_mod_revision":2,"revision":2}
{"process":2,"key":"a","op":"cas","expected":2,"value":"y","invoked_us":50,"returned_us":60,"succeeded":true,"revision":3}
{"process":3,"key":"a","op":"cas","expected":3,"invoked_us":70}
{"process":1,"key":"a","op":"delete","invoked_us":80,"returned_us":90,"succeeded":false,"revision":4}
{"process":1,"key":"a","op":"get","invoked_us":91,"returned_us":92,"found":false}
)");
    ASSERT_TRUE(history.has_value()) << history.error().message;
    ASSERT_EQ(history->size(), 6u);
    EXPECT_EQ(to_string((*history)[0]), "[10 .. 20] process 1: put a = x -> at revision 2");
    EXPECT_EQ(to_string((*history)[1]), "[30 .. 40] process 2: get a -> x (of 2) at revision 2");
    EXPECT_EQ(to_string((*history)[2]),
              "[50 .. 60] process 2: cas a if mod revision 2 = y -> yes at revision 3");
    EXPECT_EQ(to_string((*history)[3]), "[70 .. ?] process 3: cas a if mod revision 3 -> unknown");
    EXPECT_EQ(to_string((*history)[4]), "[80 .. 90] process 1: delete a -> no at revision 4");
    // The unknown cas deleted it.
    EXPECT_EQ(check(*history).verdict, Verdict::kLinearizable);
    EXPECT_EQ(check_revisions(*history), std::nullopt);
}

TEST(HistoryFile, WhatIsWrongIsNamed) {
    const auto error = [](std::string_view text) {
        const auto history = parse_history(text);
        return history ? std::string() : history.error().message;
    };
    EXPECT_EQ(error("{"), "line 1 is not a JSON object");
    EXPECT_EQ(error("\n{\"key\":\"a\"}"), "line 2: process: is missing");
    EXPECT_EQ(error(R"({"process":1,"key":"a","op":"swap","invoked_us":1})"),
              "line 1: op: 'swap' is none of get, put, delete, cas");
    EXPECT_EQ(error(R"({"process":1,"key":"a","op":"put","invoked_us":1})"),
              "line 1: value: is missing");
    EXPECT_EQ(error(R"({"process":1,"key":"a","op":"get","invoked_us":"1"})"),
              "line 1: invoked_us: not a whole number");
    EXPECT_EQ(error(R"({"process":1,"key":"a","op":"get","invoked_us":2,"returned_us":1})"),
              "line 1: returned_us: is before invoked_us");
    EXPECT_EQ(error(R"({"process":1,"key":"a","op":"get","invoked_us":2,"returned_us":3})"),
              "line 1: found: is missing");
}

}  // namespace
}  // namespace linearizable
