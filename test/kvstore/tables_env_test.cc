// LevelDB's compactions as TablesEnv lets them run.

#include "kvstore/mvcc/tables_env.h"

#include <fmt/core.h>
#include <gtest/gtest.h>
#include <leveldb/db.h>
#include <leveldb/write_batch.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <memory>
#include <thread>

namespace kvstore {
namespace {

class TablesEnvTest : public testing::Test {
  protected:
    struct Target : leveldb::EnvWrapper {
        Target() : EnvWrapper(leveldb::Env::Default()) {}
        void SleepForMicroseconds(int) override { ++rests; }
        std::atomic<int> rests = 0;
    };

    void SetUp() override {
        directory_ = std::filesystem::temp_directory_path() /
                     fmt::format("coxswain-tables-{}-{}", ::getpid(),
                                 testing::UnitTest::GetInstance()->current_test_info()->name());
        std::filesystem::remove_all(directory_);
        leveldb::Options options;
        options.create_if_missing = true;
        options.env = &env_;
        leveldb::DB* db = nullptr;
        ASSERT_TRUE(leveldb::DB::Open(options, directory_.string(), &db).ok());
        db_.reset(db);
    }
    void TearDown() override {
        env_.let_go();
        db_.reset();
        std::filesystem::remove_all(directory_);
    }

    // Makes a table of the keys from `first` on, every second one.
    void add_table(int first) {
        const int before = tables();
        for (int i = first; i < 2000; i += 2)
            ASSERT_TRUE(db_->Put({}, fmt::format("{:06}", i), std::string(100, 'v')).ok());
        ASSERT_TRUE(db_->Write({}, nullptr).ok());
        ASSERT_TRUE(eventually([&] { return tables() == before + 1; })) << "it is not written out";
    }
    int tables(int level) const {
        std::string text;
        EXPECT_TRUE(db_->GetProperty(fmt::format("leveldb.num-files-at-level{}", level), &text));
        return std::stoi(text);
    }
    int tables() const {
        int sum = 0;
        for (int level = 0; level < 7; ++level)
            sum += tables(level);
        return sum;
    }
    // Reads of what only the older of two tables holds.
    void read_past_the_newer_one() const {
        std::string value;
        for (int round = 0; round < 3; ++round)
            for (int i = 0; i < 2000; i += 2)
                ASSERT_TRUE(db_->Get({}, fmt::format("{:06}", i), &value).ok());
    }
    // Which LevelDB by itself would merge.
    void leave_two_tables() {
        add_table(0);
        add_table(1);
        read_past_the_newer_one();
        a_while();
        EXPECT_EQ(tables(), 2);
    }
    template <class Condition>
    static bool eventually(const Condition& condition) {
        for (int k = 0; k < 1000 && !condition(); ++k)
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        return condition();
    }
    static void a_while() { std::this_thread::sleep_for(std::chrono::milliseconds(200)); }

    Target target_;
    TablesEnv env_{&target_};
    std::filesystem::path directory_;
    std::unique_ptr<leveldb::DB> db_;
};

TEST_F(TablesEnvTest, LevelDbCompactsATableThatReadsGoPast) {
    add_table(0);
    add_table(1);
    EXPECT_EQ(tables(), 2);
    read_past_the_newer_one();
    EXPECT_TRUE(eventually([&] { return tables() == 1; })) << "the others here then show nothing";
}

TEST_F(TablesEnvTest, HeldBackItDoesNotButWritesMemtablesOut) {
    env_.hold_back({[] { return false; }, nullptr});
    leave_two_tables();
    // With what is held back.
    add_table(1);
    a_while();
    EXPECT_EQ(tables(), 3);
}

TEST_F(TablesEnvTest, ATableIsWrittenWithRestsWhileOthersAreAtWork) {
    std::atomic<bool> may_rest = false;
    env_.hold_back({[] { return false; }, [&] { return may_rest.load(); }});
    add_table(0);
    EXPECT_EQ(target_.rests, 0);
    may_rest = true;
    a_while();  // more than a slice
    add_table(0);
    const int rests = target_.rests;
    EXPECT_GT(rests, 0);
    env_.let_go();
    add_table(0);
    EXPECT_EQ(target_.rests, rests);
}

TEST_F(TablesEnvTest, WithAReasonItCompacts) {
    std::atomic<bool> too_much = false;
    env_.hold_back({[&] { return too_much.load(); }, nullptr});
    leave_two_tables();
    too_much = true;
    for (int i = 0; i < 10; ++i)
        ASSERT_TRUE(db_->Put({}, "more", "v").ok());
    ASSERT_TRUE(db_->Write({}, nullptr).ok());  // it asks when it has written the memtable out
    EXPECT_TRUE(eventually([&] { return tables() < 3; }));
}

TEST_F(TablesEnvTest, WhatIsAskedForIsNotHeldBack) {
    env_.hold_back({[] { return false; }, nullptr});
    leave_two_tables();
    const TablesEnv::Unheld unheld(env_);
    db_->CompactRange(nullptr, nullptr);
    EXPECT_EQ(tables(), 1);
}

TEST_F(TablesEnvTest, LetGoItCatchesUpAndCanBeClosed) {
    env_.hold_back({[] { return false; }, nullptr});
    leave_two_tables();
    env_.let_go();
    EXPECT_TRUE(eventually([&] { return tables() == 1; }));
}

}  // namespace
}  // namespace kvstore
