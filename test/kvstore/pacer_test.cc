// The rate at which LevelDB is written to, on a model of how it compacts.

#include "kvstore/mvcc/pacer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

namespace kvstore {
namespace {

using std::chrono::milliseconds;

// All tables are compacted at once, by a thread that has `bytes_a_second` for them and for what
// that leaves in the levels below (`moved` bytes for each); meanwhile new ones come.
struct Model {
    double bytes_a_second;
    double moved;
    double tables = 0;
    double compacting = 0;
    double left = 0;  // of its work, bytes

    void write(std::size_t bytes) { tables += static_cast<double>(bytes) / kTable; }
    void pass(milliseconds time) {
        left -= bytes_a_second * static_cast<double>(time.count()) / 1000;
        if (left > 0) return;
        tables -= std::exchange(compacting, 0.0);
        if (tables < 4) return;
        compacting = std::floor(tables);
        left = compacting * kTable * (1 + moved);
    }
    static constexpr double kTable = 32e6;
};

struct Outcome {
    double bytes_a_second = 0;
    milliseconds longest{0};  // without a write
    double most_tables = 0;
};

// A writer that always has more, and manages 100 MB a second.
Outcome run(Pacer& pacer, Model& model, Pacer::Time& now, std::chrono::seconds time) {
    constexpr std::size_t kBatch = 1 << 20;
    Outcome out;
    double bytes = 0;
    const auto begin = now;
    auto wrote = now;
    std::size_t batch = kBatch;
    while (now - begin < time) {
        const auto pause = pacer.pause(now, batch, static_cast<std::size_t>(model.tables));
        batch = 0;
        if (pause == milliseconds(0)) {
            batch = kBatch;
            bytes += kBatch;
            model.write(batch);
            out.longest =
                std::max(out.longest, std::chrono::duration_cast<milliseconds>(now - wrote));
            wrote = now;
        }
        const auto step = std::max(pause, milliseconds(10));
        now += step;
        model.pass(step);
        out.most_tables = std::max(out.most_tables, model.tables);
    }
    out.bytes_a_second = bytes / std::chrono::duration<double>(time).count();
    return out;
}

TEST(Pacer, LetsEverythingPassWhileCompactionKeepsUp) {
    Pacer pacer;
    Pacer::Time now{std::chrono::hours(1)};
    Model model{300e6, 1};
    const Outcome got = run(pacer, model, now, std::chrono::seconds(60));
    EXPECT_GT(got.bytes_a_second, 100e6);
}

// However slow compaction is, and whatever it was before.
TEST(Pacer, FindsTheRateThatCompactionKeepsUpWithAndNobodyWaitsForIt) {
    Pacer pacer;
    Pacer::Time now{std::chrono::hours(1)};
    for (const double moved : {1.0, 5.0, 20.0, 5.0, 1.0}) {
        Model model{130e6, moved};
        const double sustained = model.bytes_a_second / (1 + moved);
        const Outcome at_first = run(pacer, model, now, std::chrono::seconds(120));
        EXPECT_LT(at_first.longest, milliseconds(2000)) << moved;
        const Outcome then = run(pacer, model, now, std::chrono::seconds(300));
        EXPECT_LT(then.longest, milliseconds(2000)) << moved;
        EXPECT_LT(then.most_tables, Pacer::kMostTables) << moved;
        EXPECT_GT(then.bytes_a_second, 0.7 * std::min(100e6, sustained)) << moved;
    }
}

TEST(Pacer, IsFastAgainAfterARest) {
    Pacer pacer;
    Pacer::Time now{std::chrono::hours(1)};
    Model slow{130e6, 20};
    EXPECT_LT(run(pacer, slow, now, std::chrono::seconds(300)).bytes_a_second, 10e6);
    now += std::chrono::seconds(60);
    Model rested{130e6, 20};
    EXPECT_GT(run(pacer, rested, now, std::chrono::seconds(1)).bytes_a_second, 40e6);
}

TEST(Pacer, WaitsWhereLevelDBWouldStop) {
    Pacer pacer;
    const Pacer::Time now{std::chrono::hours(1)};
    EXPECT_EQ(pacer.pause(now, 0, Pacer::kMostTables - 1), milliseconds(0));
    EXPECT_EQ(pacer.pause(now, 0, Pacer::kMostTables), Pacer::kLongestPause);
}

}  // namespace
}  // namespace kvstore
