#include "kvstore/mvcc/snapshot_parser.h"

#include <fmt/format.h>

#include "base/bytes.h"
#include "base/crc32c.h"

namespace kvstore {

using namespace snapshot_format;

namespace {

constexpr std::size_t kTrailerBytes = 1 + sizeof(std::uint64_t) + sizeof(std::uint32_t);
// No key or value of ours is larger than a request may be; a longer length is damage.
constexpr std::uint64_t kMaxLength = std::uint64_t{1} << 30;
// An entry's first byte and two varints.
constexpr std::size_t kMaxHead = 21;

}  // namespace

base::Error SnapshotParser::damaged(std::string_view rest, std::string_view what) const {
    return base::data_loss(fmt::format("the snapshot is damaged at byte {}: {}",
                                       taken_ + (pending_.size() - rest.size()), what));
}

base::Status SnapshotParser::add(std::string_view chunk) {
    pending_.append(chunk);
    std::string_view rest = pending_;
    if (!has_header_) {
        if (!kMagic.starts_with(rest.substr(0, kMagic.size())))
            return base::data_loss(
                "not a snapshot of Coxswain, or one of another version: it begins otherwise");
        if (rest.size() < kMagic.size()) return {};
        crc_ = base::crc32c(kMagic, crc_);
        rest.remove_prefix(kMagic.size());
        has_header_ = true;
    }
    while (!rest.empty() && !complete_) {
        TRY(const bool taken, take_one(&rest));
        if (!taken) break;
    }
    if (complete_ && !rest.empty()) return damaged(rest, "there are bytes behind its end");
    const std::size_t used = pending_.size() - rest.size();
    taken_ += used;
    pending_.erase(0, used);
    return {};
}

base::Result<bool> SnapshotParser::take_one(std::string_view* rest) {
    if (rest->front() == kTrailer) return take_trailer(rest);
    if (rest->front() != kEntry) return damaged(*rest, "neither an entry nor the end begins there");
    std::string_view at = rest->substr(1);
    std::uint64_t key_size = 0;
    std::uint64_t value_size = 0;
    if (!base::take_varint(&at, &key_size) || !base::take_varint(&at, &value_size)) {
        if (rest->size() > kMaxHead) return damaged(*rest, "an entry without its lengths");
        return false;
    }
    if (key_size > kMaxLength || value_size > kMaxLength)
        return damaged(*rest, "an entry of an impossible length");
    if (at.size() < key_size + value_size) return false;
    const std::size_t used = rest->size() - at.size() + key_size + value_size;
    crc_ = base::crc32c(rest->substr(0, used), crc_);
    ++count_;
    on_entry_(at.substr(0, key_size), at.substr(key_size, value_size));
    rest->remove_prefix(used);
    return true;
}

base::Result<bool> SnapshotParser::take_trailer(std::string_view* rest) {
    if (rest->size() < kTrailerBytes) return false;
    const auto count = base::load_le<std::uint64_t>(rest->data() + 1);
    const auto crc = base::load_le<std::uint32_t>(rest->data() + 1 + sizeof count);
    crc_ = base::crc32c(rest->substr(0, kTrailerBytes - sizeof crc), crc_);
    if (crc != crc_) return damaged(*rest, "the checksum of all before does not match");
    if (count != count_)
        return damaged(*rest, fmt::format("{} entries stand there for {}", count_, count));
    complete_ = true;
    rest->remove_prefix(kTrailerBytes);
    return true;
}

}  // namespace kvstore
