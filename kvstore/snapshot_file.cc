#include "kvstore/snapshot_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/bytes.h"
#include "base/sha256.h"
#include "kvstore/bolt_file.h"
#include "kvstore/mvcc/schema.h"
#include "kvstore/mvcc/snapshot_parser.h"

namespace kvstore {
namespace {

constexpr std::uint64_t kBlock = 512;
constexpr std::uint64_t kDigest = base::kSha256Bytes;
constexpr std::size_t kReadBytes = 1 << 20;

class File {
  public:
    explicit File(const std::string& path)
        : path_(path), fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
    ~File() {
        if (fd_ >= 0) ::close(fd_);
    }
    File(const File&) = delete;
    File& operator=(const File&) = delete;

    base::Result<std::uint64_t> size() const {
        struct stat info {};
        if (fd_ < 0 || ::fstat(fd_, &info) != 0) return base::errno_error(errno, "open " + path_);
        if (!S_ISREG(info.st_mode)) return base::invalid_argument(path_ + " is no file");
        return static_cast<std::uint64_t>(info.st_size);
    }
    // As many bytes as `out` is long.
    base::Status read(std::string* out) {
        for (std::size_t got = 0; got < out->size();) {
            const ssize_t n = ::read(fd_, out->data() + got, out->size() - got);
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) return base::errno_error(errno, "read " + path_);
            if (n == 0) return base::data_loss(path_ + " became shorter while it was read");
            got += static_cast<std::size_t>(n);
        }
        return {};
    }

  private:
    const std::string& path_;
    int fd_;
};

// Counts what goes by.
class Counting {
  public:
    explicit Counting(SnapshotSummary* out) : out_(*out) {}
    void add(std::string_view key, std::string_view value) {
        if (key.empty()) return;
        if (key[0] == schema::kCurrent) ++out_.keys;
        if (key[0] == schema::kVersion) ++out_.versions;
        if (key[0] == schema::kLease) ++out_.leases;
        if (key.starts_with("uu")) ++out_.users;
        if (key == schema::kMetaRevision) take_number(key, value, &out_.revision);
        if (key == schema::kMetaCompacted) take_number(key, value, &out_.compacted);
    }
    // Of what no store writes.
    const base::Status& status() const { return status_; }

  private:
    void take_number(std::string_view key, std::string_view value, std::int64_t* to) {
        if (value.size() == sizeof *to)
            *to = base::load_le<std::int64_t>(value.data());
        else
            status_ = base::data_loss(fmt::format("{} is no number", key.substr(1)));
    }
    SnapshotSummary& out_;
    base::Status status_;
};

}  // namespace

base::Result<SnapshotSummary> read_snapshot_file(const std::string& path,
                                                 const OnSnapshotEntry& on_entry) {
    File file(path);
    SnapshotSummary out;
    TRY(out.bytes, file.size());
    Counting counting(&out);
    SnapshotParser parser(
        [&](std::string_view key, std::string_view value) {
            counting.add(key, value);
            if (on_entry) on_entry(key, value);
        },
        kBlock - 1);
    base::Status parsed;
    base::Sha256 sha;
    std::string chunk;
    for (std::uint64_t left = out.bytes > kDigest ? out.bytes - kDigest : 0; left > 0;
         left -= chunk.size()) {
        chunk.resize(std::min<std::uint64_t>(left, kReadBytes));
        TRY_VOID(file.read(&chunk));
        if (left + kDigest == out.bytes && BoltFile::is_one(chunk))
            return base::data_loss(
                path +
                ": a database of etcd (bbolt), not a snapshot of Coxswain; coxctl import "
                "--from-snapshot reads it");
        sha.add(chunk);
        if (parsed) parsed = parser.add(chunk);
    }
    if (out.bytes % kBlock != kDigest)
        return base::data_loss(fmt::format(
            "{}: cut short, or no snapshot: {} bytes are not whole blocks of {} and a SHA-256",
            path, out.bytes, kBlock));
    std::string told(kDigest, '\0');
    TRY_VOID(file.read(&told));
    const std::string digest = sha.finish();
    if (digest != told)
        return base::data_loss(path + ": damaged: its SHA-256 does not match" +
                               (parsed ? "" : " (" + parsed.error().message + ")"));
    if (parsed && !parser.complete()) parsed = base::data_loss("the snapshot ends too early");
    if (parsed) parsed = counting.status();
    if (!parsed) return parsed.error().with_context(path);
    out.hash = parser.checksum();
    out.sha256 = base::hex_encode(digest);
    return out;
}

}  // namespace kvstore
