#pragma once
// Pacer: how fast LevelDB may be written to, so that its compaction keeps up and no write waits for
// seconds. Pure. It finds the rate as an integral controller does, from the number of tables that
// are not compacted yet. That number swings, for all of them are compacted at once, and then what
// that left in the next levels, while new ones come.

#include <chrono>
#include <cstddef>

namespace kvstore {

class Pacer {
  public:
    using Time = std::chrono::steady_clock::time_point;
    using Millis = std::chrono::milliseconds;

    // `bytes` were written since it was last asked; `tables` of LevelDB's are not compacted. How
    // long to wait until it is asked again, without writing; zero: write on.
    Millis pause(Time now, std::size_t bytes, std::size_t tables);

    // LevelDB compacts from so many on, and then all that there are.
    static constexpr std::size_t kFewTables = 4;
    // Up to so many come and go while compaction keeps up; with more, writes are slowed down.
    static constexpr std::size_t kManyTables = 6;
    // LevelDB stops all writes at twelve tables, of which the memtable in use becomes one.
    static constexpr std::size_t kMostTables = 11;
    static constexpr Millis kLongestPause{100};

  private:
    void adjust(double seconds, std::size_t tables, double share);

    Time asked_{};
    Time ready_at_{};
    // Bytes a second, at least and at most.
    static constexpr double kSlowest = 1e6;
    static constexpr double kUnlimited = 1e10;
    double rate_ = kUnlimited;  // that may be written
    double written_ = 0;        // that were, of late
};

}  // namespace kvstore
