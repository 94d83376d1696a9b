#include "kvstore/core/member_checks.h"

#include <gtest/gtest.h>

namespace kvstore {
namespace {

Member member(std::uint64_t id, bool started = true, bool learner = false) {
    Member m;
    m.id = raft::NodeId(id);
    m.name = started ? "m" + std::to_string(id) : "";
    m.peer_urls = {"http://10.0.0." + std::to_string(id) + ":2380"};
    m.learner = learner;
    return m;
}
constexpr const char* kNotStarted =
    "etcdserver: re-configuration failed due to not enough started members";

TEST(MemberChecksTest, PeerUrlsAreHostsAndPortsAndNobodyElses) {
    const std::vector<Member> members{member(1), member(2)};
    const auto check = [&](std::vector<std::string> urls, std::uint64_t self = 0) {
        auto s = check_peer_urls(members, raft::NodeId(self), urls);
        return s ? std::string() : s.error().message;
    };
    EXPECT_EQ(check({"https://10.0.0.9:2380"}), "");
    for (const char* bad : {"", "10.0.0.9:2380", "ftp://a:1", "http://a", "http://:1", "http://a:0",
                            "http://a:70000", "http://a:1/x", "http://a:1x"})
        EXPECT_EQ(check({bad}), "etcdserver: given member URLs are invalid") << bad;
    EXPECT_EQ(check({}), "etcdserver: given member URLs are invalid");
    EXPECT_EQ(check({"http://a:1", "http://a:1"}), "etcdserver: given member URLs are invalid");
    EXPECT_EQ(check({"http://10.0.0.2:2380"}), "etcdserver: Peer URLs already exists");
    EXPECT_EQ(check({"http://10.0.0.2:2380"}, 2), "");
}

TEST(MemberChecksTest, AVoterMoreNeedsAMajorityOfStartedOnes) {
    EXPECT_TRUE(check_add_voter({member(1)})) << "one grows to two";
    EXPECT_EQ(check_add_voter({member(1), member(2, false)}).error().message, kNotStarted);
    EXPECT_TRUE(check_add_voter({member(1), member(2), member(3)}));
    EXPECT_TRUE(check_add_voter({member(1), member(2), member(3), member(4)}));
    EXPECT_FALSE(check_add_voter({member(1), member(2), member(3, false)}));
}

TEST(MemberChecksTest, OnlySoManyLearnersAtATime) {
    EXPECT_TRUE(check_add_learner({member(1)}, 1));
    EXPECT_EQ(check_add_learner({member(1), member(2, false, true)}, 1).error().message,
              "etcdserver: too many learner members in cluster");
    EXPECT_TRUE(check_add_learner({member(1), member(2, false, true)}, 2));
    EXPECT_FALSE(check_add_learner({member(1)}, 0));
}

TEST(MemberChecksTest, AnExchangeNamesMembersOnceAndLeavesAStartedMajority) {
    using Kind = MembershipChange::Kind;
    const std::vector<Member> members{member(1), member(2), member(3), member(4, true, true),
                                      member(5, false, true)};
    const auto check = [&](std::vector<std::pair<Kind, std::uint64_t>> list) {
        std::vector<MembershipChange> changes;
        for (const auto& [kind, id] : list)
            changes.push_back({kind, member(id)});
        const auto s = check_change(members, changes);
        return s ? std::string() : s.error().message;
    };
    EXPECT_EQ(check({{Kind::kPromote, 4}, {Kind::kRemove, 1}, {Kind::kRemove, 2}}), "");
    EXPECT_EQ(check({}), "nothing to promote and nobody to remove");
    EXPECT_EQ(check({{Kind::kPromote, 4}, {Kind::kRemove, 4}}), "a member is named twice");
    EXPECT_EQ(check({{Kind::kRemove, 9}}), "etcdserver: member not found");
    EXPECT_EQ(check({{Kind::kPromote, 1}}), "etcdserver: can only promote a learner member");
    EXPECT_EQ(check({{Kind::kRemove, 1}, {Kind::kRemove, 2}, {Kind::kRemove, 3}}), kNotStarted);
    EXPECT_EQ(check({{Kind::kPromote, 5}, {Kind::kRemove, 1}, {Kind::kRemove, 2}}), kNotStarted);
}

TEST(MemberChecksTest, WhoStaysMustBeAMajorityAndTheLastOneStays) {
    EXPECT_EQ(check_remove({member(1)}, raft::NodeId(9)).error().message,
              "etcdserver: member not found");
    EXPECT_EQ(check_remove({member(1)}, raft::NodeId(1)).error().message, kNotStarted);
    EXPECT_TRUE(check_remove({member(1), member(2), member(3)}, raft::NodeId(1)));
    EXPECT_TRUE(check_remove({member(1), member(2, false)}, raft::NodeId(2)));
    EXPECT_FALSE(check_remove({member(1), member(2, false)}, raft::NodeId(1)));
    EXPECT_TRUE(check_remove({member(1), member(2, false, true)}, raft::NodeId(2)));
}

TEST(MemberChecksTest, APromotedLearnerCountsAsStarted) {
    EXPECT_TRUE(check_promote({member(1), member(2, false, true)}, raft::NodeId(2)));
    EXPECT_FALSE(check_promote(
        {member(1), member(2, false), member(3, false), member(4, true, true)}, raft::NodeId(4)));
    EXPECT_FALSE(check_promote({member(1)}, raft::NodeId(4)));
}

}  // namespace
}  // namespace kvstore
