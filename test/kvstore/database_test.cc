// Fronts of one database beside each other, deletions in slices and what a crash leaves of them,
// and waiting for room.

#include <leveldb/env.h>

#include <atomic>
#include <map>
#include <stdexcept>

#include "kvstore/mvcc/schema.h"
#include "kvstore/mvcc/unfinished.h"
#include "mvcc_fixture.h"

namespace kvstore {
namespace {

namespace pb = etcdserverpb;

// What another front is writing is not seen before the end, nor by what is made of this one.
TEST_F(MvccTest, AFrozenFrontSeesNothingOfAFork) {
    put("a", "1");
    db_->commit();
    const auto fork = db_->fork();
    MvccStore aside(*fork);
    db_->freeze();
    pb::PutRequest request;
    request.set_key("a");
    request.set_value("2");
    ASSERT_TRUE(aside.put(request));
    EXPECT_EQ(aside.range(range_request("a"))->kvs(0).value(), "2");
    fork->commit();
    EXPECT_EQ(show("a"), "a=1@2");
    const auto late = db_->fork();
    EXPECT_EQ(MvccStore(*late).range(range_request("a"))->kvs(0).value(), "1");
    db_->thaw();
    store_->rebind(*db_);
    EXPECT_EQ(show("a"), "a=2@3");
    EXPECT_EQ(MvccStore(*late).revision(), 2);
}

// What was cut off after some of its slices leaves no trace, and is then carried out as if nothing
// had been.
TEST_F(MvccTest, ADeletionThatWasCutOffIsTakenBack) {
    ASSERT_TRUE(store_->lease_grant(7, 60));
    for (int round = 0; round < 2; ++round)
        for (int i = 0; i < 40; ++i)
            put(std::string("k\0", 2) + std::to_string(i),
                "v" + std::to_string(round) + std::string(i % 4 == 0 ? 3000 : 0, 'x'),
                i % 3 == 0 ? 7 : 0);
    db_->commit();
    const auto content = [&] {
        std::map<std::string, std::string> out;
        const auto cursor = db_->snapshot_cursor();
        for (cursor->seek(""); cursor->valid(); cursor->next())
            out.emplace(cursor->key(), cursor->value());
        return out;
    };
    const auto before = content();
    const auto delete_aside = [&](bool lease, bool whole) {
        const auto fork = db_->fork();
        db_->freeze();
        fork->write_in_slices();
        MvccStore aside(*fork);
        if (lease) {
            ASSERT_TRUE(aside.lease_revoke(7));
        } else {
            pb::DeleteRangeRequest request;
            request.set_key("k");
            request.set_range_end("l");
            request.set_prev_kv(true);
            const auto out = aside.delete_range(request);
            ASSERT_TRUE(out);
            EXPECT_EQ(out->deleted(), 40);
            ASSERT_EQ(out->prev_kvs_size(), 40);
            EXPECT_EQ(out->prev_kvs(5).value(), "v1");
        }
        if (whole) fork->commit();
        EXPECT_EQ(content(), before);
        db_->thaw();
    };
    for (const bool lease : {false, true}) {
        delete_aside(lease, false);
        EXPECT_NE(content(), before);
        ASSERT_TRUE(db_->sync());
        open();
        ASSERT_TRUE(undo_unfinished(*db_, store_->revision()));
        EXPECT_EQ(content(), before);
    }
    delete_aside(false, true);
    ASSERT_TRUE(db_->sync());
    open();
    ASSERT_TRUE(undo_unfinished(*db_, store_->revision()));
    EXPECT_EQ(store_->keys(), 0);
    EXPECT_EQ(show("k", "l"), "");
    EXPECT_EQ(store_->revision(), 82);
    EXPECT_TRUE(store_->lease_keys(7).empty());
}

TEST_F(MvccTest, AnUnfinishedDeletionOfWhatIsNotThereIsDamage) {
    put("a", "1");
    db_->put(schema::revision_key(3), schema::encode_change({true, 2, "a"}));
    ASSERT_TRUE(undo_unfinished(*db_, 2));
    EXPECT_EQ(show("a"), "a=1@2");
    for (const schema::Change& change : {schema::Change{true, 1, "a"}, schema::Change{true, 0, "b"},
                                         schema::Change{false, 2, "a"}}) {
        db_->put(schema::revision_key(3), schema::encode_change(change));
        const auto done = undo_unfinished(*db_, 2);
        ASSERT_FALSE(done);
        EXPECT_EQ(done.error().code, base::Code::kDataLoss);
    }
}

// Memory that never empties, because no table can be written: whoever waits for it must learn why.
TEST(Database, WaitingForRoomEndsWhereLevelDBHasFailed) {
    struct NoTables final : leveldb::EnvWrapper {
        NoTables() : EnvWrapper(leveldb::Env::Default()) {}
        leveldb::Status NewWritableFile(const std::string& name,
                                        leveldb::WritableFile** out) override {
            if (broken && name.ends_with(".ldb")) return leveldb::Status::IOError(name, "broken");
            return target()->NewWritableFile(name, out);
        }
        std::atomic<bool> broken = false;
    } env;
    const auto directory =
        std::filesystem::temp_directory_path() / ("database-" + base::random_uuid());
    Database::Options options;
    options.directory = directory;
    options.env = &env;
    options.write_buffer_bytes = 64 << 10;
    options.on_failure = [](const base::Error& error) { throw std::runtime_error(error.message); };
    {
        const auto db = Database::open(options).value();
        EXPECT_EQ(db->pause().count(), 0);
        env.broken = true;
        db->put("k", std::string(2 << 20, 'v'));
        db->commit();
        EXPECT_GT(db->pause().count(), 0);
        const auto wait = [&] {
            for (int i = 0; i < 1000 && db->pause().count() > 0; ++i)
                db->make_room(db->pause());
        };
        EXPECT_THROW(wait(), std::runtime_error);
    }
    std::filesystem::remove_all(directory);
}

// How often LevelDB's thread rests while it writes out a memtable of `kKeys` keys, when in each
// rest others write `bytes_a_rest`, in a batch of their own.
int rests_of_a_table(std::size_t write_buffer_bytes, std::size_t bytes_a_rest) {
    struct Rests final : leveldb::EnvWrapper {
        Rests() : EnvWrapper(leveldb::Env::Default()) {}
        void SleepForMicroseconds(int /*micros*/) override {
            ++count;
            if (others_work) others_work();
        }
        std::function<void()> others_work;
        std::atomic<int> count = 0;
    } env;
    constexpr std::size_t kKeys = 100'000;
    constexpr std::size_t kValueBytes = 60;
    const auto directory =
        std::filesystem::temp_directory_path() / ("database-" + base::random_uuid());
    Database::Options options;
    options.directory = directory;
    options.env = &env;
    options.write_buffer_bytes = write_buffer_bytes;
    {
        const auto db = Database::open(options).value();
        for (std::size_t i = 0; i < kKeys; ++i)
            db->put(std::to_string(i), std::string(kValueBytes, 'v'));
        db->commit();
        const auto others = db->fork();
        if (bytes_a_rest > 0)
            env.others_work = [&] {
                others->put("other", std::string(bytes_a_rest, 'w'));
                others->commit();
            };
        EXPECT_TRUE(db->sync());
        env.others_work = nullptr;
    }
    std::filesystem::remove_all(directory);
    return env.count;
}

// A table takes many slices. In the first of them the write that filled the memtable still counts.
TEST(Database, TablesAreWrittenWithRestsOnlyWhileOthersWriteAndThereIsTime) {
    constexpr std::size_t kBuffer = 32 << 20;
    EXPECT_LE(rests_of_a_table(kBuffer, 0), 1);
    EXPECT_GT(rests_of_a_table(kBuffer, 1), 2);
    // What others write leaves no room for more than one such rest.
    EXPECT_LE(rests_of_a_table(kBuffer, kBuffer * 11 / 8), 1);
}

}  // namespace
}  // namespace kvstore
