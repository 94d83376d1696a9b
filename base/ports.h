#pragma once
// Loopback TCP ports for processes that are about to start: clusters on one machine, and tests.

#include <cstdint>
#include <vector>

#include "base/result.h"

namespace base {

// `n` different ports of 127.0.0.1 that nobody listens on now. They lie below the range from which
// Linux takes the source ports of connections (net.ipv4.ip_local_port_range), so that no connection
// takes the port of a process that is down for a while. Another process may still take one before
// the caller does. Error: kUnavailable if too few are found. Any thread.
Result<std::vector<std::uint16_t>> free_loopback_ports(std::size_t n);

}  // namespace base
