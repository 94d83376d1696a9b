#include "kvstore/core/lessor.h"

#include <gtest/gtest.h>

namespace kvstore {
namespace {

TEST(Lessor, OnlyAPrimaryExpiresAndAPromotionStartsTimeAnew) {
    Lessor lessor;
    lessor.grant(1, 10, 0);
    EXPECT_TRUE(lessor.take_expired(1'000'000, 10).empty());
    EXPECT_FALSE(lessor.renew(1, 5));
    lessor.promote(1'000'000);
    EXPECT_TRUE(lessor.take_expired(1'009'999, 10).empty());
    EXPECT_EQ(lessor.renew(1, 1'009'000), 10);
    EXPECT_EQ(lessor.remaining_seconds(1, 1'010'000), 9);
    EXPECT_EQ(lessor.take_expired(1'019'000, 10), std::vector<std::int64_t>{1});
    EXPECT_FALSE(lessor.renew(1, 1'019'001));  // its revocation is under way
    EXPECT_TRUE(lessor.take_expired(1'019'500, 10).empty());
    EXPECT_EQ(lessor.take_expired(1'019'000 + Lessor::kRetryMs, 10).size(), 1U);
    lessor.revoke(1);
    EXPECT_FALSE(lessor.next_deadline());
}

TEST(Lessor, ManyLeasesAreSpreadAfterAPromotion) {
    Lessor lessor;
    for (int i = 0; i < 5000; ++i)
        lessor.grant(i, 10, 0);
    lessor.promote(0);
    EXPECT_LE(lessor.take_expired(11'000, 100000).size(), 1001U);
    EXPECT_GE(lessor.take_expired(14'000, 100000).size(), 2000U);
}

}  // namespace
}  // namespace kvstore
