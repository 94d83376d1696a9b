#include "kvstore/backup/bolt_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <optional>

#include "base/bytes.h"
#include "base/sha256.h"
#include "kvstore/backup/bolt_format.h"

namespace kvstore {
namespace {

using namespace bolt;

constexpr std::size_t kMinPage = 512;
constexpr std::size_t kMaxPage = 1 << 20;
constexpr int kMaxDepth = 64;
constexpr std::size_t kBlock = 512;

struct Meta {
    std::uint32_t page_size = 0;
    std::uint64_t root = 0;
    std::uint64_t high_water = 0;
    std::uint64_t txid = 0;
};

// Nothing when it is none, or is damaged.
std::optional<Meta> parse_meta(std::string_view bytes) {
    if (bytes.size() < kPageHeader + kHeadBytes) return std::nullopt;
    bytes = bytes.substr(kPageHeader, kHeadBytes);
    const char* p = bytes.data();
    if (base::load_le<std::uint32_t>(p) != kMagic ||
        base::load_le<std::uint32_t>(p + 4) != kVersion ||
        base::load_le<std::uint64_t>(p + kHeadChecked) != fnv1a(bytes.substr(0, kHeadChecked)))
        return std::nullopt;
    Meta out;
    out.page_size = base::load_le<std::uint32_t>(p + 8);
    out.root = base::load_le<std::uint64_t>(p + 16);
    out.high_water = base::load_le<std::uint64_t>(p + 40);
    out.txid = base::load_le<std::uint64_t>(p + 48);
    if (out.page_size < kMinPage || out.page_size > kMaxPage ||
        (out.page_size & (out.page_size - 1)) != 0)
        return std::nullopt;
    return out;
}

}  // namespace

// One walk over a bucket's tree: what is done with the entries, and how many pages it may still
// touch (a damaged file may have a circle).
struct BoltFile::Walk {
    std::function<base::Status(std::uint32_t flags, std::string_view key, std::string_view value)>
        visit;
    std::uint64_t pages_left = 0;
};

base::Error BoltFile::damaged(std::string_view what) const {
    return base::data_loss(fmt::format("{}: the bbolt database is damaged: {}", path_, what));
}

BoltFile::~BoltFile() {
    if (data_ != nullptr) ::munmap(const_cast<char*>(data_), mapped_);
    if (fd_ >= 0) ::close(fd_);
}

base::Result<std::unique_ptr<BoltFile>> BoltFile::open(const std::string& path) {
    std::unique_ptr<BoltFile> out(new BoltFile(path));
    out->fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat info {};
    if (out->fd_ < 0 || ::fstat(out->fd_, &info) != 0)
        return base::errno_error(errno, "open " + path);
    if (!S_ISREG(info.st_mode) || info.st_size < static_cast<off_t>(2 * kMinPage))
        return base::data_loss(path + ": too short for a bbolt database");
    out->size_ = out->mapped_ = static_cast<std::size_t>(info.st_size);
    void* at = ::mmap(nullptr, out->mapped_, PROT_READ, MAP_PRIVATE, out->fd_, 0);
    if (at == MAP_FAILED) return base::errno_error(errno, "map " + path);
    out->data_ = static_cast<const char*>(at);
    TRY_VOID(out->check_digest());
    TRY_VOID(out->read_head());
    return out;
}

base::Status BoltFile::check_digest() {
    if (size_ % kBlock == base::kSha256Bytes) size_ -= base::kSha256Bytes;
    sha256_ = base::sha256({data_, size_});
    if (has_checksum() && sha256_ != std::string_view(data_ + size_, base::kSha256Bytes))
        return base::data_loss(path_ + ": damaged: its SHA-256 does not match");
    return {};
}

base::Status BoltFile::read_head() {
    // The second head stands where the first one's page ends: if that one is damaged, at any size
    // of a page.
    const std::string_view all(data_, size_);
    std::optional<Meta> best = parse_meta(all);
    for (std::size_t at = kMinPage; at <= kMaxPage && at < size_; at *= 2) {
        const auto other = parse_meta(all.substr(at));
        if (other && other->page_size == at && (!best || other->txid > best->txid)) best = other;
    }
    if (!best) return base::data_loss(path_ + ": no bbolt database: both of its heads are wrong");
    page_size_ = best->page_size;
    root_ = best->root;
    high_water_ = best->high_water;
    if (high_water_ > size_ / page_size_) return damaged("it is cut short");
    return {};
}

base::Result<std::string_view> BoltFile::page(std::uint64_t id) const {
    if (id >= high_water_) return damaged(fmt::format("page {} does not exist", id));
    const std::string_view rest(data_ + id * page_size_, size_ - id * page_size_);
    if (base::load_le<std::uint64_t>(rest.data()) != id)
        return damaged(fmt::format("page {} says that it is another", id));
    const std::uint64_t pages = std::uint64_t{base::load_le<std::uint32_t>(rest.data() + 12)} + 1;
    if (pages > high_water_ - id) return damaged(fmt::format("page {} ends behind the end", id));
    return rest.substr(0, pages * page_size_);
}

base::Status BoltFile::walk(Walk* walk, std::string_view page_bytes, int depth) const {
    if (depth > kMaxDepth || walk->pages_left-- == 0) return damaged("its pages form a circle");
    if (page_bytes.size() < kPageHeader) return damaged("a page without a head");
    const auto flags = base::load_le<std::uint16_t>(page_bytes.data() + 8);
    const auto count = base::load_le<std::uint16_t>(page_bytes.data() + 10);
    const bool branch = (flags & kBranchPage) != 0;
    if (branch == ((flags & kLeafPage) != 0)) return damaged("a page is neither branch nor leaf");
    if (kPageHeader + std::size_t{count} * kElement > page_bytes.size())
        return damaged("a page has more elements than room");
    for (std::size_t i = 0; i < count; ++i) {
        const std::string_view element = page_bytes.substr(kPageHeader + i * kElement);
        const char* p = element.data();
        if (branch) {
            TRY(const std::string_view child, page(base::load_le<std::uint64_t>(p + 8)));
            TRY_VOID(this->walk(walk, child, depth + 1));
            continue;
        }
        const std::uint64_t at = base::load_le<std::uint32_t>(p + 4);
        const std::uint64_t key_size = base::load_le<std::uint32_t>(p + 8);
        const std::uint64_t value_size = base::load_le<std::uint32_t>(p + 12);
        if (at + key_size + value_size > element.size())
            return damaged("an entry ends behind its page");
        TRY_VOID(walk->visit(base::load_le<std::uint32_t>(p), element.substr(at, key_size),
                             element.substr(at + key_size, value_size)));
    }
    return {};
}

base::Status BoltFile::for_each_bucket(const Visit& visit) const {
    Walk top;
    top.pages_left = high_water_;
    top.visit = [&](std::uint32_t flags, std::string_view key, std::string_view value) {
        return (flags & kBucketElement) != 0 ? visit(key, value) : base::Status();
    };
    TRY(const std::string_view root, page(root_));
    return walk(&top, root, 0);
}

base::Result<std::vector<std::string>> BoltFile::buckets() const {
    std::vector<std::string> out;
    TRY_VOID(for_each_bucket([&](std::string_view name, std::string_view /*value*/) {
        out.emplace_back(name);
        return base::Status();
    }));
    return out;
}

base::Status BoltFile::for_each(std::string_view bucket, const Visit& visit) const {
    std::string_view found;
    TRY_VOID(for_each_bucket([&](std::string_view name, std::string_view value) {
        if (name == bucket) found = value;
        return base::Status();
    }));
    if (found.data() == nullptr) return {};
    if (found.size() < kBucketHeader) return damaged("a bucket without a head");
    Walk entries;
    entries.pages_left = high_water_ + 1;
    entries.visit = [&](std::uint32_t flags, std::string_view key, std::string_view value) {
        return (flags & kBucketElement) != 0 ? base::Status() : visit(key, value);
    };
    const auto at = base::load_le<std::uint64_t>(found.data());
    if (at == 0) return walk(&entries, found.substr(kBucketHeader), 0);
    TRY(const std::string_view first, page(at));
    return walk(&entries, first, 0);
}

}  // namespace kvstore
