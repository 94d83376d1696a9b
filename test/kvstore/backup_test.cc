// Files in etcd's format: bbolt databases as BoltWriter makes them, and what a snapshot keeps of a
// store. That a real etcd and its etcdctl read them is in test/integration/snapshot_test.py.

#include <fcntl.h>
#include <unistd.h>

#include <fstream>
#include <map>

#include "kvstore/backup/bolt_file.h"
#include "kvstore/backup/bolt_writer.h"
#include "kvstore/backup/snapshot_export.h"
#include "kvstore/backup/snapshot_file.h"
#include "kvstore/mvcc/schema.h"
#include "kvstore/proto/auth.pb.h"
#include "mvcc_fixture.h"

namespace kvstore {
namespace {

using Entries = std::map<std::string, std::string>;
using Buckets = std::map<std::string, Entries>;

std::string temporary_path() {
    return std::filesystem::temp_directory_path() / ("backup-" + base::random_uuid());
}

base::Status write(const std::string& path, const Buckets& buckets) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    BoltWriter writer(fd, path);
    for (const auto& [name, entries] : buckets) {
        writer.begin_bucket(name);
        for (const auto& [key, value] : entries)
            TRY_VOID(writer.add(key, value));
        TRY_VOID(writer.end_bucket());
    }
    const auto bytes = writer.finish();
    ::close(fd);
    if (!bytes) return bytes.error();
    EXPECT_EQ(*bytes, std::filesystem::file_size(path));
    return {};
}

Buckets read(const std::string& path) {
    Buckets out;
    const auto file = BoltFile::open(path);
    EXPECT_TRUE(file) << file.error().message;
    const std::vector<std::string> names = (*file)->buckets().value();
    for (const std::string& name : names) {
        out[name];
        std::string last;
        EXPECT_TRUE((*file)->for_each(name, [&](std::string_view key, std::string_view value) {
            EXPECT_LT(last, key);
            last = key;
            out[name].emplace(key, value);
            return base::Status();
        }));
    }
    return out;
}

std::string numbered(int i) {
    return std::to_string(1'000'000 + i);
}

TEST(BoltWriter, WhatItWritesIsRead) {
    Buckets buckets;
    buckets["empty"];
    buckets["one"]["k"] = "";
    // Values of all sizes around that of a page, and of many.
    for (int i = 0; i < 300; ++i)
        buckets["sizes"][numbered(i)] =
            std::string(static_cast<std::size_t>(i) * 47 + (i % 50 == 0 ? 100'000 : 0), 'v');
    // Three levels of branches.
    for (int i = 0; i < 60'000; ++i)
        buckets["tall"][std::string(200, 'k') + numbered(i)] = std::to_string(i);
    // Keys that fill a page each.
    for (int i = 0; i < 5; ++i)
        buckets["wide"][std::string(5000, 'k') + numbered(i)] = "v";
    for (const Buckets& some : {Buckets(), Buckets{{"empty", {}}}, buckets}) {
        const std::string path = temporary_path();
        ASSERT_TRUE(write(path, some));
        EXPECT_EQ(read(path), some);
        std::filesystem::remove(path);
    }
}

class SnapshotExportTest : public MvccTest {
  protected:
    ~SnapshotExportTest() override { std::filesystem::remove(path_); }

    // The bytes of the store's snapshot, which are in path_, too.
    std::string save() {
        db_->commit();
        SnapshotExport source(db_);
        const auto file = source.write(std::filesystem::temp_directory_path());
        EXPECT_TRUE(file) << file.error().message;
        std::string bytes = file->file->read(0, file->bytes).value();
        std::ofstream(path_, std::ios::binary | std::ios::trunc) << bytes;
        return bytes;
    }
    std::unique_ptr<SnapshotFile> file() const {
        auto out = SnapshotFile::open(path_);
        EXPECT_TRUE(out) << out.error().message;
        return std::move(*out);
    }
    SnapshotSummary summary() const {
        const auto out = file()->summary();
        EXPECT_TRUE(out) << out.error().message;
        return out.value_or(SnapshotSummary());
    }
    // "k@revision.sub" of each version, a '-' before deletions.
    std::string versions() const {
        std::string out;
        EXPECT_TRUE(file()->for_each_version([&](const SnapshotFile::Version& v) {
            out += (out.empty() ? "" : " ") + std::string(v.is_deletion ? "-" : "") +
                   std::string(v.record.key) + "@" + std::to_string(v.revision) + "." +
                   std::to_string(v.sub);
            return base::Status();
        }));
        return out;
    }
    // A store that was made of it.
    void load_into(MvccStore& store) const {
        EXPECT_TRUE(file()->for_each_version([&](const SnapshotFile::Version& v) {
            if (v.is_deletion)
                store.take_deletion(v.revision, v.sub, v.record.key);
            else
                store.take_version(v.revision, v.sub, v.record);
            return base::Status();
        }));
    }
    void scrub() {
        while (store_->scrub(1)) {
        }
    }
    // Puts b, c and then a in one revision.
    void put_three(const std::string& value) {
        etcdserverpb::TxnRequest txn;
        for (const char* key : {"b", "c", "a"}) {
            auto* put = txn.add_success()->mutable_request_put();
            put->set_key(key);
            put->set_value(value);
        }
        ASSERT_TRUE(store_->txn(txn));
    }

    const std::string path_ = temporary_path();
};

TEST_F(SnapshotExportTest, ItHasWhatHappenedInOrder) {
    put("z", "1");
    put_three("1");
    put("large", std::string(5000, 'x'));
    del("b");
    del("a", "d");
    put("b", "2");
    save();
    EXPECT_EQ(versions(), "z@2.0 b@3.0 c@3.1 a@3.2 large@4.0 -b@5.0 -a@6.0 -c@6.1 b@7.0");
    const SnapshotSummary of_it = summary();
    EXPECT_EQ(of_it.revision, 7);
    EXPECT_EQ(of_it.keys, 3U);
    EXPECT_EQ(of_it.versions, 9U);
    EXPECT_EQ(of_it.compacted, 0);
    EXPECT_EQ(of_it.bytes, std::filesystem::file_size(path_));
}

TEST_F(SnapshotExportTest, OfAnEmptyStoreItIsEmpty) {
    save();
    EXPECT_EQ(versions(), "");
    EXPECT_EQ(summary().revision, 1);
}

// Members that have freed more or less of what was compacted have the same snapshot.
TEST_F(SnapshotExportTest, ItHasWhatCanBeReadHoweverMuchIsFreed) {
    put_three("1");
    put_three("2");
    put("gone", std::string(5000, 'x'));
    del("gone");
    put("large", std::string(5000, 'y'));
    del("c");
    put_three("3");
    ASSERT_TRUE(store_->compact(7));
    const std::string before = save();
    EXPECT_EQ(versions(), "a@3.0 b@3.1 large@6.0 -c@7.0 b@8.0 c@8.1 a@8.2");
    EXPECT_EQ(file()->compacted().value(), 7);
    (void)store_->scrub(3);
    const std::string halfway = save();
    scrub();
    EXPECT_TRUE(save() == before && halfway == before);
}

TEST_F(SnapshotExportTest, AStoreThatIsMadeOfItIsTheSame) {
    for (int round = 0; round < 3; ++round)
        for (int i = 0; i < 50; ++i)
            put("k" + std::to_string(i), std::string(i % 7 == 0 ? 3000 : 3, 'v'));
    put_three("1");
    del("k1", "k2");
    put("k1", "again");
    ASSERT_TRUE(store_->compact(100));
    for (const bool freed : {false, true}) {
        if (freed) scrub();
        const std::string bytes = save();
        Database::Options options;
        options.directory = temporary_path();
        std::shared_ptr<Database> other = Database::open(options).value();
        {
            MvccStore copy(*other);
            load_into(copy);
            ASSERT_TRUE(copy.compact(100));
            while (copy.scrub(10)) {
            }
            EXPECT_EQ(copy.revision(), store_->revision());
            EXPECT_EQ(copy.keys(), store_->keys());
            EXPECT_EQ(copy.hash(0).value(), store_->hash(0).value());
            for (const std::int64_t revision : {100, 130, 153, 154})
                EXPECT_EQ(copy.range(range_request("k", "l", revision))->SerializeAsString(),
                          store_->range(range_request("k", "l", revision))->SerializeAsString());
            other->commit();
            SnapshotExport source(other);
            const auto again = source.write(std::filesystem::temp_directory_path());
            EXPECT_TRUE(again->file->read(0, again->bytes).value() == bytes);
        }
        other.reset();
        std::filesystem::remove_all(options.directory);
    }
}

TEST_F(SnapshotExportTest, ASkippedRevisionStaysSkipped) {
    put("a", "1");
    db_->put(schema::kMetaRevision, schema::encode_number(1000));
    db_->put(schema::kMetaCompacted, schema::encode_number(1000));
    store_->rebind(*db_);
    save();
    EXPECT_EQ(versions(), "a@2.0 @1000.0");
    EXPECT_EQ(summary().revision, 1000);
    EXPECT_EQ(summary().versions, 1U);
}

TEST_F(SnapshotExportTest, LeasesUsersAndRolesComeAlong) {
    ASSERT_TRUE(store_->lease_grant(7, 60));
    store_->lease_checkpoint(7, 20);
    ASSERT_TRUE(store_->lease_grant(300, 5));
    put("a", "1", 7);
    authpb::User user;
    user.set_name("ann");
    user.set_password("hashed");
    authpb::Role role;
    role.set_name("reader");
    role.add_keypermission()->set_key("a");
    AuthRecord state;
    state.set_enabled(true);
    state.set_revision(12);
    db_->put(std::string(schema::kAuthUsers) + "ann", user.SerializeAsString());
    db_->put(std::string(schema::kAuthRoles) + "reader", role.SerializeAsString());
    db_->put(schema::kAuthState, state.SerializeAsString());
    save();
    std::map<std::int64_t, std::pair<std::int64_t, std::int64_t>> leases;
    ASSERT_TRUE(file()->for_each_lease([&](std::int64_t id, const LeaseRecord& lease) {
        leases[id] = {lease.ttl_seconds(), lease.remaining_seconds()};
        return base::Status();
    }));
    EXPECT_EQ(leases, (decltype(leases){{7, {60, 20}}, {300, {5, 0}}}));
    EXPECT_TRUE(file()->for_each_user([&](const authpb::User& found) {
        EXPECT_EQ(found.SerializeAsString(), user.SerializeAsString());
        return base::Status();
    }));
    EXPECT_TRUE(file()->for_each_role([&](const authpb::Role& found) {
        EXPECT_EQ(found.SerializeAsString(), role.SerializeAsString());
        return base::Status();
    }));
    EXPECT_EQ(file()->auth()->SerializeAsString(), state.SerializeAsString());
    EXPECT_EQ(summary().users, 1U);
}

TEST_F(SnapshotExportTest, DamageIsTold) {
    put("a", std::string(100, 'v'));
    put("b", std::string(9000, 'v'));
    const std::string bytes = save();
    for (std::size_t at = 0; at < bytes.size(); at += 97) {
        std::string bad = bytes;
        bad[at] = static_cast<char>(bad[at] ^ 1);
        std::ofstream(path_, std::ios::binary | std::ios::trunc) << bad;
        EXPECT_FALSE(SnapshotFile::open(path_)) << at;
    }
}

}  // namespace
}  // namespace kvstore
