#include "kvstore/core/alarms.h"

#include <gtest/gtest.h>

#include "kvstore/proto/command.pb.h"

namespace kvstore {
namespace {

namespace pb = etcdserverpb;

pb::AlarmResponse apply(Alarms& alarms, pb::AlarmRequest::AlarmAction action, pb::AlarmType type,
                        std::uint64_t member, bool* changed = nullptr) {
    pb::AlarmRequest request;
    request.set_action(action);
    request.set_alarm(type);
    request.set_memberid(member);
    pb::AlarmResponse out;
    const bool c = alarms.apply(request, &out);
    if (changed != nullptr) *changed = c;
    return out;
}

Command put() {
    Command c;
    c.mutable_put()->set_key("k");
    return c;
}
Command erase() {
    Command c;
    c.mutable_delete_range()->set_key("k");
    return c;
}

TEST(AlarmsTest, NoSpaceStopsWhatNeedsSpaceAndNothingElse) {
    Alarms alarms;
    EXPECT_TRUE(alarms.allows(put()));
    apply(alarms, pb::AlarmRequest::ACTIVATE, pb::NOSPACE, 7);
    EXPECT_EQ(alarms.allows(put()).error().message, "etcdserver: mvcc: database space exceeded");
    EXPECT_TRUE(alarms.allows(erase()));
    Command lease;
    lease.mutable_lease_grant()->set_ttl(5);
    EXPECT_FALSE(alarms.allows(lease));
    Command txn;
    *txn.mutable_txn()->add_success()->mutable_request_delete_range() = erase().delete_range();
    EXPECT_TRUE(alarms.allows(txn));
    *txn.mutable_txn()->add_failure()->mutable_request_put() = put().put();
    EXPECT_FALSE(alarms.allows(txn));
    Command compact;
    compact.mutable_compact()->set_revision(2);
    EXPECT_TRUE(alarms.allows(compact));
    Command alarm;
    alarm.mutable_alarm();
    EXPECT_TRUE(alarms.allows(alarm));
}

TEST(AlarmsTest, CorruptStopsEveryWriteButTheAlarmsOwn) {
    Alarms alarms;
    apply(alarms, pb::AlarmRequest::ACTIVATE, pb::CORRUPT, 7);
    EXPECT_EQ(alarms.allows(erase()).error().message, "etcdserver: corrupt cluster");
    Command alarm;
    alarm.mutable_alarm();
    EXPECT_TRUE(alarms.allows(alarm));
}

TEST(AlarmsTest, EachMemberHasItsOwnAndTheLastOneGoneLetsWritesIn) {
    Alarms alarms;
    bool changed = false;
    apply(alarms, pb::AlarmRequest::ACTIVATE, pb::NOSPACE, 1, &changed);
    EXPECT_TRUE(changed);
    apply(alarms, pb::AlarmRequest::ACTIVATE, pb::NOSPACE, 1, &changed);
    EXPECT_FALSE(changed);
    apply(alarms, pb::AlarmRequest::ACTIVATE, pb::NOSPACE, 2);
    EXPECT_EQ(apply(alarms, pb::AlarmRequest::GET, pb::NONE, 0).alarms_size(), 2);
    EXPECT_EQ(apply(alarms, pb::AlarmRequest::GET, pb::CORRUPT, 0).alarms_size(), 0);
    EXPECT_EQ(apply(alarms, pb::AlarmRequest::DEACTIVATE, pb::NOSPACE, 1).alarms_size(), 1);
    EXPECT_FALSE(alarms.allows(put()));
    apply(alarms, pb::AlarmRequest::DEACTIVATE, pb::NOSPACE, 2);
    EXPECT_TRUE(alarms.allows(put()));
    EXPECT_EQ(apply(alarms, pb::AlarmRequest::DEACTIVATE, pb::NOSPACE, 2).alarms_size(), 0);
}

TEST(AlarmsTest, WhatIsKeptComesBackAndDamageIsTold) {
    Alarms alarms;
    apply(alarms, pb::AlarmRequest::ACTIVATE, pb::NOSPACE, 1);
    Alarms again;
    ASSERT_TRUE(again.decode(alarms.encode()));
    EXPECT_FALSE(again.allows(put()));
    EXPECT_FALSE(again.decode("\x12\xFF"));
}

TEST(AlarmsTest, ATransactionCostsItsDearerBranch) {
    pb::TxnRequest txn;
    EXPECT_EQ(storage_cost(txn), 0);
    txn.add_success()->mutable_request_put()->set_key("k");
    const auto one = storage_cost(txn);
    auto* nested = txn.add_failure()->mutable_request_txn();
    nested->add_success()->mutable_request_put()->set_value(std::string(1000, 'x'));
    EXPECT_GT(storage_cost(txn), one + 900);
    EXPECT_LT(storage_cost(txn), 2 * one + 1000);
}

}  // namespace
}  // namespace kvstore
