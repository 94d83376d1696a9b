#include "kvstore/auth/auth_state.h"

#include <gtest/gtest.h>

#include "kvstore/auth/checks.h"
#include "kvstore/auth/tokens.h"
#include "kvstore/proto/command.pb.h"
#include "test/kvstore/mvcc_fixture.h"

namespace kvstore::auth {
namespace {

namespace pb = etcdserverpb;
using namespace std::string_literals;

std::string error_of(const base::Status& status) {
    return status ? "" : status.error().message;
}

void add_user(AuthState& a, const std::string& name) {
    pb::AuthUserAddRequest r;
    r.set_name(name);
    r.set_hashedpassword("hash of " + name);
    ASSERT_EQ(error_of(a.add_user(r)), "");
}

void grant(AuthState& a, const std::string& role, authpb::Permission::Type type,
           const std::string& key, const std::string& end = "") {
    pb::AuthRoleGrantPermissionRequest r;
    r.set_name(role);
    r.mutable_perm()->set_permtype(type);
    r.mutable_perm()->set_key(key);
    r.mutable_perm()->set_range_end(end);
    ASSERT_EQ(error_of(a.grant_permission(r)), "");
}

// root, and ann with the role r; auth is on.
struct Ann {
    AuthState a;
    Ann() {
        add_user(a, "root");
        add_user(a, "ann");
        EXPECT_EQ(error_of(a.grant_role("root", "root")), "");
        EXPECT_EQ(error_of(a.add_role("r")), "");
        EXPECT_EQ(error_of(a.grant_role("ann", "r")), "");
        EXPECT_EQ(error_of(a.enable()), "");
    }
    Caller ann() const { return Caller::named("ann", a.revision()); }
};

TEST(KeyRanges, HoldsWhatItsIntervalsHoldTogether) {
    KeyRanges ranges;
    ranges.add("a", "c");
    ranges.add("c", "e");
    ranges.add("k", "");
    ranges.add("p", "\0"s);
    struct Row {
        std::string key, end;
        bool held;
    };
    const Row rows[] = {
        {"a", "", true},     {"b", "d", true},    {"a", "e", true},    {"a", "f", false},
        {"e", "", false},    {"d\xff", "", true}, {"k", "", true},     {"k", "l", false},
        {"k\0"s, "", false}, {"k", "k\0"s, true}, {"p", "\0"s, true},  {"z", "\0"s, true},
        {"o", "\0"s, false}, {"", "\0"s, false},  {"zz", "zzz", true}, {"a", "\0"s, false},
        {"d", "b", true},    {"f", "a", false},
    };
    for (const auto& row : rows)
        EXPECT_EQ(ranges.contains(row.key, row.end), row.held) << row.key << " " << row.end;
}

TEST(AuthState, RootComesFirstAndIsProtectedWhileAuthIsOn) {
    AuthState a;
    EXPECT_EQ(error_of(a.enable()), "etcdserver: root user does not exist");
    add_user(a, "root");
    EXPECT_EQ(error_of(a.enable()), "etcdserver: root user does not have root role");
    EXPECT_EQ(error_of(a.grant_role("root", "root")), "");  // without a record of the role
    EXPECT_EQ(error_of(a.add_role("root")), "");
    EXPECT_EQ(error_of(a.enable()), "");
    const std::string managed = "etcdserver: invalid auth management";
    EXPECT_EQ(error_of(a.delete_user("root")), managed);
    EXPECT_EQ(error_of(a.revoke_role("root", "root")), managed);
    EXPECT_EQ(error_of(a.delete_role("root")), managed);
    EXPECT_EQ(error_of(a.disable()), "");
    EXPECT_EQ(error_of(a.delete_role("root")), "");
    EXPECT_FALSE(a.has_role("root", "root"));
    EXPECT_EQ(error_of(a.delete_user("root")), "");
}

TEST(AuthState, SaysWhatIsWrongInEtcdsWords) {
    AuthState a;
    add_user(a, "u");
    pb::AuthUserAddRequest user;
    EXPECT_EQ(error_of(a.add_user(user)), "etcdserver: user name is empty");
    user.set_name("u");
    EXPECT_EQ(error_of(a.add_user(user)), "etcdserver: user name already exists");
    EXPECT_EQ(error_of(a.delete_user("x")), "etcdserver: user name not found");
    EXPECT_EQ(error_of(a.change_password("x", "")), "etcdserver: user name not found");
    EXPECT_EQ(error_of(a.grant_role("x", "r")), "etcdserver: user name not found");
    EXPECT_EQ(error_of(a.grant_role("u", "r")), "etcdserver: role name not found");
    EXPECT_EQ(error_of(a.revoke_role("u", "r")), "etcdserver: role is not granted to the user");
    EXPECT_EQ(error_of(a.add_role("")), "etcdserver: role name is empty");
    EXPECT_EQ(error_of(a.add_role("r")), "");
    EXPECT_EQ(error_of(a.add_role("r")), "etcdserver: role name already exists");
    EXPECT_EQ(error_of(a.delete_role("x")), "etcdserver: role name not found");
    pb::AuthRoleGrantPermissionRequest grant;
    grant.set_name("x");
    EXPECT_EQ(error_of(a.grant_permission(grant)), "etcdserver: permission not given");
    grant.mutable_perm()->set_key("b");
    EXPECT_EQ(error_of(a.grant_permission(grant)), "etcdserver: role name not found");
    grant.mutable_perm()->set_range_end("a");
    EXPECT_EQ(error_of(a.grant_permission(grant)), "etcdserver: invalid auth management");
    pb::AuthRoleRevokePermissionRequest revoke;
    revoke.set_role("r");
    EXPECT_EQ(error_of(a.revoke_permission(revoke)),
              "etcdserver: permission is not granted to the role");
}

TEST(AuthState, TheRevisionGrowsWithChangesAndOnlyWithThem) {
    AuthState a;
    EXPECT_EQ(a.revision(), 1U);
    add_user(a, "root");
    EXPECT_EQ(a.revision(), 2U);
    EXPECT_EQ(error_of(a.grant_role("root", "root")), "");
    EXPECT_EQ(error_of(a.grant_role("root", "root")), "");  // has it
    EXPECT_EQ(a.revision(), 3U);
    EXPECT_NE(error_of(a.delete_user("x")), "");
    EXPECT_EQ(error_of(a.enable()), "");
    EXPECT_EQ(a.revision(), 3U);
    EXPECT_EQ(error_of(a.disable()), "");
    EXPECT_EQ(a.revision(), 4U);
}

TEST(AuthState, WhatItChangedMakesTheSameStateAgain) {
    Ann x;
    grant(x.a, "r", authpb::Permission::READ, "k");
    EXPECT_EQ(error_of(x.a.add_role("gone")), "");
    EXPECT_EQ(error_of(x.a.grant_role("ann", "gone")), "");
    EXPECT_EQ(error_of(x.a.delete_role("gone")), "");
    std::map<std::string, std::string> records;
    for (const auto& change : x.a.take_changes()) {
        if (change.value)
            records[change.key] = *change.value;
        else
            records.erase(change.key);
    }
    EXPECT_TRUE(x.a.take_changes().empty());
    AuthState b;
    for (const auto& [key, value] : records)
        ASSERT_EQ(error_of(b.load(key, value)), "");
    EXPECT_TRUE(b.enabled());
    EXPECT_EQ(b.revision(), x.a.revision());
    ASSERT_NE(b.user("ann"), nullptr);
    EXPECT_EQ(b.user("ann")->SerializeAsString(), x.a.user("ann")->SerializeAsString());
    EXPECT_EQ(b.user("ann")->roles_size(), 1);
    EXPECT_EQ(b.role("gone"), nullptr);
    EXPECT_EQ(error_of(b.may_read(x.ann(), "k", "")), "");
    EXPECT_FALSE(b.load("um", "\xff\xff"));
    EXPECT_FALSE(b.load("uux", "\xff\xff"));
}

TEST(AuthState, ReadAndWriteAreToldApart) {
    Ann x;
    grant(x.a, "r", authpb::Permission::READ, "r");
    grant(x.a, "r", authpb::Permission::WRITE, "w");
    grant(x.a, "r", authpb::Permission::READWRITE, "b");
    const Caller ann = x.ann();
    EXPECT_TRUE(x.a.may_read(ann, "r", ""));
    EXPECT_FALSE(x.a.may_write(ann, "r", ""));
    EXPECT_FALSE(x.a.may_read(ann, "w", ""));
    EXPECT_TRUE(x.a.may_write(ann, "w", ""));
    EXPECT_TRUE(x.a.may_read(ann, "b", ""));
    EXPECT_TRUE(x.a.may_write(ann, "b", ""));
    EXPECT_TRUE(x.a.may_write(Caller::named("root", x.a.revision()), "anything", "\0"s));
    EXPECT_TRUE(x.a.may_write(Caller(), "anything", "\0"s));  // the store's own users
    // The same range again has the newer permission.
    grant(x.a, "r", authpb::Permission::READ, "b");
    EXPECT_FALSE(x.a.may_write(x.ann(), "b", ""));
    EXPECT_EQ(x.a.role("r")->keypermission_size(), 3);
}

TEST(AuthState, ACallerFromBeforeAChangeIsRefused) {
    Ann x;
    grant(x.a, "r", authpb::Permission::READ, "k");
    const Caller ann = x.ann();
    EXPECT_TRUE(x.a.may_read(ann, "k", ""));
    EXPECT_EQ(error_of(x.a.revoke_role("ann", "r")), "");
    EXPECT_EQ(error_of(x.a.may_read(ann, "k", "")), "etcdserver: revision of auth store is old");
    EXPECT_EQ(error_of(x.a.may_read(x.ann(), "k", "")), "etcdserver: permission denied");
    EXPECT_EQ(error_of(x.a.may_read(Caller::nobody(), "k", "")), "etcdserver: user name is empty");
    EXPECT_EQ(error_of(x.a.may_administrate(Caller::nobody())), "etcdserver: user name is empty");
    EXPECT_EQ(error_of(x.a.may_administrate(x.ann())), "etcdserver: permission denied");
    EXPECT_EQ(error_of(x.a.disable()), "");
    EXPECT_TRUE(x.a.may_read(Caller::nobody(), "k", ""));
}

pb::TxnRequest nested(const pb::TxnRequest& inner) {
    pb::TxnRequest outer;
    *outer.add_failure()->mutable_request_txn() = inner;
    return outer;
}

class Checks : public MvccTest {};

TEST_F(Checks, ATransactionNeedsAllOfItsPartsWhicheverBranchIsTaken) {
    Ann x;
    grant(x.a, "r", authpb::Permission::READWRITE, "a", "b");
    auto error = [&](const pb::TxnRequest& txn) {
        return error_of(may(x.a, *store_, x.ann(), txn));
    };
    const std::string denied = "etcdserver: permission denied";
    pb::TxnRequest txn;
    txn.add_compare()->set_key("a1");
    txn.add_success()->mutable_request_put()->set_key("a1");
    EXPECT_EQ(error(txn), "");
    EXPECT_EQ(error(nested(nested(txn))), "");
    pb::TxnRequest compare = txn;
    compare.add_compare()->set_key("c");
    EXPECT_EQ(error(compare), denied);
    compare = txn;
    compare.mutable_compare(0)->set_range_end("c");
    EXPECT_EQ(error(compare), denied);
    pb::TxnRequest put = txn;
    put.add_failure()->mutable_request_put()->set_key("c");
    EXPECT_EQ(error(put), denied);
    EXPECT_EQ(error(nested(nested(put))), denied);
    pb::TxnRequest range = txn;
    range.add_failure()->mutable_request_range()->set_key("c");
    EXPECT_EQ(error(range), denied);
    pb::TxnRequest remove = txn;
    remove.add_success()->mutable_request_delete_range()->set_key("a");
    remove.mutable_success(1)->mutable_request_delete_range()->set_range_end("\0"s);
    EXPECT_EQ(error(remove), denied);
}

TEST_F(Checks, PreviousValuesNeedReadAndLeasesNeedTheirKeys) {
    Ann x;
    grant(x.a, "r", authpb::Permission::WRITE, "w");
    ASSERT_TRUE(store_->lease_grant(7, 60));
    pb::PutRequest other;
    other.set_key("other");
    other.set_lease(7);
    ASSERT_TRUE(store_->put(other));
    auto error = [&](Command command) {
        command.mutable_caller()->set_user("ann");
        command.mutable_caller()->set_auth_revision(x.a.revision());
        return error_of(may_apply(x.a, *store_, command));
    };
    const std::string denied = "etcdserver: permission denied";
    Command put;
    put.mutable_put()->set_key("w");
    EXPECT_EQ(error(put), "");
    put.mutable_put()->set_prev_kv(true);
    EXPECT_EQ(error(put), denied);
    put.mutable_put()->set_prev_kv(false);
    put.mutable_put()->set_lease(7);
    EXPECT_EQ(error(put), denied);
    Command revoke;
    revoke.mutable_lease_revoke()->set_id(7);
    EXPECT_EQ(error(revoke), denied);
    EXPECT_EQ(error_of(may_list_keys_of(x.a, *store_, x.ann(), 7)), denied);
    Command remove;
    remove.mutable_delete_range()->set_key("w");
    EXPECT_EQ(error(remove), "");
    remove.mutable_delete_range()->set_prev_kv(true);
    EXPECT_EQ(error(remove), denied);
    Command add;
    add.mutable_auth_role_add()->set_name("x");
    EXPECT_EQ(error(add), denied);
    grant(x.a, "r", authpb::Permission::READWRITE, "other");
    EXPECT_EQ(error(revoke), "");
    EXPECT_EQ(error_of(may_list_keys_of(x.a, *store_, x.ann(), 7)), "");
}

TEST(TokenTable, TokensLastFiveMinutesFromTheirLastUse) {
    TokenTable t;
    t.grant("s1", "ann", 0);
    t.grant("s2", "ann", 0);
    t.grant("s3", "bob", 0);
    EXPECT_EQ(t.use("s1", 200'000), "ann");
    EXPECT_FALSE(t.use("s2", 300'000));
    EXPECT_EQ(t.use("s1", 499'999), "ann");
    EXPECT_FALSE(t.use("s1", 799'999));
    EXPECT_EQ(t.size(), 0U);
    t.grant("s1", "ann", 0);
    t.grant("s3", "bob", 0);
    t.forget_user("ann");
    EXPECT_FALSE(t.use("s1", 1));
    EXPECT_EQ(t.use("s3", 1), "bob");
    EXPECT_FALSE(t.use("", 1));
}

}  // namespace
}  // namespace kvstore::auth
