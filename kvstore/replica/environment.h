#pragma once
// The world as a replica sees it: three small interfaces. In production Asio and the kernel
// (kvstore/replica/host.h), in the simulator seeded twins. Everything is used and calls back on the
// store loop.

#include <chrono>
#include <cstdint>

#include "base/function.h"
#include "base/loop.h"

namespace raft {
class Disk;   // raft/wal/disk.h
class Peers;  // raft/transport/peers.h
}  // namespace raft

namespace kvstore {

class Clock {
  public:
    virtual ~Clock() = default;
    // Monotonic, and it runs on while the process or the machine sleeps; the zero point means
    // nothing.
    virtual base::Millis now() const = 0;
    // Calls `f` every `period` until the clock's owner cancels it. One periodic call a replica.
    virtual void every(base::Millis period, base::UniqueFunction<void()> f) = 0;
    virtual void cancel() = 0;
    // Calls `f` after the current turn of the loop: what arrives meanwhile is batched.
    virtual void defer(base::UniqueFunction<void()> f) = 0;
};

struct Environment {
    Clock* clock = nullptr;
    raft::Disk* disk = nullptr;
    raft::Peers* peers = nullptr;
};

}  // namespace kvstore
