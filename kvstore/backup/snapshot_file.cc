#include "kvstore/backup/snapshot_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/unordered/unordered_flat_set.hpp>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "kvstore/backup/etcd_buckets.h"
#include "kvstore/proto/auth.pb.h"

namespace kvstore {

base::Error SnapshotFile::damaged(std::string_view what) const {
    return base::data_loss(fmt::format("{}: damaged: {}", path_, what));
}

base::Result<std::unique_ptr<SnapshotFile>> SnapshotFile::open(const std::string& path) {
    TRY(auto bolt, BoltFile::open(path));
    return std::unique_ptr<SnapshotFile>(new SnapshotFile(path, std::move(bolt)));
}

base::Status SnapshotFile::for_each_version(const OnVersion& visit) const {
    Version last;
    return bolt_->for_each(etcd::kKeys, [&](std::string_view key, std::string_view value) {
        const auto at = etcd::parse_revision(key);
        if (!at) return base::Status(damaged("a key of the bucket \"key\" is no revision"));
        Version version{at->main, at->sub, at->is_deletion, {}, value};
        if (std::pair(at->main, at->sub) <= std::pair(last.revision, last.sub))
            return base::Status(damaged(fmt::format("revision {} is not in its place", at->main)));
        if (!value.empty()) {
            const auto record = RecordView::parse(value);
            if (!record || record->key.empty() || record->apart ||
                (!at->is_deletion && record->mod_revision != at->main))
                return base::Status(
                    damaged(fmt::format("the record of revision {} cannot be read", at->main)));
            version.record = *record;
        }
        last = version;
        return visit(version);
    });
}

base::Status SnapshotFile::for_each_lease(const OnLease& visit) const {
    return bolt_->for_each(etcd::kLeases, [&](std::string_view key, std::string_view value) {
        EtcdLease theirs;
        if (key.size() != sizeof(std::int64_t) ||
            !theirs.ParseFromArray(value.data(), static_cast<int>(value.size())))
            return base::Status(damaged("a lease cannot be read"));
        LeaseRecord lease;
        lease.set_ttl_seconds(theirs.ttl());
        lease.set_remaining_seconds(theirs.remaining_ttl());
        return visit(base::load_be<std::int64_t>(key.data()), lease);
    });
}

template <class Record, class Visit>
base::Status SnapshotFile::for_each_record(std::string_view bucket, const Visit& visit) const {
    return bolt_->for_each(bucket, [&](std::string_view /*name*/, std::string_view bytes) {
        Record record;
        if (!record.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
            return base::Status(damaged("a user or a role cannot be read"));
        return visit(record);
    });
}

base::Status SnapshotFile::for_each_user(const OnUser& visit) const {
    return for_each_record<authpb::User>(etcd::kUsers, visit);
}

base::Status SnapshotFile::for_each_role(const OnRole& visit) const {
    return for_each_record<authpb::Role>(etcd::kRoles, visit);
}

base::Result<AuthRecord> SnapshotFile::auth() const {
    AuthRecord out;
    TRY_VOID(bolt_->for_each(etcd::kAuth, [&](std::string_view key, std::string_view value) {
        if (key == etcd::kAuthEnabled) out.set_enabled(value == "\1");
        if (key == etcd::kAuthRevision) {
            if (value.size() != sizeof(std::uint64_t))
                return base::Status(damaged("the revision of users and roles cannot be read"));
            out.set_revision(base::load_be<std::uint64_t>(value.data()));
        }
        return base::Status();
    }));
    return out;
}

base::Result<std::int64_t> SnapshotFile::compacted() const {
    std::int64_t out = 0;
    TRY_VOID(bolt_->for_each(etcd::kMeta, [&](std::string_view key, std::string_view value) {
        if (key != etcd::kFinishedCompaction && key != etcd::kScheduledCompaction)
            return base::Status();
        const auto at = etcd::parse_revision(value);
        if (!at) return base::Status(damaged("the compacted revision cannot be read"));
        out = std::max(out, at->main);
        return base::Status();
    }));
    return out;
}

base::Result<SnapshotSummary> SnapshotFile::summary() const {
    SnapshotSummary out;
    out.sha256 = base::hex_encode(bolt_->sha256());
    out.bytes = bolt_->file_bytes();
    TRY(const auto buckets, bolt_->buckets());
    if (std::find(buckets.begin(), buckets.end(), etcd::kKeys) == buckets.end())
        return base::data_loss(path_ +
                               ": a bbolt database, but none of etcd's: it has no bucket \"key\"");
    for (const auto& bucket : buckets) {
        out.hash = base::crc32c(bucket, out.hash);
        TRY_VOID(bolt_->for_each(bucket, [&](std::string_view key, std::string_view value) {
            out.hash = base::crc32c(value, base::crc32c(key, out.hash));
            return base::Status();
        }));
    }
    boost::unordered_flat_set<std::string_view, std::hash<std::string_view>> live;
    TRY_VOID(for_each_version([&](const Version& version) {
        out.revision = version.revision;
        if (version.record.key.empty()) return base::Status();
        ++out.versions;
        if (version.is_deletion)
            live.erase(version.record.key);
        else
            live.insert(version.record.key);
        return base::Status();
    }));
    out.keys = live.size();
    TRY_VOID(for_each_lease([&](std::int64_t /*id*/, const LeaseRecord& /*lease*/) {
        ++out.leases;
        return base::Status();
    }));
    TRY_VOID(for_each_user([&](const authpb::User& /*user*/) {
        ++out.users;
        return base::Status();
    }));
    TRY_VOID(for_each_role([](const authpb::Role& /*role*/) { return base::Status(); }));
    TRY_VOID(auth());
    TRY(out.compacted, compacted());
    if (out.compacted > out.revision)
        return damaged(fmt::format("revision {} is compacted, and the newest is {}", out.compacted,
                                   out.revision));
    return out;
}

}  // namespace kvstore
