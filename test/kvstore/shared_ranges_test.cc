#include "kvstore/core/shared_ranges.h"

#include <gtest/gtest.h>

namespace kvstore {
namespace {

class SharedRangesTest : public testing::Test {
  protected:
    bool join(const std::string& question, RangeBody* to) {
        return ranges_.join(question, [to](RangeBody body) { *to = std::move(body); });
    }
    static RangeBody body(std::int64_t count) {
        return {{std::make_shared<const std::string>("piece")}, false, count};
    }

    SharedRanges ranges_;
};

TEST_F(SharedRangesTest, WhoAsksWhileItIsReadGetsTheSameBytes) {
    RangeBody first;
    RangeBody second;
    RangeBody other;
    EXPECT_FALSE(join("a", &first));
    EXPECT_TRUE(join("a", &second));
    EXPECT_FALSE(join("b", &other));
    ranges_.finish("a", body(7));
    EXPECT_EQ(first.count, 7);
    EXPECT_EQ(second.count, 7);
    EXPECT_EQ(other.count, 0);
    EXPECT_EQ(first.kvs[0], second.kvs[0]);
    EXPECT_EQ(first.kvs[0].use_count(), 2);
}

TEST_F(SharedRangesTest, WhoAsksLaterReadsAnew) {
    RangeBody out;
    EXPECT_FALSE(join("a", &out));
    ranges_.finish("a", body(7));
    EXPECT_FALSE(join("a", &out));
    ranges_.finish("a", body(8));
    EXPECT_EQ(out.count, 8);
}

TEST_F(SharedRangesTest, WhoIsAnsweredMayAskAgain) {
    RangeBody again;
    ranges_.join("a", [&](const RangeBody&) { EXPECT_FALSE(join("a", &again)); });
    ranges_.finish("a", body(7));
    EXPECT_EQ(again.count, 0);
    ranges_.finish("a", body(8));
    EXPECT_EQ(again.count, 8);
}

}  // namespace
}  // namespace kvstore
