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

using Checkpoints = std::vector<Lessor::Checkpoint>;

TEST(Lessor, ALongLeaseThatIsNotRenewedIsCheckpointed) {
    Lessor lessor;
    lessor.set_checkpoint_interval(60'000);
    lessor.grant(1, 600, 0);
    lessor.grant(2, 60, 0);  // too short
    lessor.promote(0);
    EXPECT_EQ(lessor.take_checkpoints(59'999, 10), Checkpoints{});
    EXPECT_EQ(lessor.take_checkpoints(60'000, 10), (Checkpoints{{1, 540}}));
    EXPECT_EQ(lessor.take_checkpoints(60'000, 10), Checkpoints{});
    EXPECT_EQ(lessor.take_checkpoints(120'000, 10), (Checkpoints{{1, 480}}));
    // The last one is an interval before the end.
    EXPECT_EQ(lessor.take_checkpoints(539'000, 10).size(), 1U);
    EXPECT_EQ(lessor.take_checkpoints(599'000, 10).size(), 1U);
    EXPECT_EQ(lessor.take_checkpoints(10'000'000, 10), Checkpoints{});
    lessor.demote();
    EXPECT_EQ(lessor.take_checkpoints(20'000'000, 10), Checkpoints{});
}

TEST(Lessor, TheNextPrimaryGoesOnFromTheCheckpoint) {
    Lessor lessor;
    lessor.grant(1, 600, 0);
    lessor.grant(2, 600, 0, 30);  // as found after a restart
    lessor.checkpoint(1, 200);
    lessor.checkpoint(7, 200);  // unknown: nothing
    lessor.promote(1'000'000);
    EXPECT_EQ(lessor.remaining_seconds(1, 1'000'000), 200);
    EXPECT_EQ(lessor.remaining_seconds(2, 1'000'000), 31);  // spread
    EXPECT_EQ(lessor.take_expired(1'031'000, 10), std::vector<std::int64_t>{2});
}

// Log: a checkpoint, a renewal's clearing, another checkpoint. The renewal has to clear again.
TEST(Lessor, ACheckpointTakenWhileAClearingIsOnItsWayIsNotForgotten) {
    Lessor lessor;
    lessor.set_checkpoint_interval(60'000);
    lessor.grant(1, 600, 0);
    lessor.promote(0);
    ASSERT_EQ(lessor.take_checkpoints(60'000, 10).size(), 1U);
    lessor.checkpoint(1, 540);
    const auto asked = lessor.mark();
    ASSERT_EQ(lessor.take_checkpoints(120'000, 10).size(), 1U);
    lessor.checkpoint(1, 0);
    lessor.settle(1, asked);
    EXPECT_TRUE(lessor.needs_clearing(1));
    lessor.settle(1, lessor.mark());
    EXPECT_FALSE(lessor.needs_clearing(1));
    // What an earlier term had on its way is void.
    ASSERT_EQ(lessor.take_checkpoints(180'000, 10).size(), 1U);
    lessor.promote(180'000);
    EXPECT_FALSE(lessor.needs_clearing(1));
}

TEST(Lessor, ARenewalIsNotToBeOvertakenByAnOlderCheckpoint) {
    Lessor lessor;
    lessor.set_checkpoint_interval(60'000);
    lessor.grant(1, 600, 0);
    lessor.promote(0);
    EXPECT_FALSE(lessor.needs_clearing(1));
    ASSERT_EQ(lessor.take_checkpoints(60'000, 10).size(), 1U);
    EXPECT_TRUE(lessor.needs_clearing(1));  // on its way
    lessor.checkpoint(1, 540);
    EXPECT_TRUE(lessor.needs_clearing(1));  // noted
    lessor.checkpoint(1, 0);
    EXPECT_TRUE(lessor.needs_clearing(1));  // perhaps an older one's
    lessor.settle(1, lessor.mark());
    EXPECT_FALSE(lessor.needs_clearing(1));
    EXPECT_EQ(lessor.renew(1, 70'000), 600);
    // Renewed often, it is never noted: nothing goes through the log.
    for (std::int64_t t = 70'000; t < 1'000'000; t += 10'000) {
        EXPECT_EQ(lessor.take_checkpoints(t, 10), Checkpoints{});
        EXPECT_EQ(lessor.renew(1, t), 600);
    }
    EXPECT_FALSE(lessor.needs_clearing(7));
}

}  // namespace
}  // namespace kvstore
