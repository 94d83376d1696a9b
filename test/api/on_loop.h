#pragma once
// Runs a test's coroutine on a loop and waits for its end.

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <functional>
#include <future>

#include "base/coro.h"

namespace test {

inline void on_loop(base::Loop& loop, std::function<base::Awaitable<void>()> body) {
    std::promise<void> done;
    boost::asio::co_spawn(loop.context(), body(), [&done](std::exception_ptr failure) {
        if (failure)
            done.set_exception(failure);
        else
            done.set_value();
    });
    auto finished = done.get_future();
    ASSERT_EQ(finished.wait_for(std::chrono::seconds(30)), std::future_status::ready)
        << "the test's coroutine did not end";
    finished.get();
}

// Waits until `true_now` holds; false after `limit`. The function must be trivial to destroy
// (capture by reference): GCC 12 may destroy it twice.
template <class F>
base::Awaitable<bool> eventually(F true_now, base::Millis limit = base::Millis(10 * 1000)) {
    static_assert(std::is_trivially_destructible_v<F>);
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!true_now()) {
        if (std::chrono::steady_clock::now() > end) co_return false;
        (void)co_await base::sleep_for(base::Millis(2));
    }
    co_return true;
}

}  // namespace test
