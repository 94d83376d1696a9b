// A file of etcd's as a broken disk or a stranger might give it: it is read, or an error, and never
// a read outside of it.

#include <fcntl.h>
#include <unistd.h>

#include <fstream>

#include "base/bytes.h"
#include "base/check.h"
#include "base/file.h"
#include "kvstore/backup/bolt_file.h"
#include "kvstore/backup/bolt_format.h"
#include "kvstore/backup/bolt_writer.h"
#include "kvstore/backup/etcd_buckets.h"
#include "kvstore/backup/snapshot_file.h"
#include "test/fuzz/target.h"

namespace fuzz {
namespace {

using namespace kvstore;

constexpr std::size_t kPage = 512;
constexpr std::size_t kHead = bolt::kPageHeader;
constexpr std::size_t kChecked = bolt::kHeadChecked;  // its checksum follows

const std::string& path() {
    static const Scratch file("bolt");
    return file.path();
}

template <class T>
void set(std::string* page, std::size_t at, T value) {
    std::string bytes;
    base::append_le(&bytes, value);
    page->replace(at, bytes.size(), bytes);
}

void mend_checksum(std::string* file, std::size_t page) {
    if (file->size() < page + kHead + kChecked + sizeof(std::uint64_t)) return;
    set(file, page + kHead + kChecked,
        bolt::fnv1a(std::string_view(*file).substr(page + kHead, kChecked)));
}

std::string page(std::uint64_t id, std::uint16_t flags, std::uint16_t count) {
    std::string out(kPage, '\0');
    set(&out, 0, id);
    set(&out, 8, flags);
    set(&out, 10, count);
    return out;
}

std::string meta(std::uint64_t id, std::uint64_t root, std::uint64_t pages) {
    std::string out = page(id, bolt::kHeadPage, 0);
    set(&out, kHead, bolt::kMagic);
    set(&out, kHead + 4, bolt::kVersion);
    set(&out, kHead + 8, static_cast<std::uint32_t>(kPage));
    set(&out, kHead + 16, root);
    set(&out, kHead + 40, pages);
    set(&out, kHead + 48, id);
    mend_checksum(&out, 0);
    return out;
}

struct Entry {
    std::uint32_t flags;
    std::string key, value;
};

std::string leaf(std::uint64_t id, const std::vector<Entry>& entries) {
    std::string out = page(id, 2, static_cast<std::uint16_t>(entries.size()));
    std::size_t at = kHead + 16 * entries.size();
    for (std::size_t i = 0; i < entries.size(); ++i) {
        const std::size_t element = kHead + 16 * i;
        const std::string both = entries[i].key + entries[i].value;
        set(&out, element, entries[i].flags);
        set(&out, element + 4, static_cast<std::uint32_t>(at - element));
        set(&out, element + 8, static_cast<std::uint32_t>(entries[i].key.size()));
        set(&out, element + 12, static_cast<std::uint32_t>(entries[i].value.size()));
        out.replace(at, both.size(), both);
        at += both.size();
    }
    return out;
}

std::string bucket(std::uint64_t root, const std::string& in_line) {
    std::string out;
    base::append_le(&out, root);
    base::append_le(&out, std::uint64_t{0});
    return out + in_line;
}

// A bucket on pages of its own, under a branch, or in its entry.
std::string file(bool on_pages) {
    std::string branch = page(4, 1, 2);
    set(&branch, kHead + 8, std::uint64_t{5});
    set(&branch, kHead + 16 + 8, std::uint64_t{6});
    const std::string in_line = leaf(0, {{0, "k", "v"}}).substr(0, 40);
    return meta(0, 3, 7) + meta(1, 3, 7) + page(2, 16, 0) +
           leaf(3, {{0, "a", "no bucket"}, {1, "key", bucket(on_pages ? 4 : 0, in_line)}}) +
           branch + leaf(5, {{0, "k1", "v1"}, {0, "k2", "v2"}}) +
           leaf(6, {{0, "k3", std::string(100, 'v')}});
}

std::size_t entries_of(const std::string& bytes) {
    std::ofstream(path(), std::ios::binary | std::ios::trunc) << bytes;
    const auto bolt = BoltFile::open(path());
    if (!bolt) return 0;
    std::size_t count = 0;
    std::size_t sum = 0;
    (void)(*bolt)->for_each("key", [&](std::string_view key, std::string_view value) {
        ++count;
        for (const char c : key)
            sum += static_cast<unsigned char>(c);
        for (const char c : value)
            sum += static_cast<unsigned char>(c);
        return base::Status();
    });
    return sum > 0 ? count : 0;
}

// What etcd's buckets hold, all of it read.
bool is_snapshot(const std::string& bytes) {
    std::ofstream(path(), std::ios::binary | std::ios::trunc) << bytes;
    const auto snapshot = SnapshotFile::open(path());
    return snapshot && (*snapshot)->summary();
}

std::string snapshot() {
    const int fd = ::open(path().c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    BoltWriter out(fd, path());
    const auto bucket = [&](std::string_view name, const auto& entries) {
        out.begin_bucket(name);
        for (const auto& [key, value] : entries)
            CHECK(out.add(key, value));
        CHECK(out.end_bucket());
    };
    using Entries = std::vector<std::pair<std::string, std::string>>;
    bucket(etcd::kAuth, Entries{{std::string(etcd::kAuthRevision), std::string(8, '\0')}});
    bucket(etcd::kRoles, Entries{{"r", "\n\1r"}});
    bucket(etcd::kUsers, Entries{{"u", "\n\1u"}});
    bucket(etcd::kKeys,
           Entries{{etcd::encode({2, 0, false}), RecordView{"k", 2, 2, 1, "v", 7}.encode()},
                   {etcd::encode({2, 1, true}), RecordView{.key = "k"}.encode()},
                   {etcd::encode({9, 0, false}), ""}});
    EtcdLease lease;
    lease.set_id(7);
    lease.set_ttl(60);
    lease.set_remaining_ttl(20);
    bucket(etcd::kLeases, Entries{{std::string(7, '\0') + "\7", lease.SerializeAsString()}});
    bucket(etcd::kMeta,
           Entries{{std::string(etcd::kFinishedCompaction), etcd::encode({2, 0, false})}});
    CHECK(out.finish());
    ::close(fd);
    return base::read_file(path()).value();
}

}  // namespace

// The first byte: whether the checksums of both heads are made right, so that the rest is reached.
void run(std::string_view input) {
    Reader in(input);
    const bool mend = in.byte() % 2 == 1;
    std::string bytes(in.rest());
    if (mend) mend_checksum(&bytes, 0);
    if (mend) mend_checksum(&bytes, kPage);
    (void)entries_of(bytes);
    (void)is_snapshot(bytes);
}

std::vector<std::string> seeds() {
    CHECK(entries_of(file(true)) == 3 && entries_of(file(false)) == 1);
    CHECK(is_snapshot(snapshot()));
    return {"\1" + snapshot(), "\1" + file(true), "\1" + file(false),
            std::string(1, '\0') + file(true)};
}

}  // namespace fuzz
