#pragma once
// Many one-shot deadlines on one loop timer: calls set and drop one each, so doing so must cost
// next to nothing. The timer is only moved when an earlier deadline comes in. Loop's thread only.

#include <cstdint>
#include <map>

#include "base/loop.h"

namespace net {

class Deadlines {
  public:
    using Token = std::pair<base::SteadyTime, std::uint64_t>;

    explicit Deadlines(base::Loop& loop) : timer_(loop) {}

    // Runs `f` at `when` or soon after, unless dropped before.
    Token add(base::SteadyTime when, base::UniqueFunction<void()> f) {
        const Token token(when, ++last_);
        const bool first = entries_.empty() || token < entries_.begin()->first;
        entries_.emplace(token, std::move(f));
        if (first && (!armed_ || when < armed_for_)) arm();
        return token;
    }
    // No effect when it has run.
    void drop(const Token& token) { entries_.erase(token); }
    void clear() {
        entries_.clear();
        timer_.cancel();
        armed_ = false;
    }

  private:
    void arm() {
        using namespace std::chrono;
        armed_ = true;
        armed_for_ = entries_.begin()->first.first;
        const auto wait = ceil<base::Millis>(armed_for_ - steady_clock::now());
        timer_.after(std::max(wait, base::Millis(0)), [this] { fire(); });
    }
    void fire() {
        armed_ = false;
        const auto now = std::chrono::steady_clock::now();
        while (!entries_.empty() && entries_.begin()->first.first <= now) {
            auto f = std::move(entries_.begin()->second);
            entries_.erase(entries_.begin());
            f();
        }
        if (!entries_.empty() && !armed_) arm();
    }

    base::Timer timer_;
    std::map<Token, base::UniqueFunction<void()>> entries_;
    std::uint64_t last_ = 0;
    base::SteadyTime armed_for_{};
    bool armed_ = false;
};

}  // namespace net
