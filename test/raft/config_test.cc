// The rules of memberships as values, and how they look in the log.

#include "raft/core/config.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

namespace raft {
namespace {

Peer voter(std::uint64_t id) {
    return {NodeId(id), false, ""};
}
Peer learner(std::uint64_t id) {
    return {NodeId(id), true, ""};
}
ConfigChange change(ChangeKind kind, std::uint64_t id) {
    return {kind, voter(id)};
}
const Config kThree{{voter(1), voter(2), voter(3), learner(4), learner(5)}, {}};

std::vector<std::uint64_t> ids(const std::vector<Peer>& peers) {
    std::vector<std::uint64_t> out;
    for (const Peer& peer : peers)
        out.push_back(peer.id.value());
    return out;
}

TEST(ConfigTest, OneVoterMoreOrLessIsASingleStep) {
    for (const auto& changes : std::vector<std::vector<ConfigChange>>{
             {change(ChangeKind::kAddVoter, 6)},
             {change(ChangeKind::kPromote, 4)},
             {change(ChangeKind::kRemove, 3)},
             {change(ChangeKind::kRemove, 4), change(ChangeKind::kRemove, 5)},
             {change(ChangeKind::kPromote, 4), change(ChangeKind::kAddLearner, 6),
              change(ChangeKind::kUpdate, 1)}}) {
        const Changed after = apply_changes(kThree, changes);
        EXPECT_EQ(after.reject, Reject::kNone);
        EXPECT_FALSE(after.config.joint());
    }
}

TEST(ConfigTest, SeveralVotersAreExchangedThroughAJointMembership) {
    // The removal stands first, and a promotion comes before it all the same.
    const Changed after =
        apply_changes(kThree, {change(ChangeKind::kRemove, 1), change(ChangeKind::kPromote, 4),
                               change(ChangeKind::kRemove, 5)});
    ASSERT_EQ(after.reject, Reject::kNone);
    const Config& joint = after.config;
    ASSERT_TRUE(joint.joint());
    EXPECT_EQ(ids(joint.peers), (std::vector<std::uint64_t>{2, 3, 4}));
    EXPECT_EQ(ids(joint.outgoing), (std::vector<std::uint64_t>{1, 2, 3}));
    EXPECT_EQ(ids(joint.members()), (std::vector<std::uint64_t>{1, 2, 3, 4}));
    EXPECT_EQ(joint.voters(), 4U);
    EXPECT_TRUE(joint.is_voter(NodeId(1)));
    EXPECT_FALSE(joint.stays_voter(NodeId(1)));
    EXPECT_TRUE(joint.stays_voter(NodeId(4)));
    EXPECT_NE(joint.find(NodeId(1)), nullptr);
    EXPECT_EQ(joint.find(NodeId(5)), nullptr);
    EXPECT_EQ(apply_changes(joint, {change(ChangeKind::kPromote, 4)}).reject,
              Reject::kChangePending);
    const Config left = leave_joint(joint);
    EXPECT_FALSE(left.joint());
    EXPECT_EQ(left.find(NodeId(1)), nullptr);
    EXPECT_EQ(left.voters(), 3U);
}

TEST(ConfigTest, AllOrNothing) {
    const auto reject = [](std::vector<ConfigChange> changes) {
        return apply_changes(kThree, changes).reject;
    };
    EXPECT_EQ(reject({}), Reject::kMalformed);
    EXPECT_EQ(reject({change(ChangeKind::kPromote, 4), change(ChangeKind::kPromote, 4)}),
              Reject::kNotLearner);
    EXPECT_EQ(reject({change(ChangeKind::kPromote, 4), change(ChangeKind::kRemove, 9)}),
              Reject::kMemberNotFound);
    EXPECT_EQ(reject({change(ChangeKind::kAddVoter, 3), change(ChangeKind::kRemove, 1)}),
              Reject::kMemberExists);
    EXPECT_EQ(reject({change(ChangeKind::kRemove, 1), change(ChangeKind::kRemove, 2),
                      change(ChangeKind::kRemove, 3)}),
              Reject::kUnhealthy);
    EXPECT_EQ(reject({change(ChangeKind::kRemove, 1), change(ChangeKind::kRemove, 2),
                      change(ChangeKind::kRemove, 3), change(ChangeKind::kPromote, 4)}),
              Reject::kNone);
}

TEST(ConfigTest, AJointMajorityIsOneOfEachSet) {
    const Config joint{{voter(4), voter(5), voter(6)}, {voter(1), voter(2), voter(3)}};
    const auto majority = [&](std::set<std::uint64_t> yes) {
        return joint.majority([&](NodeId id) { return yes.count(id.value()) != 0; });
    };
    EXPECT_FALSE(majority({1, 2, 3, 4}));
    EXPECT_FALSE(majority({1, 4, 5, 6}));
    EXPECT_TRUE(majority({2, 3, 4, 6}));
    std::map<std::uint64_t, int> match{{1, 9}, {2, 7}, {3, 5}, {4, 8}, {5, 3}, {6, 6}};
    EXPECT_EQ(joint.quorum_value([&](NodeId id) { return match.at(id.value()); }), 6);
    EXPECT_EQ(leave_joint(joint).quorum_value([&](NodeId id) { return match.at(id.value()); }), 6);
    match[6] = 9;
    EXPECT_EQ(joint.quorum_value([&](NodeId id) { return match.at(id.value()); }), 7);
    EXPECT_FALSE(Config{}.majority([](NodeId) { return true; }));
}

// Any majority of the membership before and any of the joint one have a member in common, and so
// have the joint one's and the one's after: for all exchanges among five.
TEST(ConfigTest, MajoritiesOfNeighboursIntersect) {
    constexpr unsigned kMembers = 5;
    const auto config = [](unsigned set) {
        Config c;
        for (unsigned i = 0; i < kMembers; ++i)
            if ((set >> i & 1U) != 0) c.peers.push_back(voter(i + 1));
        return c;
    };
    const auto wins = [](const Config& c, unsigned set) {
        return c.majority([set](NodeId id) { return (set >> (id.value() - 1) & 1U) != 0; });
    };
    for (unsigned before = 1; before < 1U << kMembers; ++before)
        for (unsigned after = 1; after < 1U << kMembers; ++after) {
            Config joint = config(after);
            joint.outgoing = config(before).peers;
            for (unsigned a = 0; a < 1U << kMembers; ++a) {
                if (!wins(joint, a)) continue;
                const unsigned rest = ~a & ((1U << kMembers) - 1);
                ASSERT_FALSE(wins(config(before), rest)) << before << " " << after << " " << a;
                ASSERT_FALSE(wins(config(after), rest)) << before << " " << after << " " << a;
            }
        }
}

// What stands in logs, snapshots and messages since the first version.
TEST(ConfigTest, AMembershipWithOneSetIsEncodedAsItAlwaysWas) {
    const ConfigEntry entry{{NodeId(7), 300}, {{{NodeId(1), false, "a"}, learner(5)}, {}}};
    const std::string bytes("\x07\xac\x02\x02\x01\x00\x01\x61\x05\x01\x00", 11);
    EXPECT_EQ(encode(entry), bytes);
    const auto back = decode_config_entry(bytes);
    ASSERT_TRUE(back);
    EXPECT_EQ(back->config, entry.config);
    EXPECT_EQ(back->request, entry.request);
    const ChangeRequest request{{NodeId(7), 300}, {change(ChangeKind::kPromote, 5)}};
    const std::string asked("\x07\xac\x02\x02\x05\x00\x00", 7);
    EXPECT_EQ(encode(request), asked);
    const auto again = decode_change_request(asked);
    ASSERT_TRUE(again);
    ASSERT_EQ(again->changes.size(), 1U);
    EXPECT_EQ(again->changes[0].kind, ChangeKind::kPromote);
    EXPECT_EQ(again->changes[0].peer.id, NodeId(5));
}

TEST(ConfigTest, JointMembershipsAndSeveralChangesComeBackAsTheyWere) {
    const ConfigEntry entry{{NodeId(7), 300},
                            {{{NodeId(1), false, "a"}, learner(5)},
                             {{NodeId(1), false, "a"}, {NodeId(2), false, "b"}}}};
    const std::string bytes = encode(entry);
    const auto back = decode_config_entry(bytes);
    ASSERT_TRUE(back);
    EXPECT_EQ(back->config, entry.config);
    const ChangeRequest request{{NodeId(7), 300},
                                {change(ChangeKind::kPromote, 5), change(ChangeKind::kRemove, 1)}};
    const std::string asked = encode(request);
    const auto again = decode_change_request(asked);
    ASSERT_TRUE(again);
    ASSERT_EQ(again->changes.size(), 2U);
    EXPECT_EQ(again->changes[1].kind, ChangeKind::kRemove);
    // No prefix and no prolongation is one; but the first set alone is.
    const std::size_t first_set =
        encode(ConfigEntry{{NodeId(7), 300}, leave_joint(entry.config)}).size();
    for (std::size_t n = 0; n < bytes.size(); ++n)
        EXPECT_EQ(decode_config_entry(bytes.substr(0, n)).has_value(), n == first_set) << n;
    EXPECT_FALSE(decode_config_entry(bytes + '\0'));
    for (std::size_t n = 0; n < asked.size(); ++n)
        EXPECT_FALSE(decode_change_request(asked.substr(0, n))) << n;
    EXPECT_FALSE(decode_change_request(asked + '\0'));
    EXPECT_FALSE(decode_change_request(encode(ChangeRequest{{NodeId(7), 300}, {}})));
    // Outgoing are voters only, ascending.
    EXPECT_FALSE(decode_config_entry(encode(ConfigEntry{{}, {{voter(1)}, {learner(2)}}})));
    EXPECT_FALSE(decode_config_entry(encode(ConfigEntry{{}, {{voter(1)}, {voter(3), voter(2)}}})));
}

}  // namespace
}  // namespace raft
