#include "base/loop.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

namespace base {
namespace {

TEST(Loop, RunsPostedWorkInOrderOnItsThread) {
    Loop loop("test");
    loop.start();
    std::vector<int> seen;
    for (int i = 0; i < 100; ++i)
        loop.post([&seen, i] { seen.push_back(i); });
    bool on = false;
    loop.run_and_wait([&] { on = loop.on_loop(); });
    EXPECT_TRUE(on);
    EXPECT_FALSE(loop.on_loop());
    ASSERT_EQ(seen.size(), 100U);
    EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
}

TEST(Timer, RepeatsUntilItsCallbackCancelsIt) {
    Loop loop("test");
    std::unique_ptr<Timer> timer;
    std::promise<int> done;
    int ticks = 0;
    loop.start();
    loop.run_and_wait([&] {
        timer = std::make_unique<Timer>(loop);
        timer->every(Millis(1), [&] {
            if (++ticks == 3) {
                timer->cancel();
                timer->after(Millis(20), [&] { done.set_value(ticks); });
            }
        });
    });
    EXPECT_EQ(done.get_future().get(), 3);
    loop.run_and_wait([&] { timer.reset(); });
}

TEST(WorkerPool, FinishesWhatWasSubmitted) {
    std::atomic<int> n{0};
    {
        WorkerPool pool("pool", 2);
        for (int i = 0; i < 50; ++i)
            pool.submit([&n] { ++n; });
    }
    EXPECT_EQ(n, 50);
}

}  // namespace
}  // namespace base
