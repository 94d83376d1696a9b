#pragma once
// What a crash left of LevelDB's catalogue of tables (MANIFEST). Pure. Format: LevelDB's
// doc/log_format.md.

#include <cstddef>
#include <string_view>

namespace kvstore {

// How many bytes of it count. It is synced at each change, so only its last record can be torn: a
// bad record with a good one behind it is damage, and left for LevelDB to find.
std::size_t intact_catalogue(std::string_view bytes);

}  // namespace kvstore
