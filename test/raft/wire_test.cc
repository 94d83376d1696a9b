// The hand-written Protobuf against the generated one, and against rubbish.

#include "raft/transport/wire.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "test/raft/peer.pb.h"

namespace raft {
namespace {

Message random_message(base::Random& random) {
    const auto sometimes = [&](std::uint64_t v) { return random.chance(1, 3) ? 0 : v; };
    Message m;
    m.type =
        static_cast<MessageType>(random.between(1, static_cast<std::uint64_t>(kLastMessageType)));
    m.from = NodeId(random.next());
    m.to = NodeId(random.next());
    m.term = Term(sometimes(random.next() >> random.below(64)));
    m.index = Index(sometimes(random.next() >> random.below(64)));
    m.log_term = Term(sometimes(random.below(1000)));
    m.commit = Index(sometimes(random.below(1000)));
    m.hint = Index(sometimes(random.below(1000)));
    m.context = sometimes(random.next());
    m.hint_node = NodeId(sometimes(random.next()));
    m.reject = random.chance(1, 2);
    m.force = random.chance(1, 2);
    m.lease = random.chance(1, 2);
    m.priority = static_cast<std::uint32_t>(sometimes(random.next() >> 32U));
    m.reason = static_cast<Reject>(random.below(static_cast<std::uint64_t>(kLastReject) + 1));
    for (std::uint64_t i = random.below(4); i > 0; --i) {
        Entry e{Term(sometimes(random.below(9))), Index(sometimes(random.next() >> 20U)),
                static_cast<EntryType>(random.below(2)), nullptr};
        if (random.chance(1, 2))
            e.payload = std::make_shared<const std::string>(random.between(1, 300), 'q');
        m.entries.push_back(std::move(e));
    }
    if (random.chance(1, 2)) m.payload = std::make_shared<const std::string>("payload");
    return m;
}

bool same(const Message& a, const Message& b) {
    return encode_message(a) == encode_message(b) && to_string(a) == to_string(b);
}

TEST(Wire, MessagesAreProtobuf) {
    base::Random random(1);
    for (int i = 0; i < 2000; ++i) {
        const Message m = random_message(random);
        const std::string bytes = encode_message(m);
        coxswain::raft::PeerMessage generated;
        ASSERT_TRUE(generated.ParseFromString(bytes));
        EXPECT_EQ(generated.from(), m.from.value());
        EXPECT_EQ(generated.index(), m.index.value());
        EXPECT_EQ(generated.context(), m.context);
        EXPECT_EQ(generated.lease(), m.lease);
        EXPECT_EQ(generated.priority(), m.priority);
        EXPECT_EQ(generated.reason(), static_cast<std::uint32_t>(m.reason));
        ASSERT_EQ(generated.entries_size(), static_cast<int>(m.entries.size()));
        for (int k = 0; k < generated.entries_size(); ++k)
            EXPECT_EQ(generated.entries(k).payload(),
                      m.entries[static_cast<std::size_t>(k)].data());
        EXPECT_EQ(generated.SerializeAsString(), bytes);
        const auto back = decode_message(bytes);
        ASSERT_TRUE(back.has_value());
        EXPECT_TRUE(same(*back, m));
    }
}

TEST(Wire, UnknownFieldsOfANewerMemberAreSkipped) {
    Message m;
    m.from = NodeId(1);
    std::string bytes = encode_message(m);
    bytes += std::string("\xa0\x06\x05", 3);  // field 100, varint 5
    ASSERT_TRUE(decode_message(bytes).has_value());
}

TEST(Wire, RubbishIsAnErrorNeverACrash) {
    base::Random random(2);
    for (int i = 0; i < 20000; ++i) {
        std::string bytes = encode_message(random_message(random));
        for (std::uint64_t k = random.between(1, 4); k > 0; --k)
            bytes[random.below(bytes.size())] = static_cast<char>(random.next());
        if (random.chance(1, 3)) bytes.resize(random.below(bytes.size()));
        (void)decode_message(bytes);
        (void)decode_hello(bytes);
        (void)decode_config_entry(bytes);
        (void)decode_change_request(bytes);
    }
}

TEST(Wire, AFrameKnowsItsDamage) {
    std::string out;
    append_frame(&out, FrameKind::kSnapshotChunk, "some bytes");
    const auto header = parse_frame_header(std::string_view(out).substr(0, kFrameHeader));
    ASSERT_TRUE(header);
    EXPECT_EQ(header->length, 10U);
    EXPECT_TRUE(frame_is_intact(*header, std::string_view(out).substr(kFrameHeader)));
    EXPECT_FALSE(frame_is_intact(*header, "some bytez"));
    out[8] = 99;
    EXPECT_FALSE(parse_frame_header(std::string_view(out).substr(0, kFrameHeader)));
    std::string huge(kFrameHeader, '\xff');
    huge[8] = 2;
    EXPECT_FALSE(parse_frame_header(huge));
}

TEST(Wire, HelloRoundTrip) {
    const auto back = decode_hello(encode_hello({5, NodeId(6), NodeId(7), 8}));
    ASSERT_TRUE(back.has_value());
    EXPECT_EQ(back->cluster_id, 5U);
    EXPECT_EQ(back->from, NodeId(6));
    EXPECT_EQ(back->to, NodeId(7));
    EXPECT_EQ(back->stream, 8U);
    EXPECT_FALSE(decode_hello("").has_value());
}

}  // namespace
}  // namespace raft
