#pragma once
// Blocking calls for command lines and start-up: a coroutine on a loop, the answer when it is done.
// Main thread.

#include <boost/asio/co_spawn.hpp>
#include <functional>
#include <future>

#include "base/coro.h"

namespace tools {

template <class T>
base::Awaitable<void> store_result(base::Task<T> task, std::shared_ptr<base::Result<T>> out,
                                   base::Loop* loop) {
    try {
        *out = co_await std::move(task);
    } catch (const std::exception& e) {
        *out = base::internal_error(e.what());
    }
    loop->stop();
}

// `make(loop)` answers the task; it runs until it is done.
template <class T, class Make>
base::Result<T> run_blocking(Make make) {
    base::Loop loop("main");
    auto out = std::make_shared<base::Result<T>>(base::internal_error("the task did not run"));
    boost::asio::co_spawn(loop.context(), store_result<T>(make(loop), out, &loop),
                          [](std::exception_ptr) {});
    loop.run();
    return std::move(*out);
}

// Runs a coroutine on a loop from another thread, and waits for it.
inline void run_on(base::Loop& loop, std::function<base::Awaitable<void>()> make) {
    std::promise<void> done;
    loop.post([&] {
        boost::asio::co_spawn(loop.context(), make(),
                              [&done](std::exception_ptr) { done.set_value(); });
    });
    done.get_future().wait();
}

}  // namespace tools
