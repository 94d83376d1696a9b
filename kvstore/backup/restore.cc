#include "kvstore/backup/restore.h"

#include <fmt/format.h>

#include <limits>

#include "base/bytes.h"
#include "base/check.h"
#include "base/file.h"
#include "base/loop.h"
#include "kvstore/mvcc/schema.h"
#include "kvstore/mvcc/snapshot.h"
#include "kvstore/mvcc/store.h"
#include "kvstore/proto/auth.pb.h"
#include "kvstore/replica/member_codec.h"
#include "raft/wal/posix_disk.h"
#include "raft/wal/wal.h"

namespace kvstore {
namespace {

constexpr std::size_t kCommitBytes = 1 << 20;
// Where a restored log begins: with a state behind it, so that a member whose database is lost gets
// it from the others and never builds it from the log alone.
constexpr raft::Position kStart{raft::Index(1), raft::Term(1)};

base::Status write_versions(const SnapshotFile& file, Database& db) {
    MvccStore store(db);
    store.wants_events = false;
    std::size_t uncommitted = 0;
    TRY_VOID(file.for_each_version([&](const SnapshotFile::Version& version) {
        const std::string_view key = version.record.key;
        if (key.empty()) return base::Status();
        if (version.is_deletion)
            store.take_deletion(version.revision, version.sub, key);
        else
            store.take_version(version.revision, version.sub, version.record);
        uncommitted += version.bytes.size();
        if (uncommitted < kCommitBytes) return base::Status();
        db.commit();
        uncommitted = 0;
        return base::Status();
    }));
    db.commit();
    return {};
}

base::Status write_leases_and_users(const SnapshotFile& file, Database& db) {
    TRY_VOID(file.for_each_lease([&](std::int64_t id, const LeaseRecord& lease) {
        db.put(schema::lease_key(id), lease.SerializeAsString());
        return base::Status();
    }));
    const auto put = [&db](std::string_view space, const auto& record) {
        db.put(std::string(space) + record.name(), record.SerializeAsString());
        return base::Status();
    };
    TRY_VOID(file.for_each_user(
        [&](const authpb::User& user) { return put(schema::kAuthUsers, user); }));
    TRY_VOID(file.for_each_role(
        [&](const authpb::Role& role) { return put(schema::kAuthRoles, role); }));
    TRY(const AuthRecord auth, file.auth());
    if (auth.revision() > 0) db.put(schema::kAuthState, auth.SerializeAsString());
    return {};
}

base::Result<Restored> write_database(const RestoreOptions& options, const raft::Config& config) {
    TRY(const auto file, SnapshotFile::open(options.snapshot));
    if (!file->has_checksum() && !options.without_checksum)
        return base::invalid_argument(
            options.snapshot +
            " has no SHA-256, so it is cut short, or a member's own file: --skip-hash-check takes "
            "it as it is");
    Restored out;
    TRY(out.snapshot, file->summary());
    if (out.snapshot.revision > std::numeric_limits<std::int64_t>::max() - options.bump_revision)
        return base::invalid_argument(fmt::format("--bump-revision {} is too much for revision {}",
                                                  options.bump_revision, out.snapshot.revision));
    out.revision = out.snapshot.revision + options.bump_revision;
    out.cluster_id = options.cluster_id(out.snapshot);
    TRY_VOID(base::make_directories(options.directory, 0700));
    DatabaseDirectory directory(options.directory + "/db", {});
    TRY(const auto db, directory.open());
    TRY_VOID(write_versions(*file, *db));
    TRY_VOID(write_leases_and_users(*file, *db));
    db->put(schema::kMetaFormat, schema::encode_number(schema::kFormat));
    db->put(schema::kMetaRevision, schema::encode_number(out.revision));
    // What cannot be read any more, and was not freed yet, is freed by the store.
    const std::int64_t compacted = options.mark_compacted ? out.revision : out.snapshot.compacted;
    if (compacted > 0) db->put(schema::kMetaCompacted, schema::encode_number(compacted));
    db->put(schema::kMetaApplied,
            schema::encode_applied(kStart.index.value(), kStart.term.value()));
    db->put(schema::kMetaMembership, encode(raft::ConfigEntry{{}, config}));
    db->commit();
    TRY_VOID(db->sync());
    return out;
}

// A log without entries that begins behind kStart.
base::Status write_log(const RestoreOptions& options, std::uint64_t cluster_id,
                       const raft::Config& config) {
    base::Loop loop("restore");
    base::Status status;
    std::unique_ptr<raft::Disk> disk;
    std::unique_ptr<raft::Wal> wal;
    raft::WalRecovered recovered;
    loop.post([&] {
        auto make = [&]() -> base::Status {
            TRY(disk, raft::PosixDisk::open(loop, options.directory + "/log"));
            disk->on_trouble([&](const base::Status& trouble) {
                if (trouble) return;
                status = trouble;
                loop.stop();
            });
            raft::WalOptions wal_options;
            wal_options.cluster_id = cluster_id;
            wal_options.node = options.id;
            wal_options.fallback = config;
            TRY(wal, raft::Wal::open(*disk, wal_options, &recovered, nullptr));
            if (!recovered.fresh) return base::invalid_argument("there is a log already");
            wal->reset(kStart, config, [&] { loop.stop(); });
            return {};
        };
        status = make();
        if (!status) loop.stop();
    });
    loop.run();
    wal.reset();
    disk.reset();
    return status;
}

}  // namespace

base::Result<Restored> restore_snapshot(const RestoreOptions& options) {
    const raft::Config config = to_config(options.members);
    CHECK(config.find(options.id) != nullptr, "the members do not contain this one");
    TRY(Restored out, write_database(options, config));
    TRY_VOID(write_log(options, out.cluster_id, config));
    return out;
}

}  // namespace kvstore
