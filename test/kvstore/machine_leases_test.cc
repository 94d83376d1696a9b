// What the machine makes of entries about leases that come late, and of checkpoints.

#include <gtest/gtest.h>

#include <filesystem>

#include "base/random.h"
#include "kvstore/machine.h"

namespace kvstore {
namespace {

class MachineLeases : public testing::Test {
  protected:
    MachineLeases()
        : root_(std::filesystem::temp_directory_path() / ("machine-" + base::random_uuid())) {}
    ~MachineLeases() override {
        machine_.reset();
        std::filesystem::remove_all(root_);
    }
    void open() {
        machine_.reset();
        Machine::Options options;
        options.directory = root_;
        options.now_ms = [this] { return now_ms_; };
        std::filesystem::create_directories(options.directory);
        auto machine = Machine::open(std::move(options));
        ASSERT_TRUE(machine) << machine.error().message;
        machine_ = std::move(*machine);
    }
    // As an entry of `term`; the error's text, or "".
    std::string apply(const Command& command, std::uint64_t term) {
        ApplyContext context{raft::Index(++index_), raft::Term(term), true};
        auto out = machine_->apply(context, command.SerializeAsString());
        machine_->end_of_batch({raft::Index(index_), raft::Term(term)});
        const auto& response = dynamic_cast<MachineOutput&>(*out).response;
        return response ? "" : response.error().message;
    }
    void grant(std::int64_t id, std::int64_t ttl, std::uint64_t term) {
        Command command;
        command.mutable_lease_grant()->set_id(id);
        command.mutable_lease_grant()->set_ttl(ttl);
        ASSERT_EQ(apply(command, term), "");
        Command put;
        put.mutable_put()->set_key("k");
        put.mutable_put()->set_lease(id);
        ASSERT_EQ(apply(put, term), "");
    }
    static Command revoke(std::int64_t id, std::uint64_t only_in_term) {
        Command command;
        command.mutable_lease_revoke()->set_id(id);
        command.set_only_in_term(only_in_term);
        return command;
    }
    static Command checkpoint(std::int64_t id, std::int64_t remaining, std::uint64_t only_in_term) {
        Command command;
        auto* point = command.mutable_lease_checkpoint()->add_checkpoints();
        point->set_id(id);
        point->set_remaining_ttl(remaining);
        command.set_only_in_term(only_in_term);
        return command;
    }
    std::int64_t left() const { return machine_->lessor().remaining_seconds(1, now_ms_); }

    std::filesystem::path root_;
    std::int64_t now_ms_ = 0;
    std::uint64_t index_ = 0;
    std::unique_ptr<Machine> machine_;
};

// A leader that was paused or whose disk stalled finds its leases expired when it wakes up. What it
// then proposes goes to the next leader, which may have renewed them (etcd #12528, #15247).
TEST_F(MachineLeases, ARevocationOfAnEarlierLeaderDoesNothing) {
    open();
    grant(1, 10, 2);
    EXPECT_EQ(apply(revoke(1, 2), 3), "etcdserver: leader changed");
    EXPECT_TRUE(machine_->store().lease_exists(1));
    EXPECT_EQ(machine_->store().lease_keys(1), std::vector<std::string>{"k"});
    EXPECT_EQ(apply(revoke(1, 3), 3), "");
    EXPECT_FALSE(machine_->store().lease_exists(1));
    // A client's is of no term.
    grant(2, 10, 3);
    EXPECT_EQ(apply(revoke(2, 0), 4), "");
    EXPECT_FALSE(machine_->store().lease_exists(2));
}

TEST_F(MachineLeases, WhatIsLeftSurvivesALeaderAndARestart) {
    open();
    grant(1, 600, 2);
    EXPECT_EQ(apply(checkpoint(1, 200, 2), 2), "");
    EXPECT_EQ(apply(checkpoint(9, 200, 2), 2), "");  // revoked meanwhile: nothing
    EXPECT_FALSE(machine_->store().lease_exists(9));
    machine_->lessor().promote(now_ms_);
    EXPECT_EQ(left(), 200);
    // One of an earlier leader does nothing.
    EXPECT_EQ(apply(checkpoint(1, 100, 2), 3), "etcdserver: leader changed");
    now_ms_ = 50'000;
    ASSERT_TRUE(machine_->database().sync());
    open();
    machine_->lessor().promote(now_ms_);
    EXPECT_EQ(left(), 200);
    EXPECT_EQ(machine_->store().lease_ttl(1), 600);
    // Cleared before a renewal.
    EXPECT_EQ(apply(checkpoint(1, 0, 3), 3), "");
    ASSERT_TRUE(machine_->database().sync());
    open();
    machine_->lessor().promote(now_ms_);
    EXPECT_EQ(left(), 600);
}

}  // namespace
}  // namespace kvstore
