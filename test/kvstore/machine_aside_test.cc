// Who watches what a command does that is carried out aside, and what a process that ends in the
// middle of it leaves.

#include <gtest/gtest.h>

#include <filesystem>

#include "base/random.h"
#include "kvstore/machine.h"
#include "kvstore/mvcc/schema.h"

namespace kvstore {
namespace {

class MachineAside : public testing::Test, public WatchSink {
  protected:
    MachineAside()
        : root_(std::filesystem::temp_directory_path() / ("machine-" + base::random_uuid())) {
        open();
        for (int i = 0; i < 20; ++i) {
            Command command;
            command.mutable_put()->set_key("a" + std::to_string(10 + i) + std::string(10'000, 'x'));
            machine_->apply({raft::Index(++index_), raft::Term(1), false},
                            command.SerializeAsString());
        }
        machine_->end_of_batch({raft::Index(index_), raft::Term(1)});
    }
    ~MachineAside() override {
        machine_.reset();
        std::filesystem::remove_all(root_);
    }
    void close() {
        work_ = nullptr;
        then_ = nullptr;
        machine_.reset();
    }
    void open() {
        close();
        Machine::Options options;
        options.directory = root_;
        options.database.slice_bytes = 100;
        options.database.write_buffer_bytes = 64 << 10;
        options.now_ms = [] { return 0; };
        options.in_background = [this](auto work, auto then) {
            work_ = std::move(work);
            then_ = std::move(then);
        };
        std::filesystem::create_directories(options.directory);
        auto machine = Machine::open(std::move(options));
        ASSERT_TRUE(machine) << machine.error().message;
        machine_ = std::move(*machine);
    }
    void begin_deletion() {
        Command command;
        command.mutable_delete_range()->set_key("a");
        command.mutable_delete_range()->set_range_end("b");
        machine_->apply_aside(
            {raft::Index(++index_), raft::Term(1), true}, command.SerializeAsString(),
            [this](ApplyResult result) {
                auto& response = dynamic_cast<MachineOutput&>(*result).response;
                deleted_ = std::get<etcdserverpb::DeleteRangeResponse>(*response).deleted();
            });
    }
    void watch(std::int64_t tag, const std::string& key, const std::string& end) {
        WatchHub::Request request;
        request.key = key;
        request.range_end = end;
        request.tag = tag;
        machine_->hub().add(request, this);
    }
    bool ready() const override { return true; }
    void deliver(std::int64_t tag, const WatchBatchPtr& batch) override {
        EXPECT_EQ(batch->revision, 22);
        seen_[tag] += batch->events.size();
    }
    void compacted(std::int64_t, std::int64_t) override { ADD_FAILURE(); }

    std::filesystem::path root_;
    std::unique_ptr<Machine> machine_;
    base::UniqueFunction<void()> work_, then_;
    std::uint64_t index_ = 0;
    std::int64_t deleted_ = 0;
    std::map<std::int64_t, std::size_t> seen_;
};

TEST_F(MachineAside, WhoWatchedItsKeysIsToldOfIt) {
    watch(1, "a15", "a16");
    watch(2, "", std::string(1, '\0'));
    watch(3, "b", "");
    begin_deletion();
    watch(4, "a11", "a14");
    work_();
    EXPECT_EQ(machine_->store().keys(), 20);
    then_();
    EXPECT_EQ(deleted_, 20);
    EXPECT_EQ(machine_->store().keys(), 0);
    EXPECT_EQ(seen_, (std::map<std::int64_t, std::size_t>{{1, 1}, {2, 20}, {4, 3}}));
    EXPECT_FALSE(machine_->hub().pump());
}

// Nobody is told while it goes on: those who came read it from history.
TEST_F(MachineAside, WhoCameMeanwhileReadsIt) {
    watch(1, "b", "");
    begin_deletion();
    watch(2, "a11", "a14");
    work_();
    watch(3, "a15", "a16");
    watch(4, "b", "");
    then_();
    EXPECT_TRUE(seen_.empty());
    EXPECT_EQ(machine_->hub().behind(), 2U);
    while (machine_->hub().pump()) {
    }
    EXPECT_EQ(seen_, (std::map<std::int64_t, std::size_t>{{2, 3}, {3, 1}}));
}

TEST_F(MachineAside, IsCarriedOutAgainByTheNextProcess) {
    ASSERT_TRUE(machine_->database().sync());
    begin_deletion();
    work_();
    then_();
    EXPECT_EQ(machine_->store().keys(), 0);
    // What was in no table yet is gone with its process: the last slices.
    close();
    {
        Database::Options options;
        options.directory = root_ / "0";
        const auto db = Database::open(options);
        ASSERT_TRUE(db);
        EXPECT_TRUE((*db)->get(schema::revision_key(22, 0)));
        EXPECT_FALSE((*db)->get(schema::revision_key(22, 19)));
    }
    open();
    EXPECT_EQ(machine_->applied().index.value(), 20U);
    EXPECT_EQ(machine_->store().keys(), 20);
    EXPECT_EQ(machine_->store().revision(), 21);
    index_ = 20;
    begin_deletion();
    work_();
    then_();
    EXPECT_EQ(deleted_, 20);
    EXPECT_EQ(machine_->store().revision(), 22);
}

}  // namespace
}  // namespace kvstore
