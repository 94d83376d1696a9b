// Users and roles as the machine keeps them: in the database, in snapshots, and not in the hash.

#include <gtest/gtest.h>

#include <filesystem>

#include "base/random.h"
#include "kvstore/machine.h"

namespace kvstore {
namespace {

class MachineAuth : public testing::Test {
  protected:
    MachineAuth()
        : root_(std::filesystem::temp_directory_path() / ("machine-" + base::random_uuid())) {}
    ~MachineAuth() override { std::filesystem::remove_all(root_); }

    std::unique_ptr<Machine> open(const std::string& name) {
        Machine::Options options;
        options.directory = root_ / name;
        options.now_ms = [this] { return now_ms_; };
        std::filesystem::create_directories(options.directory);
        auto machine = Machine::open(std::move(options));
        EXPECT_TRUE(machine) << machine.error().message;
        return std::move(*machine);
    }

    // The error's text, or "".
    std::string apply(Machine& machine, const Command& command) {
        ApplyContext context{};
        context.want_output = true;
        auto out = machine.apply(context, command.SerializeAsString());
        machine.end_of_batch({raft::Index(++index_), raft::Term(1)});
        const auto& response = dynamic_cast<MachineOutput&>(*out).response;
        return response ? "" : response.error().message;
    }

    void enable(Machine& machine) {
        Command user, grant, enable;
        user.mutable_auth_user_add()->set_name("root");
        user.mutable_auth_user_add()->set_hashedpassword("x");
        grant.mutable_auth_user_grant_role()->set_user("root");
        grant.mutable_auth_user_grant_role()->set_role("root");
        enable.mutable_auth_enable();
        for (const auto* c : {&user, &grant, &enable})
            ASSERT_EQ(apply(machine, *c), "");
    }

    static Command put_by(const std::string& user, std::uint64_t revision) {
        Command put;
        put.mutable_put()->set_key("k");
        put.mutable_caller()->set_user(user);
        put.mutable_caller()->set_auth_revision(revision);
        return put;
    }

    std::filesystem::path root_;
    std::int64_t now_ms_ = 0;
    std::uint64_t index_ = 0;
};

TEST_F(MachineAuth, AWriteIsCheckedWhenItIsApplied) {
    auto m = open("a");
    EXPECT_EQ(apply(*m, put_by("", 0)), "");
    enable(*m);
    const auto revision = m->auth().revision();
    EXPECT_EQ(apply(*m, put_by("", 0)), "etcdserver: user name is empty");
    EXPECT_EQ(apply(*m, put_by("ann", revision)), "etcdserver: permission denied");
    EXPECT_EQ(apply(*m, put_by("root", revision - 1)), "etcdserver: revision of auth store is old");
    const auto before = m->store().revision();
    EXPECT_EQ(apply(*m, put_by("root", revision)), "");
    EXPECT_EQ(m->store().revision(), before + 1);
    Command trusted;
    trusted.mutable_put()->set_key("k");
    EXPECT_EQ(apply(*m, trusted), "");
}

TEST_F(MachineAuth, UsersOutliveARestartAndTokensDoNot) {
    std::uint64_t revision = 0;
    {
        auto m = open("a");
        enable(*m);
        Command token;
        token.mutable_auth_token()->set_user("root");
        token.mutable_auth_token()->set_token_sha256("t");
        token.mutable_auth_token()->set_checked_revision(1);
        EXPECT_EQ(apply(*m, token), "etcdserver: revision of auth store is old");
        token.mutable_auth_token()->set_checked_revision(m->auth().revision());
        EXPECT_EQ(apply(*m, token), "");
        EXPECT_EQ(m->tokens().use("t", now_ms_), "root");
        revision = m->auth().revision();
        ASSERT_TRUE(m->database().sync());
    }
    auto m = open("a");
    EXPECT_TRUE(m->auth().enabled());
    EXPECT_EQ(m->auth().revision(), revision);
    EXPECT_TRUE(m->auth().has_role("root", "root"));
    EXPECT_FALSE(m->tokens().use("t", now_ms_));
}

TEST_F(MachineAuth, ASnapshotCarriesUsersToAFreshMember) {
    auto from = open("from");
    enable(*from);
    auto reader = from->open_snapshot();
    ASSERT_TRUE(reader);
    auto to = open("to");
    EXPECT_FALSE(to->auth().enabled());
    auto writer = to->begin_install((*reader)->position());
    ASSERT_TRUE(writer);
    for (;;) {
        auto chunk = (*reader)->next(1000);
        ASSERT_TRUE(chunk);
        if (chunk->empty()) break;
        ASSERT_TRUE((*writer)->write(*chunk));
    }
    ASSERT_TRUE((*writer)->seal());
    ASSERT_TRUE((*writer)->finish());
    EXPECT_TRUE(to->auth().enabled());
    EXPECT_EQ(to->auth().revision(), from->auth().revision());
    EXPECT_EQ(apply(*to, put_by("ann", to->auth().revision())), "etcdserver: permission denied");
    EXPECT_EQ(apply(*to, put_by("root", to->auth().revision())), "");
}

TEST_F(MachineAuth, TheHashOfTheKeysDoesNotSeeUsers) {
    auto m = open("a");
    Command put;
    put.mutable_put()->set_key("k");
    EXPECT_EQ(apply(*m, put), "");
    const auto before = m->store().hash(0);
    enable(*m);
    EXPECT_EQ(*m->store().hash(0), *before);
}

}  // namespace
}  // namespace kvstore
