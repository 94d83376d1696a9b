#pragma once
// WalRecovery: reads the segments of a directory back into a log, telling a torn tail from damage.
// Used once, by Wal::open. See raft/wal/wal.h for the rules.

#include <string>
#include <vector>

#include "base/result.h"
#include "raft/wal/wal.h"

namespace raft {

class WalRecovery {
  public:
    WalRecovery(Disk& disk, const WalOptions& options) : disk_(disk), options_(options) {}

    // Fills `wal` (all but a segment to write to) and `out`; names of files to remove in `removes`.
    base::Status run(Wal* wal, WalRecovered* out, std::vector<std::string>* removes,
                     std::uint64_t* next_sequence);

  private:
    struct File {
        std::uint64_t sequence = 0;
        std::string bytes;   // once loaded
        bool valid = false;  // its header is
        wal::ParsedHeader header;
    };

    base::Status read_votes(Wal* wal, WalRecovered* out);
    base::Status read_files();
    void drop_void(std::vector<std::string>* removes);
    base::Status replay(std::size_t i);
    base::Status replay_record(std::size_t i, std::size_t offset, const wal::Record& record);
    base::Status bad_at(std::size_t i, std::size_t offset);
    base::Status lose(std::size_t i, std::size_t offset, std::string_view what);
    base::Status give_up(std::size_t from, std::string_view what);
    base::Status read_damage_note();
    const Config& known_config(std::size_t from) const;
    base::Status load(std::size_t i);
    base::Result<bool> proof_after(std::size_t i, std::size_t offset, std::uint64_t lsn);
    void cut(std::size_t i, std::size_t offset);

    Disk& disk_;
    const WalOptions& options_;
    Wal* wal_ = nullptr;
    WalRecovered* out_ = nullptr;
    std::vector<File> files_;
    bool was_cut_ = false;
    std::vector<std::string> removes_;
};

}  // namespace raft
