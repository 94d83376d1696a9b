#pragma once
// Timers: what a Node needs of the loop that it lives on. On the loop only.

#include <memory>

#include "base/function.h"
#include "base/loop.h"

namespace kvstore {

class Timers {
  public:
    // One-shot or repeated. Destroying it means that its callback does not run.
    class Timer {
      public:
        virtual ~Timer() = default;
        // Each call replaces what was set before.
        virtual void after(base::Millis delay, base::UniqueFunction<void()> f) = 0;
        virtual void every(base::Millis period, base::UniqueFunction<void()> f) = 0;
    };
    virtual ~Timers() = default;
    // Runs `f` in a later turn.
    virtual void post(base::UniqueFunction<void()> f) = 0;
    virtual std::unique_ptr<Timer> make_timer() = 0;
};

// `loop` outlives them.
std::unique_ptr<Timers> timers_of(base::Loop& loop);

}  // namespace kvstore
