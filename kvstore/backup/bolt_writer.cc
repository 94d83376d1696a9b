#include "kvstore/backup/bolt_writer.h"

#include <unistd.h>

#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/file.h"
#include "kvstore/backup/bolt_format.h"

namespace kvstore {
namespace {

using namespace bolt;

constexpr std::size_t kPageBytes = 4096;
constexpr std::size_t kBufferBytes = 256 << 10;
// The pages at the beginning: two heads, then these.
constexpr std::uint64_t kFreeList = 2;
constexpr std::uint64_t kRoot = 3;
constexpr std::uint64_t kFirst = 4;

std::string encode_header(std::uint64_t id, std::uint16_t flags, std::size_t count,
                          std::size_t overflow) {
    std::string out;
    base::append_le(&out, id);
    base::append_le(&out, flags);
    base::append_le(&out, static_cast<std::uint16_t>(count));
    base::append_le(&out, static_cast<std::uint32_t>(overflow));
    return out;
}

// Of a bucket, also of that of all buckets.
std::string encode_bucket(std::uint64_t root) {
    std::string out;
    base::append_le(&out, root);
    base::append_le(&out, std::uint64_t{0});  // the sequence: of names that bbolt gives, here none
    return out;
}

std::string encode_head(std::uint64_t id, std::uint64_t pages) {
    std::string head;
    base::append_le(&head, kMagic);
    base::append_le(&head, kVersion);
    base::append_le(&head, static_cast<std::uint32_t>(kPageBytes));
    base::append_le(&head, std::uint32_t{0});  // flags: there are none
    head += encode_bucket(kRoot);
    base::append_le(&head, kFreeList);
    base::append_le(&head, pages);
    base::append_le(&head, id);  // the transaction: the second head counts
    base::append_le(&head, fnv1a(head));
    std::string out = encode_header(id, kHeadPage, 0, 0) + head;
    out.resize(kPageBytes);
    return out;
}

}  // namespace

bool BoltWriter::Page::has_room(std::size_t bytes, std::size_t first) const {
    return elements.size() < first ||
           kPageHeader + (elements.size() + 1) * kElement + data.size() + bytes <= kPageBytes;
}

void BoltWriter::Page::add(std::string_view key, std::string_view value,
                           std::uint64_t flags_or_child) {
    elements.push_back({static_cast<std::uint32_t>(key.size()),
                        static_cast<std::uint32_t>(value.size()), flags_or_child});
    data.append(key).append(value);
}

std::string BoltWriter::Page::first_key() const {
    return elements.empty() ? "" : data.substr(0, elements.front().key_bytes);
}

std::string BoltWriter::Page::encode(std::uint64_t id, std::uint16_t flags) const {
    const std::size_t bytes = kPageHeader + elements.size() * kElement + data.size();
    const std::size_t pages = (bytes + kPageBytes - 1) / kPageBytes;
    std::string out = encode_header(id, flags, elements.size(), pages - 1);
    out.reserve(pages * kPageBytes);
    std::size_t at = elements.size() * kElement;
    for (const Element& e : elements) {
        if (flags == kLeafPage) base::append_le(&out, static_cast<std::uint32_t>(e.flags_or_child));
        base::append_le(&out, static_cast<std::uint32_t>(at));
        base::append_le(&out, e.key_bytes);
        if (flags == kLeafPage)
            base::append_le(&out, e.value_bytes);
        else
            base::append_le(&out, e.flags_or_child);
        at += e.key_bytes + e.value_bytes - kElement;
    }
    out += data;
    out.resize(pages * kPageBytes);
    return out;
}

BoltWriter::BoltWriter(int fd, std::string path)
    : fd_(fd), path_(std::move(path)), buffer_(kFirst * kPageBytes, '\0') {}

void BoltWriter::begin_bucket(std::string_view name) {
    CHECK(levels_.empty() && name > bucket_);
    bucket_ = name;
    levels_.resize(1);
}

base::Status BoltWriter::add(std::string_view key, std::string_view value) {
    return add(0, key, value, 0);
}

base::Status BoltWriter::add(std::size_t level, std::string_view key, std::string_view value,
                             std::uint64_t child) {
    if (level == levels_.size()) levels_.emplace_back();
    // Branches with less than two children would never come to an end.
    if (!levels_[level].has_room(key.size() + value.size(), level == 0 ? 1 : 2)) {
        const std::string first = levels_[level].first_key();
        TRY(const std::uint64_t id, write_page(level));
        TRY_VOID(add(level + 1, first, {}, id));
    }
    levels_[level].add(key, value, child);
    return {};
}

base::Result<std::uint64_t> BoltWriter::write_page(std::size_t level) {
    const std::uint64_t id = next_page_;
    const std::string page = levels_[level].encode(id, level == 0 ? kLeafPage : kBranchPage);
    levels_[level] = {};
    next_page_ += page.size() / kPageBytes;
    buffer_ += page;
    if (buffer_.size() >= kBufferBytes) TRY_VOID(write_out());
    return id;
}

base::Status BoltWriter::write_out() {
    return base::write_all(fd_, std::exchange(buffer_, {}), path_);
}

base::Status BoltWriter::end_bucket() {
    std::uint64_t root = 0;
    for (std::size_t level = 0; level < levels_.size(); ++level) {
        const std::string first = levels_[level].first_key();
        TRY(root, write_page(level));
        // Above this one there is a level, and at last only this page.
        if (level + 1 < levels_.size()) TRY_VOID(add(level + 1, first, {}, root));
    }
    levels_.clear();
    root_.add(bucket_, encode_bucket(root), kBucketElement);
    return {};
}

base::Result<std::uint64_t> BoltWriter::finish() {
    CHECK(levels_.empty());
    TRY_VOID(write_out());
    std::string free = encode_header(kFreeList, kFreePage, 0, 0);
    free.resize(kPageBytes);
    const std::string root = root_.encode(kRoot, kLeafPage);
    CHECK(root.size() == kPageBytes, "{} buckets are too many", root_.elements.size());
    if (::lseek(fd_, 0, SEEK_SET) != 0) return base::errno_error(errno, "seek in " + path_);
    TRY_VOID(base::write_all(
        fd_, encode_head(0, next_page_) + encode_head(1, next_page_) + free + root, path_));
    return next_page_ * kPageBytes;
}

}  // namespace kvstore
