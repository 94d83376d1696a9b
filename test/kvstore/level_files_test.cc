#include "kvstore/mvcc/level_files.h"

#include <gtest/gtest.h>
#include <leveldb/db.h>
#include <leveldb/env.h>
#include <leveldb/write_batch.h>

#include <algorithm>
#include <filesystem>

#include "base/random.h"

namespace kvstore {
namespace {

// A database that LevelDB itself wrote, and its files.
class LevelFilesTest : public testing::Test {
  protected:
    LevelFilesTest()
        : directory_(std::filesystem::temp_directory_path() / ("level-" + base::random_uuid())) {}
    ~LevelFilesTest() override {
        db_.reset();
        std::filesystem::remove_all(directory_);
    }
    void open(std::size_t write_buffer = 4 << 20) {
        leveldb::Options options;
        options.create_if_missing = true;
        options.write_buffer_size = write_buffer;
        leveldb::DB* db = nullptr;
        ASSERT_TRUE(leveldb::DB::Open(options, directory_, &db).ok());
        db_.reset(db);
    }
    void put(const std::string& key, const std::string& value, int count = 1) {
        leveldb::WriteBatch batch;
        for (int i = 0; i < count; ++i)
            batch.Put(key + std::to_string(i), value);
        ASSERT_TRUE(db_->Write({}, &batch).ok());
    }
    std::string read(const std::string& end) const {
        std::vector<std::string> names;
        for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
            const std::string name = entry.path().filename();
            if (name.ends_with(end) || name.starts_with(end)) names.push_back(entry.path());
        }
        std::sort(names.begin(), names.end());
        std::string bytes;
        if (names.empty()) return bytes;
        EXPECT_TRUE(leveldb::ReadFileToString(leveldb::Env::Default(), names.back(), &bytes).ok());
        return bytes;
    }
    std::string log() const { return read(".log"); }
    std::string catalogue() const { return read("MANIFEST-"); }

    std::string directory_;
    std::unique_ptr<leveldb::DB> db_;
};

TEST_F(LevelFilesTest, WhatIsWholeCounts) {
    open();
    for (int i = 0; i < 50; ++i)
        put("k" + std::to_string(i), std::string(3000, 'v'), 1 + i % 3);
    LevelFiles files;
    EXPECT_EQ(files.catalogue(catalogue()), catalogue().size());
    EXPECT_EQ(files.log(log()), log().size());
}

TEST_F(LevelFilesTest, ATornTailIsCutAtABatch) {
    open();
    put("a", "1");
    const std::size_t first = log().size();
    put("b", std::string(100000, 'v'));  // over several blocks
    const std::string whole = log();
    for (const std::size_t size : {first + 1, first + 7, first + 40000, whole.size() - 1}) {
        LevelFiles files;
        EXPECT_EQ(files.log(whole.substr(0, size)), first) << size;
        // What a newer log has is void then.
        EXPECT_EQ(files.log(whole), 0U);
    }
}

TEST_F(LevelFilesTest, AHoleEndsTheLogAlthoughWhatFollowsIsIntact) {
    open();
    put("a", "1");
    const std::size_t first = log().size();
    for (int i = 0; i < 40; ++i)
        put("b", std::string(3000, 'v'));
    std::string bytes = log();
    // A whole block of zeros, which LevelDB passes over without a word.
    std::fill(bytes.begin() + 32768, bytes.begin() + 65536, '\0');
    LevelFiles files;
    const auto counts = files.log(bytes);
    ASSERT_TRUE(counts);
    EXPECT_GE(*counts, first);
    EXPECT_LE(*counts, 32768U);
}

TEST_F(LevelFilesTest, ANewerLogCountsOnlyIfItFollows) {
    open();
    put("a", "1");
    const std::size_t first = log().size();
    put("b", "1");
    const std::size_t second = log().size();
    put("c", "1");
    const std::string bytes = log();
    // Cut at batches, the pieces are logs of their own.
    const std::string a = bytes.substr(0, first);
    const std::string b = bytes.substr(first, second - first);
    const std::string c = bytes.substr(second);
    LevelFiles all;
    EXPECT_EQ(all.log(a), a.size());
    EXPECT_EQ(all.log(b), b.size());
    EXPECT_EQ(all.log(c), c.size());
    LevelFiles hole;
    EXPECT_EQ(hole.log(a), a.size());
    EXPECT_EQ(hole.log(c), 0U);
    LevelFiles lost;
    EXPECT_EQ(lost.log(""), 0U);
    EXPECT_EQ(lost.log(b), 0U);
}

TEST_F(LevelFilesTest, ALogThatDoesNotFollowTheTablesIsDamage) {
    open();
    put("a", "1");
    const std::size_t first = log().size();
    put("b", "1", 5);
    put("c", "1");
    LevelFiles files;
    (void)files.catalogue(catalogue());  // of an empty database
    EXPECT_EQ(files.log(log().substr(first)), std::nullopt);
}

TEST_F(LevelFilesTest, OnlyTheLastRecordOfTheCatalogueCanBeTorn) {
    open(64 << 10);
    for (int i = 0; i < 100; ++i)
        put("k" + std::to_string(i), std::string(4000, 'v'));
    db_.reset();
    const std::string bytes = catalogue();
    LevelFiles whole;
    ASSERT_EQ(whole.catalogue(bytes), bytes.size());
    LevelFiles torn;
    const std::size_t counts = torn.catalogue(bytes.substr(0, bytes.size() - 1));
    EXPECT_LT(counts, bytes.size() - 1);
    EXPECT_GT(counts, 0U);
    // Damage before intact records is left for LevelDB to find.
    std::string damaged = bytes;
    damaged[10] ^= 1;
    LevelFiles files;
    EXPECT_EQ(files.catalogue(damaged), damaged.size());
}

}  // namespace
}  // namespace kvstore
