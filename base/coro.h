#pragma once
// Coroutines of the shells: `awaitable<T>` and the few helpers that tie them to loops and
// callbacks. Include only in shells (it costs seconds to compile).
//
// House rules (GCC 12.2 miscompiles the other forms): no brace-initialised aggregate and no
// capturing lambda as a temporary inside a co_await expression: build arguments as named locals,
// then `co_await f(std::move(x))`. Pass by value; hold no reference across a co_await unless its
// owner outlives the task; no co_await in a catch block.

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <list>
#include <memory>
#include <string>

#include "base/function.h"
#include "base/loop.h"
#include "base/result.h"

namespace base {

template <class T>
using Awaitable = boost::asio::awaitable<T>;
template <class T>
using Task = boost::asio::awaitable<Result<T>>;

// Suspends the calling coroutine and calls `start(resolve)` on its loop; whoever calls
// `resolve(value)`, once and from any thread, resumes the coroutine on its own loop with that
// value. Dropping `resolve` uncalled leaves the coroutine suspended for ever: do not.
template <class T, class Start>
Awaitable<T> suspend(Start start) {
    auto executor = co_await boost::asio::this_coro::executor;
    co_return co_await boost::asio::async_initiate<const boost::asio::use_awaitable_t<>, void(T)>(
        [executor](auto handler, Start begin) {
            auto shared = std::make_shared<decltype(handler)>(std::move(handler));
            begin(UniqueFunction<void(T)>([shared, executor](T value) mutable {
                boost::asio::post(executor,
                                  [shared = std::move(shared), v = std::move(value)]() mutable {
                                      auto h = std::move(*shared);
                                      shared.reset();
                                      std::move(h)(std::move(v));
                                  });
            }));
        },
        boost::asio::use_awaitable, std::move(start));
}

// Sleeps; Cancelled when the task group is stopped meanwhile.
Task<void> sleep_for(Millis duration);

// The tasks of one owner. Spawned tasks run on the loop; stop() cancels them all (their pending
// Asio operation fails with operation_aborted) and waits until the last has ended. An exception
// that leaves a task is logged with the task's name and ends that task only. Used on the loop.
class TaskGroup {
  public:
    explicit TaskGroup(Loop& loop);
    // CHECKs that no task is left: call stop() and await it first.
    ~TaskGroup();
    TaskGroup(const TaskGroup&) = delete;
    TaskGroup& operator=(const TaskGroup&) = delete;

    void spawn(std::string name, Awaitable<void> task);
    Awaitable<void> stop();
    bool stopping() const;
    std::size_t size() const;

  private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
};

}  // namespace base
