#pragma once
// What a put alone cannot be faster than: the parts that it waits for, each by itself. Blocking,
// for a program with nothing else to do; exits with a message when the system refuses something.

#include <string>

namespace bench {

// Milliseconds, the median of many.
struct Floors {
    double peer_ms = 0;  // 300 bytes over loopback TCP to another thread, and back
    // 300 bytes written into a file in `directory` that has its size already.
    double fdatasync_ms = 0;
    // The same by three threads at once, a file each, as three members on one disk do: from the
    // first that begins to the second that is through.
    double majority_ms = 0;
};
Floors measure_floors(const std::string& directory);

}  // namespace bench
