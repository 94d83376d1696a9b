#include "base/coro.h"

#include <gtest/gtest.h>

#include <future>
#include <thread>

namespace base {
namespace {

Awaitable<void> sleeper(int* ended) {
    auto r = co_await sleep_for(Millis(100000));
    if (!r && r.error().code == Code::kCancelled) ++*ended;
}

Awaitable<void> thrower() {
    (void)co_await sleep_for(Millis(0));
    throw std::runtime_error("thrown on purpose by coro_test");
}

Awaitable<void> waits_for_another_thread(std::thread* other, std::promise<int>* answer) {
    auto start = [other](UniqueFunction<void(int)> resolve) {
        *other = std::thread([r = std::move(resolve)]() mutable { r(42); });
    };
    int value = co_await suspend<int>(std::move(start));
    answer->set_value(value);
}

Awaitable<void> stop_then_tell(TaskGroup* group, std::promise<void>* stopped) {
    co_await group->stop();
    stopped->set_value();
}

TEST(TaskGroup, StopCancelsSleepersAndSurvivesAThrowingTask) {
    Loop loop("test");
    std::unique_ptr<TaskGroup> group;
    int ended = 0;
    std::promise<void> stopped;
    loop.start();
    loop.run_and_wait([&] {
        group = std::make_unique<TaskGroup>(loop);
        for (int i = 0; i < 10; ++i)
            group->spawn("sleeper", sleeper(&ended));
        group->spawn("thrower", thrower());
    });
    loop.post([&] {
        boost::asio::co_spawn(loop.context(), stop_then_tell(group.get(), &stopped),
                              [](std::exception_ptr) {});
    });
    stopped.get_future().wait();
    loop.run_and_wait([&] { group.reset(); });
    EXPECT_EQ(ended, 10);
}

TEST(Suspend, ResumesOnItsLoopWithAValueFromAnotherThread) {
    Loop loop("test");
    std::thread other;
    std::promise<int> answer;
    loop.start();
    loop.post([&] {
        boost::asio::co_spawn(loop.context(), waits_for_another_thread(&other, &answer),
                              [](std::exception_ptr) {});
    });
    EXPECT_EQ(answer.get_future().get(), 42);
    other.join();
}

}  // namespace
}  // namespace base
