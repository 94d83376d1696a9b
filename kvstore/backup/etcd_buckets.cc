#include "kvstore/backup/etcd_buckets.h"

namespace kvstore::etcd {
namespace {

constexpr std::size_t kRevisionBytes = 17;
constexpr std::size_t kSubAt = 9;
constexpr char kBetween = '_';
constexpr char kDeletion = 't';

// leasepb.Lease's fields, all of them varints.
constexpr char kId = 1 << 3;
constexpr char kTtl = 2 << 3;
constexpr char kRemaining = 3 << 3;

void append(std::string* out, char tag, std::int64_t value) {
    if (value == 0) return;
    out->push_back(tag);
    base::append_varint(out, static_cast<std::uint64_t>(value));
}

}  // namespace

std::string encode(const Revision& revision) {
    std::string out;
    base::append_be(&out, revision.main);
    out.push_back(kBetween);
    base::append_be(&out, revision.sub);
    if (revision.is_deletion) out.push_back(kDeletion);
    return out;
}

std::optional<Revision> parse_revision(std::string_view bytes) {
    const bool deletion = bytes.size() == kRevisionBytes + 1 && bytes.back() == kDeletion;
    if (bytes.size() != kRevisionBytes && !deletion) return std::nullopt;
    if (bytes[kSubAt - 1] != kBetween) return std::nullopt;
    const Revision out{base::load_be<std::int64_t>(bytes.data()),
                       base::load_be<std::int64_t>(bytes.data() + kSubAt), deletion};
    if (out.main < 1 || out.sub < 0) return std::nullopt;
    return out;
}

std::string encode_lease(std::int64_t id, const LeaseRecord& lease) {
    std::string out;
    append(&out, kId, id);
    append(&out, kTtl, lease.ttl_seconds());
    append(&out, kRemaining, lease.remaining_seconds());
    return out;
}

std::optional<LeaseRecord> parse_lease(std::string_view bytes) {
    LeaseRecord out;
    while (!bytes.empty()) {
        const char tag = bytes[0];
        bytes.remove_prefix(1);
        std::uint64_t value = 0;
        if ((tag & 7) != 0 || !base::take_varint(&bytes, &value)) return std::nullopt;
        if (tag == kTtl) out.set_ttl_seconds(static_cast<std::int64_t>(value));
        if (tag == kRemaining) out.set_remaining_seconds(static_cast<std::int64_t>(value));
    }
    return out;
}

}  // namespace kvstore::etcd
