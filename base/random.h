#pragma once
// Random: a seeded generator (SplitMix64, Steele et al. 2014). The same seed gives the same numbers
// on every machine, which std:: distributions do not promise. Cores are given one; only shells make
// one from entropy. Not for secrets.

#include <cstdint>
#include <string>

namespace base {

class Random {
  public:
    explicit Random(std::uint64_t seed) : state_(seed) {}

    std::uint64_t next() {
        std::uint64_t z = (state_ += 0x9E3779B97F4A7C15);
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }
    // In [0, bound). 0 when bound is 0.
    std::uint64_t below(std::uint64_t bound) { return bound == 0 ? 0 : next() % bound; }
    // In [low, high], both included.
    std::uint64_t between(std::uint64_t low, std::uint64_t high) {
        return low + below(high - low + 1);
    }
    // True `numerator` times in `denominator`.
    bool chance(std::uint64_t numerator, std::uint64_t denominator) {
        return below(denominator) < numerator;
    }

  private:
    std::uint64_t state_;
};

// 64 bits from the kernel. Shells only.
std::uint64_t entropy64();
// A random (version 4) UUID in its usual text form, from the kernel's randomness. Shells only.
std::string random_uuid();

}  // namespace base
