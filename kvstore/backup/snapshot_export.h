#pragma once
// SnapshotExport: the store as a snapshot file of etcd's (docs/storage.md): a bbolt database with
// etcd's buckets, and its SHA-256. It holds what can be read, at every revision, and leases, users
// and roles; not who the members are, nor alarms.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "kvstore/mvcc/db.h"

namespace kvstore {

class BoltWriter;

class SnapshotExport {
  public:
    // Of what is committed now. Store loop.
    explicit SnapshotExport(std::shared_ptr<const Database> db);

    struct File {
        std::unique_ptr<base::UnnamedFile> file;
        std::uint64_t bytes = 0;
    };
    // Once. Blocking; on any one thread. In between it needs as much again of the directory's disk,
    // and 24 bytes of memory for each version of a key. ResourceExhausted where more than a
    // megabyte would leave the disk less than kLeftBytes.
    base::Result<File> write(const std::string& directory);
    // For the member, which goes on.
    static constexpr std::uint64_t kLeftBytes = std::uint64_t{128} << 20;

  private:
    struct Version {
        enum class Kind : std::uint8_t { kRecord, kLarge, kDeletion };
        std::int64_t revision = 0;
        std::uint64_t at = 0;  // in spool_: its record, or its key
        std::uint32_t bytes = 0;
        Kind kind = Kind::kRecord;
    };
    using Versions = std::vector<Version>;

    std::int64_t number(std::string_view key) const;
    // LevelDB has versions in the order of keys, etcd in that of revisions.
    base::Status gather();
    base::Status spool(Version version, std::string_view bytes);
    base::Status write_spool();
    base::Status check_room() const;
    // Of one revision: in the order in which they happened, as far as that can be known.
    base::Status order(Versions::iterator begin, Versions::iterator end) const;
    base::Result<std::string> key_of(const Version& version) const;
    base::Result<std::string> record_of(const Version& version) const;
    base::Status write_versions(BoltWriter& out);
    base::Status write_users(BoltWriter& out) const;
    base::Status write_leases(BoltWriter& out) const;

    const std::shared_ptr<const Database> db_;
    const std::unique_ptr<Cursor> cursor_;
    const std::int64_t revision_;
    const std::int64_t compacted_;
    std::string directory_;
    Versions versions_;
    std::unique_ptr<base::UnnamedFile> spool_;
    std::string buffer_;  // on its way there
    std::uint64_t spooled_ = 0;
};

}  // namespace kvstore
