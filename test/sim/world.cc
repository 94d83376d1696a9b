#include "test/sim/world.h"

#include <fmt/format.h>

#include <cstdio>

namespace sim {

void World::trace(std::string_view text) {
    for (const char c : text)
        hash_ = (hash_ ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    hash_ = (hash_ ^ now_) * 0x100000001b3;
    if (verbose) fmt::print("{:>10.3f} ms  {}\n", static_cast<double>(now_) / 1000.0, text);
}

std::map<std::string, std::uint64_t>& World::coverage() {
    static std::map<std::string, std::uint64_t> counts;
    return counts;
}

}  // namespace sim
