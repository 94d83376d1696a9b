#include "kvstore/mvcc/catalogue.h"

#include <gtest/gtest.h>
#include <leveldb/db.h>
#include <leveldb/env.h>

#include <filesystem>
#include <memory>
#include <string>

#include "base/random.h"

namespace kvstore {
namespace {

// The catalogue of a database that LevelDB itself wrote, with some tables in it.
std::string a_catalogue() {
    const auto directory =
        std::filesystem::temp_directory_path() / ("level-" + base::random_uuid());
    leveldb::Options options;
    options.create_if_missing = true;
    options.write_buffer_size = 64 << 10;
    leveldb::DB* db = nullptr;
    EXPECT_TRUE(leveldb::DB::Open(options, directory, &db).ok());
    for (int i = 0; i < 100; ++i)
        EXPECT_TRUE(db->Put({}, "k" + std::to_string(i), std::string(4000, 'v')).ok());
    delete db;
    std::string bytes;
    for (const auto& entry : std::filesystem::directory_iterator(directory))
        if (entry.path().filename().string().starts_with("MANIFEST-")) {
            EXPECT_TRUE(
                leveldb::ReadFileToString(leveldb::Env::Default(), entry.path(), &bytes).ok());
        }
    std::filesystem::remove_all(directory);
    return bytes;
}

TEST(Catalogue, OnlyItsLastRecordCanBeTorn) {
    const std::string bytes = a_catalogue();
    ASSERT_EQ(intact_catalogue(bytes), bytes.size());
    const std::size_t counts = intact_catalogue(bytes.substr(0, bytes.size() - 1));
    EXPECT_LT(counts, bytes.size() - 1);
    EXPECT_GT(counts, 0U);
}

TEST(Catalogue, DamageBeforeIntactRecordsIsLeftForLevelDB) {
    std::string bytes = a_catalogue();
    bytes[10] ^= 1;
    EXPECT_EQ(intact_catalogue(bytes), bytes.size());
}

}  // namespace
}  // namespace kvstore
