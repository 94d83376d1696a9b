#include "kvstore/backup/etcd_buckets.h"

#include "base/bytes.h"

namespace kvstore::etcd {
namespace {

constexpr std::size_t kRevisionBytes = 17;
constexpr std::size_t kSubAt = 9;
constexpr char kBetween = '_';
constexpr char kDeletion = 't';

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

}  // namespace kvstore::etcd
