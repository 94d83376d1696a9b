#pragma once
// SnapshotFile: reads what `coxctl snapshot save` and `etcdctl snapshot save` write, of Coxswain
// and of an etcd: a bbolt database with etcd's buckets, and its SHA-256 (docs/storage.md); also an
// etcd member's own file, which has none. The file is mapped, and views point into it. Blocking;
// one thread.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "kvstore/backup/bolt_file.h"
#include "kvstore/mvcc/record.h"
#include "kvstore/proto/command.pb.h"

namespace authpb {
class Role;
class User;
}  // namespace authpb

namespace kvstore {

struct SnapshotSummary {
    std::uint32_t hash = 0;  // CRC-32C of names of buckets, keys and values, as etcdctl counts it
    std::string sha256;      // of the database, in hexadecimal
    std::int64_t revision = 1;
    std::int64_t compacted = 0;
    std::uint64_t keys = 0;      // that live
    std::uint64_t versions = 0;  // of keys, of every age, deletions included
    std::uint64_t leases = 0;
    std::uint64_t users = 0;
    std::uint64_t bytes = 0;  // of the file
};

class SnapshotFile {
  public:
    // DataLoss, which names the file, when it is something else or its SHA-256 is not that of its
    // content.
    static base::Result<std::unique_ptr<SnapshotFile>> open(const std::string& path);

    bool has_checksum() const { return bolt_->has_checksum(); }
    // Reads everything; DataLoss, which names the file, for what cannot be read.
    base::Result<SnapshotSummary> summary() const;

    // What happened, in order.
    struct Version {
        std::int64_t revision = 0;
        std::int64_t sub = 0;
        bool is_deletion = false;
        // Its key is empty where revisions were skipped (`etcdutl snapshot restore
        // --bump-revision`).
        RecordView record;
        std::string_view bytes;  // of the record
    };
    using OnVersion = std::function<base::Status(const Version& version)>;
    base::Status for_each_version(const OnVersion& visit) const;
    using OnLease = std::function<base::Status(std::int64_t id, const LeaseRecord& lease)>;
    base::Status for_each_lease(const OnLease& visit) const;
    using OnUser = std::function<base::Status(const authpb::User& user)>;
    base::Status for_each_user(const OnUser& visit) const;
    using OnRole = std::function<base::Status(const authpb::Role& role)>;
    base::Status for_each_role(const OnRole& visit) const;
    base::Result<AuthRecord> auth() const;
    // 0: nothing ever was.
    base::Result<std::int64_t> compacted() const;

  private:
    SnapshotFile(std::string path, std::unique_ptr<BoltFile> bolt)
        : path_(std::move(path)), bolt_(std::move(bolt)) {}
    base::Error damaged(std::string_view what) const;
    template <class Record, class Visit>
    base::Status for_each_record(std::string_view bucket, const Visit& visit) const;

    std::string path_;
    std::unique_ptr<BoltFile> bolt_;
};

}  // namespace kvstore
