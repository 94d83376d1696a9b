#include "raft/wal/vote_file.h"

#include "base/bytes.h"
#include "base/crc32c.h"

namespace raft::wal {
namespace {
constexpr std::string_view kMagic = "CXVOTE\x01\n";
constexpr std::size_t kSize = 8 + 3 * 8 + 4;
}  // namespace

std::string encode_vote(const VoteRecord& record) {
    std::string out(kMagic);
    base::append_le(&out, record.sequence);
    base::append_le(&out, record.state.term.value());
    base::append_le(&out, record.state.vote.value());
    base::append_le(&out, base::crc32c(out));
    return out;
}

std::optional<VoteRecord> parse_vote(std::string_view bytes) {
    if (bytes.size() < kSize || bytes.substr(0, 8) != kMagic) return std::nullopt;
    if (base::load_le<std::uint32_t>(&bytes[kSize - 4]) != base::crc32c(bytes.substr(0, kSize - 4)))
        return std::nullopt;
    return VoteRecord{base::load_le<std::uint64_t>(&bytes[8]),
                      {Term(base::load_le<std::uint64_t>(&bytes[16])),
                       NodeId(base::load_le<std::uint64_t>(&bytes[24]))}};
}

}  // namespace raft::wal
