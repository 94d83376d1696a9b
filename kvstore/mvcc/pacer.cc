#include "kvstore/mvcc/pacer.h"

#include <algorithm>
#include <cmath>

namespace kvstore {
namespace {

// A table too few or too many for so long doubles the rate, or halves it.
constexpr double kDoubling = 40;  // seconds
// How long what was written counts.
constexpr double kRemembered = 2;  // seconds
// What a time without a question counts at most: it was a rest, whatever there are tables of now.
constexpr double kLongestRest = 60;  // seconds
constexpr double kLongestStress = 1;

using Seconds = std::chrono::duration<double>;

}  // namespace

Pacer::Millis Pacer::pause(Time now, std::size_t bytes, std::size_t tables) {
    const double passed = std::min(kLongestRest, Seconds(now - asked_).count());
    asked_ = now;
    written_ =
        written_ * std::exp(-passed / kRemembered) + static_cast<double>(bytes) / kRemembered;
    // Each table too many halves the rate at once, for as long as it is there.
    const double share =
        std::exp2(-static_cast<double>(std::max(tables, kManyTables) - kManyTables));
    adjust(passed, tables, share);
    ready_at_ = std::max(ready_at_, now) + std::chrono::duration_cast<Time::duration>(Seconds(
                                               static_cast<double>(bytes) / (rate_ * share)));
    if (tables >= kMostTables) return kLongestPause;
    return std::min(kLongestPause, std::chrono::floor<Millis>(ready_at_ - now));
}

void Pacer::adjust(double seconds, std::size_t tables, double share) {
    const auto usual = std::clamp(tables, kFewTables, kManyTables);
    const double missing = static_cast<double>(usual) - static_cast<double>(tables);
    // What nobody makes use of says nothing.
    if (missing < 0) {
        rate_ = std::min(rate_, 2 * written_ / share);
        seconds = std::min(seconds, kLongestStress);
    }
    rate_ = std::clamp(rate_ * std::exp2(missing * seconds / kDoubling), kSlowest, kUnlimited);
}

}  // namespace kvstore
