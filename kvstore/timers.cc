#include "kvstore/timers.h"

namespace kvstore {
namespace {

class LoopTimers final : public Timers {
  public:
    explicit LoopTimers(base::Loop& loop) : loop_(loop) {}
    void post(base::UniqueFunction<void()> f) override { loop_.post(std::move(f)); }
    std::unique_ptr<Timer> make_timer() override { return std::make_unique<LoopTimer>(loop_); }

  private:
    class LoopTimer final : public Timer {
      public:
        explicit LoopTimer(base::Loop& loop) : timer_(loop) {}
        void after(base::Millis delay, base::UniqueFunction<void()> f) override {
            timer_.after(delay, std::move(f));
        }
        void every(base::Millis period, base::UniqueFunction<void()> f) override {
            timer_.every(period, std::move(f));
        }

      private:
        base::Timer timer_;
    };
    base::Loop& loop_;
};

}  // namespace

std::unique_ptr<Timers> timers_of(base::Loop& loop) {
    return std::make_unique<LoopTimers>(loop);
}

}  // namespace kvstore
