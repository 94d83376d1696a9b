#pragma once
// CRC-32C (Castagnoli, RFC 3720 appendix B.4): what every record on our disks and frames between
// peers carries. Pure. Uses the SSE 4.2 instruction where the processor has it.

#include <cstdint>
#include <string_view>

namespace base {

// The checksum of `data` appended to the bytes whose checksum is `seed` (0 for none).
std::uint32_t crc32c(std::string_view data, std::uint32_t seed = 0);
// The portable way, for tests that compare the two.
std::uint32_t crc32c_portable(std::string_view data, std::uint32_t seed = 0);

}  // namespace base
