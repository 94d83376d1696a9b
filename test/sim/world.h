#pragma once
// World: simulated time. Events run in the order of their time, then of their making; nothing else
// happens. Everything random in a run comes from its one generator, so a seed is a run.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "base/function.h"
#include "base/random.h"

namespace sim {

using Micros = std::uint64_t;
inline constexpr Micros kMilli = 1000;
inline constexpr Micros kSecond = 1000000;

class World {
  public:
    explicit World(std::uint64_t seed) : random(seed) {}

    Micros now() const { return now_; }
    void after(Micros delay, base::UniqueFunction<void()> f) {
        events_.emplace(std::pair{now_ + delay, ++made_}, std::move(f));
    }
    // Runs the next event; false when there is none.
    bool step() {
        if (events_.empty()) return false;
        auto node = events_.extract(events_.begin());
        now_ = node.key().first;
        ++ran_;
        node.mapped()();
        return true;
    }
    std::uint64_t events_run() const { return ran_; }

    // Mixes what happened into the trace; with `verbose` also prints it.
    void trace(std::string_view text);
    std::uint64_t trace_hash() const { return hash_; }

    base::Random random;
    bool verbose = false;
    // How often each interesting thing happened, over all runs of the process.
    static std::map<std::string, std::uint64_t>& coverage();
    static void cover(const std::string& what, std::uint64_t n = 1) { coverage()[what] += n; }

  private:
    Micros now_ = 0;
    std::uint64_t made_ = 0;
    std::uint64_t ran_ = 0;
    std::uint64_t hash_ = 0xcbf29ce484222325;
    std::map<std::pair<Micros, std::uint64_t>, base::UniqueFunction<void()>> events_;
};

// Flips a bit of the first `used` bytes.
inline void flip_a_bit(base::Random& random, std::string& bytes, std::size_t used) {
    bytes[random.below(used)] ^= static_cast<char>(1U << random.below(8));
}

}  // namespace sim
