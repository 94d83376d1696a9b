#pragma once
// Loop: one thread and the Asio io_context it runs. A role (store, API server, controllers) owns
// one loop, and all its state is touched on that loop only; roles exchange values by post(). The
// header has no Asio in it: shells that need sockets or coroutines include <boost/asio/…> and use
// context().

#include <chrono>
#include <memory>
#include <string>

#include "base/function.h"

namespace boost::asio {
class io_context;
}

namespace base {

using SteadyTime = std::chrono::steady_clock::time_point;
using Millis = std::chrono::milliseconds;

class Loop {
  public:
    // `name`: at most 15 characters, the thread's name in ps and gdb.
    explicit Loop(std::string name);
    // Stops and joins.
    ~Loop();
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;

    boost::asio::io_context& context();

    // Starts the thread. An exception that leaves a handler is a broken invariant: logged, then
    // abort.
    void start();
    // Runs the loop on the calling thread until stop().
    void run();
    // Any thread. Pending handlers are dropped, not run.
    void stop();
    // Waits for the thread of start(). Not from the loop itself.
    void join();

    // Any thread: runs `f` on the loop, after what was posted before.
    void post(UniqueFunction<void()> f);
    // Any thread but the loop's own: runs `f` on the loop and waits for it.
    void run_and_wait(UniqueFunction<void()> f);
    // True on the loop's thread.
    bool on_loop() const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

// A one-shot or repeated timer on a loop. Used and destroyed on that loop; destroying or cancelling
// it means that its callback does not run.
class Timer {
  public:
    explicit Timer(Loop& loop);
    ~Timer();
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;

    // Each call replaces what was set before.
    void after(Millis delay, UniqueFunction<void()> f);
    // First after `period`, then every `period` without drift; ticks missed by a busy loop are not
    // made up for.
    void every(Millis period, UniqueFunction<void()> f);
    void cancel();

  private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
};

// A small pool of threads for work that blocks or burns CPU, on values only. Any thread may submit.
class WorkerPool {
  public:
    WorkerPool(const std::string& name, unsigned threads);
    // Finishes what was submitted, then joins.
    ~WorkerPool();
    WorkerPool(const WorkerPool&) = delete;
    WorkerPool& operator=(const WorkerPool&) = delete;

    void submit(UniqueFunction<void()> work);

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace base
