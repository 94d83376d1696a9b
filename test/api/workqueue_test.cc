#include "api/workqueue.h"

#include "test/api/on_loop.h"

namespace {

class WorkQueueTest : public ::testing::Test {
  protected:
    WorkQueueTest() { loop.start(); }
    ~WorkQueueTest() override {
        loop.run_and_wait([this] { queue.reset(); });
    }
    base::Loop loop{"test"};
    std::unique_ptr<api::WorkQueue> queue = std::make_unique<api::WorkQueue>(loop);
};

TEST_F(WorkQueueTest, AKeyStandsInItOnce) {
    test::on_loop(loop, [this]() -> base::Awaitable<void> {
        queue->add("a");
        queue->add("b");
        queue->add("a");
        EXPECT_EQ(queue->size(), 2U);
        auto first = co_await queue->get();
        auto second = co_await queue->get();
        EXPECT_EQ(first, "a");
        EXPECT_EQ(second, "b");
        EXPECT_EQ(queue->size(), 0U);
    });
}

TEST_F(WorkQueueTest, AKeyAddedWhileWorkedOnComesAgainAfterDone) {
    test::on_loop(loop, [this]() -> base::Awaitable<void> {
        queue->add("a");
        auto key = co_await queue->get();
        queue->add("a");
        queue->add("a");
        EXPECT_EQ(queue->size(), 0U);
        queue->done(*key);
        EXPECT_EQ(queue->size(), 1U);
        auto again = co_await queue->get();
        EXPECT_EQ(again, "a");
        queue->done("a");
        EXPECT_EQ(queue->size(), 0U);
    });
}

base::Awaitable<void> take(api::WorkQueue* queue, std::vector<std::string>* out) {
    while (auto key = co_await queue->get()) {
        out->push_back(*key);
        queue->done(*key);
    }
    out->push_back("end");
}

TEST_F(WorkQueueTest, WaitersAreWokenByAddAndByShutDown) {
    std::vector<std::string> got;
    test::on_loop(loop, [this, &got]() -> base::Awaitable<void> {
        base::TaskGroup tasks(loop);
        tasks.spawn("taker", take(queue.get(), &got));
        (void)co_await base::sleep_for(base::Millis(5));
        queue->add("x");
        (void)co_await test::eventually([&got] { return got.size() == 1; });
        queue->shut_down();
        (void)co_await test::eventually([&got] { return got.size() == 2; });
        co_await tasks.stop();
    });
    EXPECT_EQ(got, (std::vector<std::string>{"x", "end"}));
}

TEST_F(WorkQueueTest, DelayedKeysComeInTheOrderOfTheirTimeAndTheEarliestCounts) {
    test::on_loop(loop, [this]() -> base::Awaitable<void> {
        queue->add_after("late", base::Millis(60));
        queue->add_after("soon", base::Millis(20));
        queue->add_after("late", base::Millis(40));
        queue->add_after("late", base::Millis(5000));
        EXPECT_EQ(queue->size(), 0U);
        EXPECT_EQ(queue->delayed(), 2U);
        auto first = co_await queue->get();
        auto second = co_await queue->get();
        EXPECT_EQ(first, "soon");
        EXPECT_EQ(second, "late");
        EXPECT_EQ(queue->delayed(), 0U);
    });
}

TEST_F(WorkQueueTest, BackoffDoublesUntilForgotten) {
    test::on_loop(loop, [this]() -> base::Awaitable<void> {
        const auto began = std::chrono::steady_clock::now();
        for (const int ms : {5, 10, 20, 40}) {
            EXPECT_EQ(queue->backoff("a"), base::Millis(ms));
            queue->add_rate_limited("a");
            auto key = co_await queue->get();
            queue->done(*key);
        }
        EXPECT_GE(std::chrono::steady_clock::now() - began, base::Millis(75));
        EXPECT_EQ(queue->failures("a"), 4);
        EXPECT_EQ(queue->backoff("b"), base::Millis(5));
        queue->forget("a");
        EXPECT_EQ(queue->failures("a"), 0);
        EXPECT_EQ(queue->backoff("a"), base::Millis(5));
    });
}

}  // namespace
