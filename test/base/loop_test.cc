#include "base/loop.h"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <future>
#include <thread>

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

// One queue for all: what the loop posts to itself does not overtake what others posted before.
TEST(Loop, ItsOwnPostsQueueUpBehindThoseOfOthers) {
    Loop loop("test");
    loop.start();
    for (int round = 0; round < 200; ++round) {
        std::vector<std::string> seen;
        std::promise<void> first_is_posted;
        loop.post([&] {
            first_is_posted.get_future().wait();
            loop.post([&] { seen.emplace_back("own"); });
        });
        loop.post([&] { seen.emplace_back("other's"); });
        first_is_posted.set_value();
        loop.run_and_wait([] {});
        loop.run_and_wait([] {});
        ASSERT_EQ(seen, (std::vector<std::string>{"other's", "own"}));
    }
}

TEST(Loop, LosesNothingThatManyThreadsPost) {
    constexpr int kThreads = 4;
    constexpr int kEach = 20'000;
    Loop loop("test");
    loop.start();
    std::vector<int> next(kThreads);
    int out_of_order = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t)
        threads.emplace_back([&, t] {
            for (int i = 0; i < kEach; ++i)
                loop.post([&, t, i] { out_of_order += next[t]++ != i; });
        });
    for (auto& thread : threads)
        thread.join();
    loop.run_and_wait([] {});
    EXPECT_EQ(next, std::vector<int>(kThreads, kEach));
    EXPECT_EQ(out_of_order, 0);
}

// Posts when it is dropped.
struct Guard {
    ~Guard() {
        loop->post([] { ADD_FAILURE() << "ran after the end"; });
        ++*dropped;
    }
    Loop* loop;
    int* dropped;
};

TEST(Loop, WhatIsPendingWhenItStopsIsDroppedAndMayPostMore) {
    int dropped = 0;
    {
        Loop loop("test");
        const auto pending = [&] {
            return [guard = std::make_unique<Guard>(&loop, &dropped)] {
                ADD_FAILURE() << "ran behind what stopped the loop";
            };
        };
        loop.post([&loop] { loop.stop(); });
        loop.post(pending());
        loop.start();
        loop.join();
        loop.post(pending());
    }
    EXPECT_EQ(dropped, 2);
}

TEST(Loop, WhatItsContextDropsMayPostMore) {
    int dropped = 0;
    {
        Loop loop("test");
        boost::asio::steady_timer timer(loop.context(), std::chrono::hours(1));
        timer.async_wait([guard = std::make_unique<Guard>(&loop, &dropped)](
                             const boost::system::error_code&) {});
        timer.cancel();
    }
    EXPECT_EQ(dropped, 1);
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
