#include "kvstore/restore.h"

#include <fmt/format.h>

#include <limits>

#include "base/bytes.h"
#include "base/check.h"
#include "base/file.h"
#include "base/loop.h"
#include "kvstore/mvcc/schema.h"
#include "kvstore/mvcc/snapshot.h"
#include "kvstore/replica/member_codec.h"
#include "raft/wal/posix_disk.h"
#include "raft/wal/wal.h"

namespace kvstore {
namespace {

constexpr std::size_t kCommitBytes = 1 << 20;
// Where a restored log begins: with a state behind it, so that a member whose database is lost gets
// it from the others and never builds it from the log alone.
constexpr raft::Position kStart{raft::Index(1), raft::Term(1)};

bool is_of_old_cluster(std::string_view key) {
    return key == schema::kMetaApplied || key == schema::kMetaMembership ||
           key == schema::kMetaAlarms;
}

base::Result<Restored> write_database(const RestoreOptions& options, const raft::Config& config) {
    DatabaseDirectory directory(options.directory + "/db", {});
    TRY(auto db, directory.open());
    std::size_t uncommitted = 0;
    Restored out;
    TRY(out.snapshot,
        read_snapshot_file(options.snapshot, [&](std::string_view key, std::string_view value) {
            if (is_of_old_cluster(key)) return;
            db->put(key, value);
            uncommitted += key.size() + value.size();
            if (uncommitted < kCommitBytes) return;
            db->commit();
            uncommitted = 0;
        }));
    if (out.snapshot.revision > std::numeric_limits<std::int64_t>::max() - options.bump_revision)
        return base::invalid_argument(fmt::format("--bump-revision {} is too much for revision {}",
                                                  options.bump_revision, out.snapshot.revision));
    out.revision = out.snapshot.revision + options.bump_revision;
    db->put(schema::kMetaRevision, schema::encode_number(out.revision));
    if (options.mark_compacted)
        db->put(schema::kMetaCompacted, schema::encode_number(out.revision));
    db->put(schema::kMetaApplied,
            schema::encode_applied(kStart.index.value(), kStart.term.value()));
    db->put(schema::kMetaMembership, encode(raft::ConfigEntry{{}, config}));
    db->commit();
    TRY_VOID(db->sync());
    out.cluster_id = options.cluster_id(out.snapshot);
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
            disk->on_trouble([&](base::Status trouble) {
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
    TRY_VOID(base::make_directories(options.directory, 0700));
    TRY(Restored out, write_database(options, config));
    TRY_VOID(write_log(options, out.cluster_id, config));
    return out;
}

}  // namespace kvstore
