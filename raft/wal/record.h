#pragma once
// The write-ahead log's bytes. Pure.
//
// A segment file "<sequence, 16 hex digits>.wal" is a header and records up to a record of length 0
// or the end. Every header is checksummed with the segment's sequence number in the seed, every
// record with its offset, too: neither what an earlier file left on the disk nor a record that the
// disk wrote to a wrong place is taken for one of this place.
//
// Positions in the log as a stream of bytes are LSNs: a segment starts at the LSN in its header, so
// the next segment's header says how much of this one counts.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "raft/core/config.h"
#include "raft/core/types.h"

namespace raft::wal {

enum class RecordType : std::uint8_t {
    kEntry = 1,   // varint index, varint term, u8 type, payload
    kCommit = 2,  // varint index: known to be committed
    // A snapshot is about to replace the state: varint index, varint term, ConfigEntry. Should the
    // process die before the log is reset, this says with which membership to go on.
    kIntent = 3,
};

// Header: u32 length of the body, u32 crc, u64 durable LSN when this was written, u8 type.
inline constexpr std::size_t kRecordHeader = 17;
inline constexpr std::size_t kMaxRecord = 64U << 20U;

struct Record {
    RecordType type = RecordType::kEntry;
    std::uint64_t durable_lsn = 0;  // everything before it was known to be on disk
    std::string_view body;
};

// Where a record is.
struct Place {
    std::uint64_t segment = 0;  // its sequence number
    std::uint64_t offset = 0;   // in its file
};
void append_record(std::string* out, Place place, RecordType type, std::uint64_t durable_lsn,
                   std::string_view head, std::string_view tail = {});

struct ParsedRecord {
    enum class Kind { kRecord, kEnd, kBad };
    Kind kind = Kind::kEnd;
    Record record;
    std::size_t size = 0;  // header included
};
// The record at the front of `bytes`. kEnd: zeros, or nothing.
ParsedRecord parse_record(std::string_view bytes, Place place);

struct SegmentHeader {
    std::uint64_t sequence = 0;
    std::uint64_t start_lsn = 0;
    std::uint64_t durable_lsn = 0;
    std::uint64_t cluster_id = 0;
    NodeId node;
    Index commit;
    // The log's end when the segment was begun, and the membership in force there. Once everything
    // before this segment is dropped it is the log's base.
    Position previous;
    Config config;
    // The log begins anew here: earlier segments are void (a snapshot took their place).
    bool reset = false;
};
std::string encode_header(const SegmentHeader& header);
struct ParsedHeader {
    SegmentHeader header;
    std::size_t size = 0;
};
// Whether a segment that begins like this was written before records had their place in their
// checksum.
bool is_format_1(std::string_view bytes);
std::optional<ParsedHeader> parse_header(std::string_view bytes, std::uint64_t sequence);

// The file that says that this member lost entries which it may have acknowledged: the term.
inline constexpr const char* kDamageFile = "damage";
std::string encode_damage(Term term);
// Nothing when it cannot be read.
std::optional<Term> parse_damage(std::string_view bytes);

std::string entry_head(const Entry& entry);
std::optional<Entry> decode_entry(std::string_view body, bool with_payload);
std::string encode_commit(Index index);
std::optional<Index> decode_commit(std::string_view body);
std::string encode_intent(Position position, const Config& config);
std::optional<std::pair<Position, Config>> decode_intent(std::string_view body);

std::string segment_name(std::uint64_t sequence);
std::optional<std::uint64_t> parse_segment_name(std::string_view name);

}  // namespace raft::wal
