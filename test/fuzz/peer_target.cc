// Bytes from other members: frames on a connection, messages in them, and what the consensus core
// makes of messages that a broken member might send.

#include "base/check.h"
#include "raft/core/core.h"
#include "raft/transport/tcp_impl.h"
#include "raft/transport/wire.h"
#include "test/fuzz/target.h"

namespace fuzz {
namespace {

using namespace raft;

struct NoEntries final : EntrySource {
    std::vector<Entry> read(Index, Index, std::size_t) override { return {}; }
};

Config three() {
    Config c;
    for (const std::uint64_t id : {1U, 2U, 3U})
        c.peers.push_back({NodeId(id), false, "x"});
    return c;
}

// A follower with nothing in its log but its membership, whose writes end at once.
void through_core(const std::vector<Message>& messages) {
    NoEntries source;
    CoreOptions options;
    options.id = NodeId(1);
    RecoveredLog log;
    log.base_config = three();
    Core core(options, Recovered{{Term(1), kNobody}, log, Index(0), Index(0)}, source);
    for (const Message& m : messages) {
        core.step(m);
        core.tick();
        while (core.has_effects()) {
            const Effects effects = core.take();
            if (effects.install) return;  // what follows is the driver's part
            if (effects.ticket != 0) core.storage_done(effects.ticket);
            if (!effects.committed.empty()) core.applied(effects.committed.back().index);
        }
    }
}

}  // namespace

void run(std::string_view input) {
    std::vector<Message> messages;
    FrameReader reader;
    Reader in(input);
    // Alternately whole frames with a right checksum, so that their content is reached, and bytes
    // as they are.
    while (!in.empty()) {
        const std::uint8_t how = in.byte();
        std::string bytes;
        if (how % 4 != 0)
            append_frame(&bytes, static_cast<FrameKind>(how / 4 % 8), in.piece());
        else
            bytes = in.piece();
        const auto took = [&](FrameKind, std::string_view body) {
            if (auto m = decode_message(body)) {
                const auto again = decode_message(encode_message(*m));
                CHECK(again && to_string(*again) == to_string(*m));
                messages.push_back(std::move(*m));
            }
            if (const auto hello = decode_hello(body)) (void)encode_hello(*hello);
            (void)decode_config_entry(body);
            (void)decode_change_request(body);
            return base::Status();
        };
        if (!reader.feed(bytes, kMaxFrame, took)) break;
    }
    through_core(messages);
}

std::vector<std::string> seeds() {
    const auto framed = [](const Message& m) {
        return std::string(1, static_cast<char>(1 + 4 * static_cast<int>(FrameKind::kMessage))) +
               piece(encode_message(m));
    };
    Message append;
    append.type = MessageType::kAppend;
    append.from = NodeId(2);
    append.to = NodeId(1);
    append.term = Term(2);
    append.commit = Index(2);
    const Config config = three();
    append.entries = {
        {Term(2), Index(1), EntryType::kConfig,
         std::make_shared<const std::string>(encode(ConfigEntry{{}, config}))},
        {Term(2), Index(2), EntryType::kData, std::make_shared<const std::string>("payload")}};
    std::vector<std::string> out;
    std::string all = framed(append);
    out.push_back(all);
    for (int type = 1; type <= static_cast<int>(kLastMessageType); ++type) {
        Message m;
        m.type = static_cast<MessageType>(type);
        m.from = NodeId(2);
        m.to = NodeId(1);
        m.term = Term(3);
        m.index = Index(2);
        m.log_term = Term(2);
        m.context = 7;
        if (m.type == MessageType::kPropose) m.payload = std::make_shared<const std::string>("p");
        if (m.type == MessageType::kSnapshot)
            m.payload = std::make_shared<const std::string>(encode(ConfigEntry{{}, config}));
        out.push_back(framed(append) + framed(m));
        all += framed(m);
    }
    out.push_back(all);
    Hello hello{1, NodeId(2), NodeId(1), 0};
    out.push_back(std::string(1, '\x05') + piece(encode_hello(hello)));
    return out;
}

}  // namespace fuzz
