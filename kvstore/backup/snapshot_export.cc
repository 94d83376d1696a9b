#include "kvstore/backup/snapshot_export.h"

#include <unistd.h>

#include <algorithm>
#include <map>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/sha256.h"
#include "kvstore/backup/bolt_writer.h"
#include "kvstore/backup/etcd_buckets.h"
#include "kvstore/mvcc/record.h"
#include "kvstore/mvcc/schema.h"
#include "kvstore/proto/command.pb.h"

namespace kvstore {
namespace {

constexpr std::size_t kBufferBytes = 1 << 20;

template <class Message>
base::Status parse(std::string_view bytes, Message* out) {
    if (out->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return {};
    return base::data_loss("a record of the database cannot be read");
}

}  // namespace

SnapshotExport::SnapshotExport(std::shared_ptr<const Database> db)
    : db_(std::move(db)),
      cursor_(db_->snapshot_cursor()),
      revision_(std::max<std::int64_t>(number(schema::kMetaRevision), 1)),
      compacted_(number(schema::kMetaCompacted)) {}

std::int64_t SnapshotExport::number(std::string_view key) const {
    const auto bytes = cursor_->get(key);
    if (!bytes) return 0;
    CHECK(bytes->size() == sizeof(std::int64_t), "{} has {} bytes", key, bytes->size());
    return base::load_le<std::int64_t>(bytes->data());
}

base::Status SnapshotExport::check_room() const {
    const std::uint64_t free = base::free_bytes(directory_);
    if (free == 0 || free >= kLeftBytes) return {};
    return base::Error(base::Code::kResourceExhausted,
                       "etcdserver: no room for a snapshot in " + directory_ + ": the last " +
                           std::to_string(kLeftBytes >> 20) + " MiB are the store's");
}

base::Status SnapshotExport::write_spool() {
    return base::write_all(spool_->fd(), std::exchange(buffer_, {}), spool_->path());
}

base::Status SnapshotExport::spool(Version version, std::string_view bytes) {
    version.at = spooled_;
    version.bytes = static_cast<std::uint32_t>(bytes.size());
    versions_.push_back(version);
    spooled_ += bytes.size();
    buffer_ += bytes;
    if (buffer_.size() < kBufferBytes) return {};
    TRY_VOID(check_room());
    return write_spool();
}

// Not what was replaced up to the compacted revision, nor deletions below it: whether they are
// there still depends on how far the member has scrubbed.
base::Status SnapshotExport::gather() {
    std::string prefix;
    bool has_readable = false;  // at the compacted revision
    for (cursor_->seek(std::string(1, schema::kVersion));
         cursor_->valid() && cursor_->key()[0] == schema::kVersion; cursor_->next()) {
        const std::string_view place = cursor_->key();
        if (schema::version_prefix_of(place) != prefix) {
            prefix = schema::version_prefix_of(place);
            has_readable = false;
        }
        const std::int64_t revision = schema::version_revision(place);
        const std::string_view entry = cursor_->value();
        if (revision <= compacted_) {
            if (std::exchange(has_readable, true)) continue;
            if (entry.empty() && revision < compacted_) continue;
        }
        using Kind = Version::Kind;
        if (entry.empty())
            TRY_VOID(spool({revision, 0, 0, Kind::kDeletion}, schema::version_user_key(place)));
        else if (RecordView::is_head(entry))
            TRY_VOID(spool({revision, 0, 0, Kind::kLarge}, schema::version_user_key(place)));
        else
            TRY_VOID(spool({revision, 0, 0, Kind::kRecord}, entry));
    }
    TRY_VOID(write_spool());
    // The spool has each revision's in the order of keys.
    std::sort(versions_.begin(), versions_.end(), [](const Version& a, const Version& b) {
        return std::pair(a.revision, a.at) < std::pair(b.revision, b.at);
    });
    return {};
}

base::Result<std::string> SnapshotExport::key_of(const Version& version) const {
    TRY(std::string bytes, spool_->read(version.at, version.bytes));
    if (version.kind != Version::Kind::kRecord) return bytes;
    const auto record = RecordView::parse(bytes);
    if (!record) return base::data_loss("a record of the database cannot be read");
    return std::string(record->key);
}

base::Result<std::string> SnapshotExport::record_of(const Version& version) const {
    TRY(std::string bytes, spool_->read(version.at, version.bytes));
    if (version.kind == Version::Kind::kRecord) return bytes;
    if (version.kind == Version::Kind::kDeletion) return RecordView{.key = bytes}.encode();
    auto record = cursor_->get(schema::large_key(bytes, version.revision));
    if (!record)
        return base::data_loss("the large record of revision " + std::to_string(version.revision) +
                               " is not there");
    return std::move(*record);
}

base::Status SnapshotExport::order(Versions::iterator begin, Versions::iterator end) const {
    const std::int64_t revision = begin->revision;
    // Of what was compacted nobody can see in which order it happened.
    if (end - begin == 1 || revision < compacted_) return {};
    std::map<std::string, std::int64_t, std::less<>> subs;
    const auto walk = cursor_->twin();
    for (walk->seek(schema::revision_key(revision)); walk->valid(); walk->next()) {
        const auto at = schema::parse_revision_key(walk->key());
        if (!at || at->revision != revision) break;
        const auto change = schema::parse_change(walk->value());
        if (change) subs[std::string(change->key)] = at->sub;
    }
    std::map<std::int64_t, Version> sorted;
    for (auto it = begin; it != end; ++it) {
        TRY(const std::string key, key_of(*it));
        const auto sub = subs.find(key);
        if (sub == subs.end() || !sorted.emplace(sub->second, *it).second)
            return base::data_loss("what happened at revision " + std::to_string(revision) +
                                   " cannot be read");
    }
    std::transform(sorted.begin(), sorted.end(), begin, [](const auto& e) { return e.second; });
    return {};
}

base::Status SnapshotExport::write_versions(BoltWriter& out) {
    out.begin_bucket(etcd::kKeys);
    std::size_t written = 0;  // since it was last checked that there is room
    for (auto begin = versions_.begin(); begin != versions_.end();) {
        const auto end = std::find_if(begin, versions_.end(), [&](const Version& v) {
            return v.revision != begin->revision;
        });
        TRY_VOID(order(begin, end));
        for (auto it = begin; it != end; ++it) {
            TRY(const std::string record, record_of(*it));
            written += record.size();
            if (written >= kBufferBytes) {
                written = 0;
                TRY_VOID(check_room());
            }
            TRY_VOID(out.add(
                etcd::encode({it->revision, it - begin, it->kind == Version::Kind::kDeletion}),
                record));
        }
        begin = end;
    }
    // Revisions that were skipped when this store was restored: as etcd notes it.
    if (revision_ > 1 && (versions_.empty() || versions_.back().revision < revision_))
        TRY_VOID(out.add(etcd::encode({revision_, 0, false}), {}));
    return out.end_bucket();
}

base::Status SnapshotExport::write_users(BoltWriter& out) const {
    AuthRecord state;
    if (const auto bytes = cursor_->get(schema::kAuthState)) TRY_VOID(parse(*bytes, &state));
    std::string revision;
    base::append_be(&revision, std::max<std::uint64_t>(state.revision(), 1));
    out.begin_bucket(etcd::kAuth);
    TRY_VOID(out.add(etcd::kAuthEnabled, std::string(1, state.enabled() ? '\1' : '\0')));
    TRY_VOID(out.add(etcd::kAuthRevision, revision));
    TRY_VOID(out.end_bucket());
    for (const auto& [bucket, space] : {std::pair(etcd::kRoles, schema::kAuthRoles),
                                        std::pair(etcd::kUsers, schema::kAuthUsers)}) {
        out.begin_bucket(bucket);
        for (cursor_->seek(space); cursor_->valid() && cursor_->key().starts_with(space);
             cursor_->next())
            TRY_VOID(out.add(cursor_->key().substr(space.size()), cursor_->value()));
        TRY_VOID(out.end_bucket());
    }
    return {};
}

base::Status SnapshotExport::write_leases(BoltWriter& out) const {
    out.begin_bucket(etcd::kLeases);
    for (cursor_->seek(std::string(1, schema::kLease)); cursor_->valid(); cursor_->next()) {
        const auto id = schema::parse_lease_key(cursor_->key());
        if (!id) break;
        LeaseRecord lease;
        TRY_VOID(parse(cursor_->value(), &lease));
        std::string key;
        base::append_be(&key, *id);
        EtcdLease theirs;
        theirs.set_id(*id);
        theirs.set_ttl(lease.ttl_seconds());
        theirs.set_remaining_ttl(lease.remaining_seconds());
        TRY_VOID(out.add(key, theirs.SerializeAsString()));
    }
    return out.end_bucket();
}

base::Result<SnapshotExport::File> SnapshotExport::write(const std::string& directory) {
    directory_ = directory;
    TRY(spool_, base::UnnamedFile::open(directory));
    TRY_VOID(gather());
    File out;
    TRY(out.file, base::UnnamedFile::open(directory));
    BoltWriter writer(out.file->fd(), out.file->path());
    TRY_VOID(write_users(writer));
    TRY_VOID(write_versions(writer));
    TRY_VOID(write_leases(writer));
    writer.begin_bucket(etcd::kMeta);
    if (compacted_ > 0)
        for (const auto name : {etcd::kFinishedCompaction, etcd::kScheduledCompaction})
            TRY_VOID(writer.add(name, etcd::encode({compacted_, 0, false})));
    TRY_VOID(writer.end_bucket());
    TRY(out.bytes, writer.finish());
    base::Sha256 sha;
    for (std::uint64_t at = 0; at < out.bytes;) {
        TRY(const std::string chunk,
            out.file->read(at, std::min<std::uint64_t>(kBufferBytes, out.bytes - at)));
        sha.add(chunk);
        at += chunk.size();
    }
    const std::string digest = sha.finish();
    if (::lseek(out.file->fd(), 0, SEEK_END) < 0)
        return base::errno_error(errno, "seek in " + out.file->path());
    TRY_VOID(base::write_all(out.file->fd(), digest, out.file->path()));
    out.bytes += digest.size();
    return out;
}

}  // namespace kvstore
