#pragma once
// BoltFile: reads a bbolt database, which is what an etcd snapshot and an etcd member's `db` are: a
// B+ tree of pages, with buckets as values (bolt_format.h). It reads every entry of a bucket at the
// top, in order. The file is mapped; what is handed out points into it. Each offset that the
// file names is checked, so a damaged file is an error and never a read outside. Blocking; one
// thread.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace kvstore {

class BoltFile {
  public:
    // DataLoss, which names the file, when it is no bbolt database or its head is damaged. A
    // SHA-256 at the end, as `etcdctl snapshot save` writes it, is checked.
    static base::Result<std::unique_ptr<BoltFile>> open(const std::string& path);
    ~BoltFile();
    BoltFile(const BoltFile&) = delete;
    BoltFile& operator=(const BoltFile&) = delete;

    std::uint64_t file_bytes() const { return mapped_; }
    // Of the database.
    const std::string& sha256() const { return sha256_; }
    // Whether the file tells it: a member's own does not.
    bool has_checksum() const { return size_ < mapped_; }
    // The names of the buckets at the top, in order.
    base::Result<std::vector<std::string>> buckets() const;
    // Visits the entries of a bucket; none when there is no such bucket. `visit` may end it with an
    // error of its own.
    using Visit = std::function<base::Status(std::string_view key, std::string_view value)>;
    base::Status for_each(std::string_view bucket, const Visit& visit) const;

  private:
    explicit BoltFile(std::string path) : path_(std::move(path)) {}
    base::Status read_head();
    base::Status check_digest();
    base::Error damaged(std::string_view what) const;

    // A page's elements; `inline_page` when it lies in a bucket's value instead of at `id`.
    struct Walk;
    base::Result<std::string_view> page(std::uint64_t id) const;
    base::Status walk(Walk* walk, std::string_view page, int depth) const;
    // Visits the buckets at the top; their values as they lie there.
    base::Status for_each_bucket(const Visit& visit) const;

    std::string path_;
    int fd_ = -1;
    const char* data_ = nullptr;
    std::size_t size_ = 0;  // without the SHA-256
    std::size_t mapped_ = 0;
    std::string sha256_;
    std::size_t page_size_ = 0;
    std::uint64_t root_ = 0;
    std::uint64_t high_water_ = 0;
};

}  // namespace kvstore
