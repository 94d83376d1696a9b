#include "raft/wal/record.h"

#include <fmt/format.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"

namespace raft::wal {
namespace {
constexpr std::string_view kDamageMagic = "CXLOST\x01\n";

constexpr std::string_view kMagic = "CXWAL\x02\n";
constexpr std::string_view kMagicOfFormat1 = "CXWAL\x01\n";

std::uint32_t seeded_crc(Place place, std::string_view a, std::string_view b = {},
                         std::string_view c = {}) {
    char seed[16];
    base::store_le(seed, place.segment);
    base::store_le(seed + 8, place.offset);
    return base::crc32c(c, base::crc32c(b, base::crc32c(a, base::crc32c({seed, 16}))));
}

bool take_position(std::string_view* in, Position* out) {
    std::uint64_t index = 0;
    std::uint64_t term = 0;
    if (!base::take_varint(in, &index) || !base::take_varint(in, &term)) return false;
    *out = {Index(index), Term(term)};
    return true;
}

void append_position(std::string* out, Position p) {
    base::append_varint(out, p.index.value());
    base::append_varint(out, p.term.value());
}

}  // namespace

void append_record(std::string* out, Place place, RecordType type, std::uint64_t durable_lsn,
                   std::string_view head, std::string_view tail) {
    CHECK(head.size() + tail.size() <= kMaxRecord);
    char header[kRecordHeader];
    base::store_le(header, static_cast<std::uint32_t>(head.size() + tail.size()));
    base::store_le(header + 8, durable_lsn);
    header[16] = static_cast<char>(type);
    base::store_le(header + 4, seeded_crc(place, {header + 8, 9}, head, tail));
    out->append(header, kRecordHeader);
    out->append(head);
    out->append(tail);
}

ParsedRecord parse_record(std::string_view bytes, Place place) {
    ParsedRecord out;
    if (bytes.size() < kRecordHeader) {
        if (bytes.find_first_not_of('\0') != std::string_view::npos)
            out.kind = ParsedRecord::Kind::kBad;
        return out;
    }
    const auto length = base::load_le<std::uint32_t>(bytes.data());
    const auto crc = base::load_le<std::uint32_t>(bytes.data() + 4);
    if (length == 0 && crc == 0 && bytes[16] == 0) return out;
    out.kind = ParsedRecord::Kind::kBad;
    if (length > kMaxRecord || length > bytes.size() - kRecordHeader) return out;
    const std::string_view body = bytes.substr(kRecordHeader, length);
    if (crc != seeded_crc(place, bytes.substr(8, 9), body)) return out;
    out.kind = ParsedRecord::Kind::kRecord;
    out.record = {static_cast<RecordType>(bytes[16]), base::load_le<std::uint64_t>(&bytes[8]),
                  body};
    out.size = kRecordHeader + length;
    return out;
}

std::string encode_header(const SegmentHeader& h) {
    std::string body;
    for (const std::uint64_t v :
         {h.sequence, h.start_lsn, h.durable_lsn, h.cluster_id, h.node.value(), h.commit.value()})
        base::append_varint(&body, v);
    append_position(&body, h.previous);
    body.push_back(h.reset ? 1 : 0);
    body += encode(ConfigEntry{{}, h.config});
    std::string out(kMagic);
    base::append_le(&out, static_cast<std::uint32_t>(body.size()));
    base::append_le(&out, seeded_crc({h.sequence, 0}, body));
    return out + body;
}

bool is_format_1(std::string_view bytes) {
    return bytes.starts_with(kMagicOfFormat1);
}

std::optional<ParsedHeader> parse_header(std::string_view bytes, std::uint64_t sequence) {
    const std::size_t fixed = kMagic.size() + 8;
    if (bytes.size() < fixed || bytes.substr(0, kMagic.size()) != kMagic) return std::nullopt;
    const auto size = base::load_le<std::uint32_t>(&bytes[kMagic.size()]);
    const auto crc = base::load_le<std::uint32_t>(&bytes[kMagic.size() + 4]);
    if (size > bytes.size() - fixed) return std::nullopt;
    std::string_view body = bytes.substr(fixed, size);
    if (crc != seeded_crc({sequence, 0}, body)) return std::nullopt;
    ParsedHeader out;
    out.size = fixed + size;
    SegmentHeader& h = out.header;
    std::uint64_t node = 0;
    std::uint64_t commit = 0;
    for (std::uint64_t* v :
         {&h.sequence, &h.start_lsn, &h.durable_lsn, &h.cluster_id, &node, &commit})
        if (!base::take_varint(&body, v)) return std::nullopt;
    h.node = NodeId(node);
    h.commit = Index(commit);
    if (!take_position(&body, &h.previous) || body.empty()) return std::nullopt;
    h.reset = body.front() != 0;
    body.remove_prefix(1);
    auto config = decode_config_entry(body);
    if (!config || h.sequence != sequence) return std::nullopt;
    h.config = std::move(config->config);
    return out;
}

std::string encode_damage(Term term) {
    std::string out(kDamageMagic);
    base::append_le(&out, term.value());
    base::append_le(&out, base::crc32c(out));
    return out;
}

std::optional<Term> parse_damage(std::string_view bytes) {
    constexpr std::size_t kSize = kDamageMagic.size() + 8 + 4;
    if (bytes.size() < kSize || !bytes.starts_with(kDamageMagic)) return std::nullopt;
    if (base::load_le<std::uint32_t>(&bytes[kSize - 4]) != base::crc32c(bytes.substr(0, kSize - 4)))
        return std::nullopt;
    return Term(base::load_le<std::uint64_t>(&bytes[kDamageMagic.size()]));
}

std::string entry_head(const Entry& entry) {
    std::string out;
    append_position(&out, {entry.index, entry.term});
    out.push_back(static_cast<char>(entry.type));
    return out;
}

std::optional<Entry> decode_entry(std::string_view body, bool with_payload) {
    Position p;
    if (!take_position(&body, &p) || body.empty()) return std::nullopt;
    const auto type = static_cast<EntryType>(body.front());
    if (type != EntryType::kData && type != EntryType::kConfig) return std::nullopt;
    body.remove_prefix(1);
    Entry e{p.term, p.index, type, nullptr};
    if (with_payload && !body.empty()) e.payload = std::make_shared<const std::string>(body);
    return e;
}

std::string encode_commit(Index index) {
    std::string out;
    base::append_varint(&out, index.value());
    return out;
}

std::optional<Index> decode_commit(std::string_view body) {
    std::uint64_t v = 0;
    if (!base::take_varint(&body, &v)) return std::nullopt;
    return Index(v);
}

std::string encode_intent(Position position, const Config& config) {
    std::string out;
    append_position(&out, position);
    return out + encode(ConfigEntry{{}, config});
}

std::optional<std::pair<Position, Config>> decode_intent(std::string_view body) {
    Position p;
    if (!take_position(&body, &p)) return std::nullopt;
    auto config = decode_config_entry(body);
    if (!config) return std::nullopt;
    return std::pair{p, std::move(config->config)};
}

std::string segment_name(std::uint64_t sequence) {
    return fmt::format("{:016x}.wal", sequence);
}

std::optional<std::uint64_t> parse_segment_name(std::string_view name) {
    if (name.size() != 20 || name.substr(16) != ".wal") return std::nullopt;
    std::uint64_t v = 0;
    for (const char c : name.substr(0, 16)) {
        const bool digit = c >= '0' && c <= '9';
        if (!digit && !(c >= 'a' && c <= 'f')) return std::nullopt;
        v = v * 16 + static_cast<std::uint64_t>(digit ? c - '0' : c - 'a' + 10);
    }
    return v;
}

}  // namespace raft::wal
