#pragma once
// The vote record (term and vote) in two files, "vote.0" and "vote.1", each with a sequence number
// and a checksum. Both are written at each change, the second only after the first is durable, so
// that a crash damages at most one and later damage of one loses nothing. Pure.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "raft/core/core.h"

namespace raft::wal {

struct VoteRecord {
    std::uint64_t sequence = 0;
    HardState state;
};

inline constexpr const char* kVoteFiles[2] = {"vote.0", "vote.1"};

std::string encode_vote(const VoteRecord& record);
// Nothing when damaged.
std::optional<VoteRecord> parse_vote(std::string_view bytes);

}  // namespace raft::wal
