#include "base/result.h"

#include <gtest/gtest.h>

#include <memory>

namespace base {
namespace {

Result<int> half(int n) {
    if (n % 2 != 0) return invalid_argument("odd");
    return n / 2;
}
Result<std::unique_ptr<int>> quarter(int n) {
    TRY(int h, half(n));
    TRY(int q, half(h));
    return std::make_unique<int>(q);
}

TEST(Result, TryPassesValuesAndErrorsOn) {
    EXPECT_EQ(*quarter(8).value(), 2);
    EXPECT_EQ(quarter(6).error().message, "odd");
    EXPECT_EQ(quarter(6).error().code, Code::kInvalidArgument);
}

TEST(Result, ContextKeepsCodeAndDetail) {
    auto detail = std::make_shared<ErrorDetail>();
    Error e(Code::kNotFound, "no key", detail);
    auto wrapped = e.with_context("reading x");
    EXPECT_EQ(wrapped.to_string(), "NotFound: reading x: no key");
    EXPECT_EQ(wrapped.detail, detail);
}

TEST(ResultDeathTest, ReadingTheValueOfAnErrorAborts) {
    Result<int> r = not_found("nothing");
    EXPECT_DEATH((void)r.value(), "nothing");
}

}  // namespace
}  // namespace base
