#include "kvstore/core/auto_compactor.h"

#include <gtest/gtest.h>

namespace kvstore {
namespace {

constexpr std::int64_t kMinute = 60'000;
constexpr std::int64_t kHour = 60 * kMinute;

TEST(AutoCompactorTest, FlagsMeanWhatEtcdsDo) {
    using Mode = AutoCompactor::Mode;
    EXPECT_EQ(AutoCompactor::parse("periodic", "0")->mode, Mode::kOff);
    EXPECT_EQ(AutoCompactor::parse("periodic", "")->mode, Mode::kOff);
    EXPECT_EQ(AutoCompactor::parse("periodic", "1")->retention, kHour);
    EXPECT_EQ(AutoCompactor::parse("periodic", "1h30m")->retention, 90 * kMinute);
    EXPECT_EQ(AutoCompactor::parse("periodic", "500ms")->retention, 500);
    EXPECT_EQ(AutoCompactor::parse("revision", "1000")->retention, 1000);
    EXPECT_EQ(AutoCompactor::parse("revision", "1000")->mode, Mode::kRevision);
    for (const char* bad : {"-1", "1x", "h", "99999999999h", "1h30"})
        EXPECT_NE(AutoCompactor::parse("periodic", bad)
                      .error()
                      .message.find("--auto-compaction-retention"),
                  std::string::npos)
            << bad;
    EXPECT_FALSE(AutoCompactor::parse("revision", "1h"));
    EXPECT_NE(AutoCompactor::parse("sometimes", "1").error().message.find("--auto-compaction-mode"),
              std::string::npos);
}

TEST(AutoCompactorTest, PeriodicKeepsAtLeastTheRetention) {
    AutoCompactor c({AutoCompactor::Mode::kPeriodic, 10 * kMinute});
    std::int64_t compactions = 0;
    for (std::int64_t minute = 0; minute <= 60; ++minute) {
        const std::int64_t revision = 100 + minute;  // one a minute
        const auto target = c.tick(minute * kMinute, revision);
        if (!target) continue;
        ++compactions;
        EXPECT_GE(minute, 10);
        EXPECT_LE(*target, revision - 10);
        EXPECT_GE(*target, revision - 12);
    }
    EXPECT_EQ(compactions, 6);
}

TEST(AutoCompactorTest, LongRetentionsAreLookedAtEveryHour) {
    AutoCompactor c({AutoCompactor::Mode::kPeriodic, 5 * kHour});
    int compactions = 0;
    for (std::int64_t minute = 0; minute <= 8 * 60; ++minute)
        if (c.tick(minute * kMinute, 100 + minute)) ++compactions;
    EXPECT_EQ(compactions, 4) << "after five, six, seven and eight hours";
}

TEST(AutoCompactorTest, ByRevisionKeepsThatMany) {
    AutoCompactor c({AutoCompactor::Mode::kRevision, 100});
    EXPECT_FALSE(c.tick(0, 1000));
    EXPECT_FALSE(c.tick(4 * kMinute, 1000));
    EXPECT_EQ(c.tick(5 * kMinute, 1000), 900);
    EXPECT_FALSE(c.tick(10 * kMinute, 1000)) << "nothing was written since";
    EXPECT_EQ(c.tick(15 * kMinute, 1001), 901);
    AutoCompactor young({AutoCompactor::Mode::kRevision, 100});
    young.tick(0, 50);
    EXPECT_FALSE(young.tick(6 * kMinute, 50));
}

TEST(AutoCompactorTest, ANewLeaderBeginsAnew) {
    AutoCompactor c({AutoCompactor::Mode::kPeriodic, kMinute});
    c.tick(0, 10);
    c.reset();
    EXPECT_FALSE(c.tick(2 * kMinute, 20));
    EXPECT_EQ(c.tick(3 * kMinute, 30), 20);
}

}  // namespace
}  // namespace kvstore
