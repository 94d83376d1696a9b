#pragma once
// LevelFiles: what a crash left of LevelDB's log files and catalogue (MANIFEST), and how much of it
// may be read. Pure.
//
// LevelDB's logs are written without sync, so a power failure may leave any mixture of their
// sectors, and of a newer log more than of an older one. LevelDB itself would then refuse to open
// (what it takes for damage), or, worse, pass over what is missing and apply what comes after it.
// Here a database's logs are one sequence of batches, each with the sequence number that follows
// the last one's: it ends at the first that is not there, and all after that is void. What remains
// is a state that the database once had; the Raft log has the rest.
//
// The catalogue is synced at each change, so only its last record can be torn. A bad record with a
// good one behind it is damage, and left for LevelDB to find.
//
// Formats: LevelDB's doc/log_format.md; a batch begins with its sequence number (8 bytes) and its
// count (4).

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kvstore {

class LevelFiles {
  public:
    // To be asked in the order in which LevelDB reads them: the catalogue, then logs from the
    // oldest on.
    // How many bytes of the catalogue count.
    std::size_t catalogue(std::string_view bytes);
    // How many bytes of a log count. Nothing: batches before it are missing that are in no table
    // either; the database is damaged.
    std::optional<std::size_t> log(std::string_view bytes);

  private:
    std::optional<std::uint64_t> last_sequence_;  // that the catalogue knows of
    std::optional<std::uint64_t> next_sequence_;  // of the logs
    bool ended_ = false;
};

}  // namespace kvstore
