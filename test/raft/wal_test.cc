// The write-ahead log against a disk that forgets, tears and rots.

#include "raft/wal/wal.h"

#include <gtest/gtest.h>

#include "base/log.h"
#include "raft/wal/record.h"
#include "test/sim/sim_disk.h"

namespace raft {
namespace {

class WalTest : public testing::Test {
  protected:
    void SetUp() override { base::set_log_level(base::LogLevel::kOff); }

    base::Status open() {
        wal_.reset();
        recovered_ = {};
        bool ready = false;
        auto wal = Wal::open(disk_, {1, NodeId(1), segment_bytes_}, &recovered_,
                             [&ready] { ready = true; });
        if (!wal) return wal.error();
        wal_ = std::move(*wal);
        drain();
        EXPECT_TRUE(ready);
        return {};
    }
    void drain() {
        while (world_.step()) {
        }
    }
    Entry entry(std::uint64_t index, std::uint64_t term, std::string payload) {
        return {Term(term), Index(index), EntryType::kData,
                std::make_shared<const std::string>(std::move(payload))};
    }
    // Appends and waits until durable.
    void append(std::vector<Entry> entries, std::optional<HardState> hard = {}) {
        bool done = false;
        wal_->append(hard, entries, Index(0), [&done] { done = true; });
        drain();
        EXPECT_TRUE(done);
    }
    std::string text(std::uint64_t index) {
        const auto entries = wal_->read(Index(index), Index(index), 1);
        return entries.empty() ? "?" : std::string(entries.front().data());
    }
    Config config(std::initializer_list<std::uint64_t> ids) {
        Config c;
        for (const std::uint64_t id : ids)
            c.peers.push_back({NodeId(id), false, "x"});
        return c;
    }
    // The newest segment file that holds records.
    std::string& file_with(const std::string& what) {
        for (auto& [name, bytes] : disk_.files())
            if (bytes.find(what) != std::string::npos) return bytes;
        ADD_FAILURE() << what << " is in no file";
        return disk_.files().begin()->second;
    }

    sim::World world_{1};
    sim::SimDisk disk_{world_};
    std::uint64_t segment_bytes_ = 4096;
    std::unique_ptr<Wal> wal_;
    WalRecovered recovered_;
};

TEST_F(WalTest, WhatWasWrittenIsThereAfterReopening) {
    ASSERT_TRUE(open());
    EXPECT_TRUE(recovered_.fresh);
    append({entry(1, 1, "one"), entry(2, 1, "two")}, HardState{Term(1), NodeId(3)});
    append({entry(3, 2, "three")}, HardState{Term(2), NodeId(1)});
    ASSERT_TRUE(open());
    EXPECT_FALSE(recovered_.fresh);
    EXPECT_EQ(recovered_.hard, (HardState{Term(2), NodeId(1)}));
    EXPECT_EQ(recovered_.log.last, Index(3));
    EXPECT_EQ(recovered_.log.term_starts,
              (std::vector<Position>{{Index(1), Term(1)}, {Index(3), Term(2)}}));
    EXPECT_EQ(text(1), "one");
    EXPECT_EQ(text(3), "three");
    EXPECT_FALSE(recovered_.torn_tail_cut);
}

TEST_F(WalTest, ASuffixIsReplaced) {
    ASSERT_TRUE(open());
    append({entry(1, 1, "one"), entry(2, 1, "two"), entry(3, 1, "three")});
    append({entry(2, 2, "other two")});
    EXPECT_EQ(text(2), "other two");
    ASSERT_TRUE(open());
    EXPECT_EQ(recovered_.log.last, Index(2));
    EXPECT_EQ(text(2), "other two");
}

TEST_F(WalTest, SegmentsFollowEachOtherAndLongRecordsGetTheirOwn) {
    ASSERT_TRUE(open());
    for (std::uint64_t i = 1; i <= 40; ++i)
        append({entry(i, 1, std::string(i == 20 ? 20000 : 300, static_cast<char>('a' + i % 26)))});
    EXPECT_GT(wal_->segments(), 3U);
    ASSERT_TRUE(open());
    EXPECT_EQ(recovered_.log.last, Index(40));
    EXPECT_EQ(text(20).size(), 20000U);
    const auto all = wal_->read(Index(1), Index(40), 1U << 20U);
    EXPECT_EQ(all.size(), 40U);
    EXPECT_EQ(wal_->read(Index(1), Index(40), 700).size(), 2U);
}

// A member that catches up gets large entries, too, and the leader reads them on its loop.
TEST_F(WalTest, ReadsEachByteOnceAndNoOthers) {
    struct Counting final : Disk {
        explicit Counting(Disk& d) : disk(d) {}
        base::Result<std::vector<std::string>> list() override { return disk.list(); }
        base::Result<std::string> read(const std::string& name, std::uint64_t offset,
                                       std::uint64_t length) override {
            auto out = disk.read(name, offset, length);
            bytes += out ? out->size() : 0;
            ++reads;
            return out;
        }
        void submit(DiskBatch batch, base::UniqueFunction<void()> done) override {
            disk.submit(std::move(batch), std::move(done));
        }
        void on_trouble(base::UniqueFunction<void(base::Status)> f) override {
            disk.on_trouble(std::move(f));
        }
        Disk& disk;
        std::size_t bytes = 0;
        int reads = 0;
    } counting(disk_);
    auto wal = Wal::open(counting, {1, NodeId(1), 4U << 20U}, &recovered_, [] {});
    ASSERT_TRUE(wal);
    drain();
    wal_ = std::move(*wal);
    for (std::uint64_t i = 1; i <= 20; ++i)
        append({entry(i, 1, std::string(400'000, 'l'))});
    for (std::uint64_t i = 21; i <= 1020; ++i)
        append({entry(i, 1, std::string(300, 's'))});
    counting.bytes = 0;
    counting.reads = 0;
    EXPECT_EQ(wal_->read(Index(3), Index(1020), 1'000'000).size(), 2U);
    EXPECT_EQ(wal_->read(Index(20), Index(20), 1).size(), 1U);
    EXPECT_LT(counting.bytes, 3 * 401'000U);
    counting.bytes = 0;
    counting.reads = 0;
    EXPECT_EQ(wal_->read(Index(21), Index(1020), 1'000'000).size(), 1000U);
    EXPECT_LT(counting.bytes, 1000 * 400U);
    EXPECT_LE(counting.reads, 2);  // of two segments
    wal_.reset();
}

TEST_F(WalTest, CompactionDropsWholeSegmentsAndKeepsTheMembership) {
    ASSERT_TRUE(open());
    const Config members = config({1, 2, 3});
    Entry first{Term(1), Index(1), EntryType::kConfig,
                std::make_shared<const std::string>(encode(ConfigEntry{{}, members}))};
    append({first});
    for (std::uint64_t i = 2; i <= 60; ++i)
        append({entry(i, 1, std::string(300, 'x'))});
    Log log(RecoveredLog{{}, {}, Index(60), {{Index(1), Term(1)}}, {{Index(1), members}}}, *wal_);
    const std::uint64_t before = wal_->bytes();
    EXPECT_EQ(wal_->before_last(before), Index());
    const Index rest = wal_->before_last(before / 2);
    EXPECT_GT(rest, Index(10));
    EXPECT_LT(rest, Index(31));
    EXPECT_FALSE(wal_->can_compact(Index(1), log));
    EXPECT_TRUE(wal_->can_compact(Index(50), log));
    const Index base = wal_->compact(Index(50), log);
    drain();
    EXPECT_GT(base, Index(30));
    EXPECT_LE(base, Index(50));
    EXPECT_LT(wal_->bytes(), before);
    ASSERT_TRUE(open());
    EXPECT_EQ(recovered_.log.base, (Position{base, Term(1)}));
    EXPECT_EQ(recovered_.log.base_config, members);
    EXPECT_EQ(recovered_.log.last, Index(60));
    EXPECT_EQ(text(60), std::string(300, 'x'));
}

TEST_F(WalTest, AResetBeginsAnewEvenIfOldSegmentsStayBehind) {
    ASSERT_TRUE(open());
    append({entry(1, 1, "old"), entry(2, 1, "old too")});
    const auto old = disk_.files();
    wal_->write_intent({Index(100), Term(7)}, config({1, 2}), nullptr);
    wal_->reset({Index(100), Term(7)}, config({1, 2}), nullptr);
    drain();
    append({entry(101, 7, "new")});
    for (const auto& [name, bytes] : old)  // as if the removal had not reached the disk
        if (disk_.files().count(name) == 0) disk_.files()[name] = bytes;
    ASSERT_TRUE(open());
    EXPECT_EQ(recovered_.log.base, (Position{Index(100), Term(7)}));
    EXPECT_EQ(recovered_.log.base_config, config({1, 2}));
    EXPECT_EQ(recovered_.log.last, Index(101));
    EXPECT_EQ(text(101), "new");
}

TEST_F(WalTest, AnIntentIsRememberedUntilTheReset) {
    ASSERT_TRUE(open());
    append({entry(1, 1, "one")});
    wal_->write_intent({Index(50), Term(4)}, config({5}), nullptr);
    drain();
    ASSERT_TRUE(open());
    ASSERT_TRUE(recovered_.intent.has_value());
    EXPECT_EQ(recovered_.intent->first, (Position{Index(50), Term(4)}));
    EXPECT_EQ(recovered_.intent->second, config({5}));
    EXPECT_EQ(recovered_.log.last, Index(1));
}

// A crash at any moment: what was reported durable is there, in order, and what follows it is a
// prefix of what was under way.
TEST_F(WalTest, NoCrashLosesWhatWasReportedDurable) {
    std::uint64_t cut = 0;
    for (std::uint64_t seed = 1; seed <= 300; ++seed) {
        sim::World world(seed);
        sim::SimDisk disk(world);
        std::vector<std::string> written;
        std::uint64_t durable = 0;
        for (int life = 0; life < 4; ++life) {
            WalRecovered recovered;
            auto wal = Wal::open(disk, {1, NodeId(1), 2048}, &recovered, nullptr);
            ASSERT_TRUE(wal) << "seed " << seed << ": " << wal.error().to_string();
            cut += recovered.torn_tail_cut;
            const std::uint64_t last = recovered.log.last.value();
            ASSERT_GE(last, durable) << "seed " << seed;
            ASSERT_LE(last, written.size()) << "seed " << seed;
            while (disk.files().size() < 1 && world.step()) {
            }
            written.resize(last);
            for (std::uint64_t i = 1; i <= last; ++i)
                ASSERT_EQ((*wal)->read(Index(i), Index(i), 1).at(0).data(), written[i - 1])
                    << "seed " << seed;
            const std::uint64_t appends = world.random.below(20);
            for (std::uint64_t k = 0; k < appends; ++k) {
                const std::uint64_t i = written.size() + 1;
                written.push_back(std::string(world.random.below(900), 'p') + std::to_string(i));
                (*wal)->append(std::nullopt, {entry(i, 1, written.back())}, Index(0),
                               [&durable, i] { durable = i; });
                for (std::uint64_t s = world.random.below(3); s > 0; --s)
                    world.step();
            }
            disk.crash();
        }
    }
    EXPECT_GT(cut, 20U);
}

TEST_F(WalTest, DamageBeforeDurableRecordsIsReportedAndNothingIsTouched) {
    ASSERT_TRUE(open());
    for (std::uint64_t i = 1; i <= 9; ++i)
        append({entry(i, 1, "value-" + std::to_string(i))});
    for (const std::string what : {"value-1", "value-4", "value-8"}) {
        auto copy = disk_.files();
        std::string& bytes = file_with(what);
        bytes[bytes.find(what) + 2] ^= 1;
        const auto damaged = disk_.files();
        const auto status = open();
        ASSERT_FALSE(status) << what;
        EXPECT_EQ(status.error().code, base::Code::kDataLoss) << what;
        EXPECT_EQ(disk_.files(), damaged);
        disk_.files() = copy;
    }
    ASSERT_TRUE(open());
    EXPECT_EQ(recovered_.log.last, Index(9));
}

TEST_F(WalTest, ARecordThatTheDiskWroteToAWrongPlaceIsNotTakenForOneOfThatPlace) {
    ASSERT_TRUE(open());
    for (std::uint64_t i = 1; i <= 9; ++i)
        append({entry(i, 1, "value-" + std::to_string(i))});
    const auto intact = disk_.files();
    // All records have the same size, and end with their payload.
    const auto end_of = [&](std::uint64_t i) {
        return file_with("value-9").find("value-" + std::to_string(i)) + 7;
    };
    const std::size_t size = end_of(3) - end_of(2);
    const auto misdirect = [&](std::uint64_t record, std::uint64_t to) {
        disk_.files() = intact;
        std::string& bytes = file_with("value-9");
        bytes.replace(end_of(to) - size, size, bytes, end_of(record) - size, size);
    };
    for (const auto& [record, to] : {std::pair{5, 7}, {7, 5}, {1, 8}}) {
        misdirect(record, to);
        const auto status = open();
        ASSERT_FALSE(status) << record << " to " << to;
        EXPECT_EQ(status.error().code, base::Code::kDataLoss);
    }
    // The last one cannot be told from a torn one; those before it are not given up for it.
    misdirect(5, 9);
    ASSERT_TRUE(open());
    EXPECT_EQ(recovered_.log.last, Index(8));
    EXPECT_EQ(text(8), "value-8");
}

// Where others have it, too, a member goes on with what is intact before the damage, and knows
// until it is told otherwise that it may lack what it acknowledged.
TEST_F(WalTest, WithPeersDamageIsNotedAndWhatIsIntactBeforeItIsKept) {
    ASSERT_TRUE(open());
    const Config group = config({1, 2, 3});
    append({Entry{Term(1), Index(1), EntryType::kConfig,
                  std::make_shared<const std::string>(encode(ConfigEntry{{}, group}))}},
           HardState{Term(5), NodeId(1)});
    for (std::uint64_t i = 2; i <= 30; ++i)
        append({entry(i, 1, "value-" + std::to_string(i) + std::string(400, 'x'))});
    ASSERT_GT(wal_->segments(), 2U);
    const auto intact = disk_.files();
    for (const std::uint64_t hit : {2, 7, 28}) {
        disk_.files() = intact;
        std::string& bytes = file_with("value-" + std::to_string(hit) + "x");
        bytes[bytes.find("value-" + std::to_string(hit) + "x") + 2] ^= 1;
        ASSERT_TRUE(open()) << hit;
        EXPECT_NE(recovered_.damage, "") << hit;
        EXPECT_EQ(recovered_.damaged_in, Term(5));
        EXPECT_EQ(recovered_.log.last, Index(hit - 1));
        EXPECT_FALSE(recovered_.torn_tail_cut);
        append({entry(hit, 6, "repaired")});
        ASSERT_TRUE(open());
        EXPECT_EQ(recovered_.damage, "");
        EXPECT_EQ(recovered_.damaged_in, Term(5));
        EXPECT_EQ(text(hit), "repaired");
        wal_->forget_damage();
        drain();
        ASSERT_TRUE(open());
        EXPECT_EQ(recovered_.damaged_in, std::nullopt);
        EXPECT_EQ(recovered_.log.last, Index(hit));
    }
    // The first segment's header: nothing before it is left.
    disk_.files() = intact;
    std::string& first = file_with("value-2x");
    first[12] ^= 1;
    ASSERT_TRUE(open());
    EXPECT_EQ(recovered_.damaged_in, Term(5));
    EXPECT_EQ(recovered_.log.last, Index(0));
    EXPECT_EQ(recovered_.log.base_config, group);
    EXPECT_FALSE(recovered_.fresh);
    // A whole segment from the middle is missing.
    disk_.files() = intact;
    auto middle = disk_.files().begin();
    while (middle->second.find("value-12x") == std::string::npos)
        ++middle;
    disk_.files().erase(middle);
    ASSERT_TRUE(open());
    EXPECT_EQ(recovered_.damaged_in, Term(5));
    EXPECT_GT(recovered_.log.last, Index(1));
    EXPECT_LT(recovered_.log.last, Index(12));
}

// Found by the simulator (a power failure at the moment of the start): what the start had written
// of its new segment stood without the note, and hid the damage.
TEST_F(WalTest, DamageIsNotForgottenWhenTheStartThatFoundItIsCutShort) {
    ASSERT_TRUE(open());
    append({Entry{Term(1), Index(1), EntryType::kConfig,
                  std::make_shared<const std::string>(encode(ConfigEntry{{}, config({1, 2, 3})}))}},
           HardState{Term(5), NodeId(1)});
    for (std::uint64_t i = 2; i <= 9; ++i)
        append({entry(i, 1, "value-" + std::to_string(i))});
    std::string& bytes = file_with("value-7");
    bytes[bytes.find("value-7") + 2] ^= 1;
    const auto damaged = disk_.files();
    for (int round = 0; round < 300; ++round) {
        disk_.files() = damaged;
        WalRecovered found;
        auto wal = Wal::open(disk_, {1, NodeId(1), segment_bytes_}, &found, nullptr);
        ASSERT_TRUE(wal);
        for (int steps = round % 3; steps > 0; --steps)
            world_.step();
        disk_.crash();
        wal->reset();
        ASSERT_TRUE(open());
        EXPECT_EQ(recovered_.damaged_in, Term(5)) << round;
    }
}

TEST_F(WalTest, AnUnreadableLastRecordCountsAsTorn) {
    ASSERT_TRUE(open());
    append({entry(1, 1, "value-1")});
    append({entry(2, 1, "value-2")});
    std::string& bytes = file_with("value-2");
    bytes[bytes.find("value-2")] ^= 1;
    ASSERT_TRUE(open());
    EXPECT_TRUE(recovered_.torn_tail_cut);
    EXPECT_EQ(recovered_.log.last, Index(1));
    append({entry(2, 2, "again")});
    ASSERT_TRUE(open());
    EXPECT_FALSE(recovered_.torn_tail_cut);
    EXPECT_EQ(text(2), "again");
}

// Of two segments that one batch made, a power failure may leave the newer and a piece of the
// older.
TEST_F(WalTest, ASegmentShorterThanWhatFollowsItCountsAsTorn) {
    ASSERT_TRUE(open());
    append({entry(1, 1, "one")});
    const std::string long_payload(9000, 'a');
    wal_->append({}, {entry(2, 1, long_payload)}, Index(0), nullptr);
    wal_->append({}, {entry(3, 1, std::string(9000, 'b'))}, Index(0), nullptr);
    drain();
    for (auto& [name, bytes] : disk_.files()) {
        if (bytes.find(long_payload) == std::string::npos) continue;
        bytes.resize(wal::parse_header(bytes, *wal::parse_segment_name(name))->size);
    }
    ASSERT_TRUE(open());
    EXPECT_TRUE(recovered_.torn_tail_cut);
    EXPECT_EQ(recovered_.damaged_in, std::nullopt);
    EXPECT_EQ(recovered_.log.last, Index(1));
    append({entry(2, 2, "again")});
    ASSERT_TRUE(open());
    EXPECT_EQ(recovered_.log.last, Index(2));
    EXPECT_EQ(text(2), "again");
}

TEST_F(WalTest, ASegmentsDamagedHeaderIsReported) {
    ASSERT_TRUE(open());
    for (std::uint64_t i = 1; i <= 30; ++i)
        append({entry(i, 1, std::string(400, 'x'))});
    ASSERT_GT(wal_->segments(), 2U);
    auto middle = std::next(disk_.files().begin());
    middle->second[12] ^= 1;
    const auto status = open();
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, base::Code::kDataLoss);
}

TEST_F(WalTest, OneDamagedVoteCopyIsNoMatterTwoAre) {
    ASSERT_TRUE(open());
    append({entry(1, 5, "x")}, HardState{Term(5), NodeId(2)});
    const auto good = disk_.files();
    for (const char* name : wal::kVoteFiles) {
        disk_.files() = good;
        disk_.files()[name][20] ^= 1;
        ASSERT_TRUE(open());
        EXPECT_EQ(recovered_.damaged_vote, name);
        EXPECT_EQ(recovered_.hard, (HardState{Term(5), NodeId(2)}));
        // It is as good as new: the other one may be damaged next.
        ASSERT_TRUE(open());
        EXPECT_EQ(recovered_.damaged_vote, "");
        EXPECT_EQ(disk_.files()[wal::kVoteFiles[0]], disk_.files()[wal::kVoteFiles[1]]);
    }
    disk_.files() = good;
    for (const char* name : wal::kVoteFiles)
        disk_.files()[name][20] ^= 1;
    const auto status = open();
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, base::Code::kDataLoss);
}

// With peers, too: it is not damage that they could make good.
TEST_F(WalTest, ALogOfFormatOneIsRefusedAndNothingIsTouched) {
    ASSERT_TRUE(open());
    append({Entry{Term(1), Index(1), EntryType::kConfig,
                  std::make_shared<const std::string>(encode(ConfigEntry{{}, config({1, 2, 3})}))},
            entry(2, 1, "two")},
           HardState{Term(5), NodeId(1)});
    for (auto& [name, bytes] : disk_.files())
        if (name.ends_with(".wal")) bytes[5] = 1;
    const auto before = disk_.files();
    const auto status = open();
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, base::Code::kFailedPrecondition);
    EXPECT_NE(status.error().message.find(".wal is of format 1"), std::string::npos);
    EXPECT_EQ(disk_.files(), before);
}

TEST_F(WalTest, ALogOfAnotherMemberIsRefused) {
    ASSERT_TRUE(open());
    wal_.reset();
    auto wal = Wal::open(disk_, {1, NodeId(2), segment_bytes_}, &recovered_, nullptr);
    ASSERT_FALSE(wal);
    EXPECT_EQ(wal.error().code, base::Code::kFailedPrecondition);
}

}  // namespace
}  // namespace raft
