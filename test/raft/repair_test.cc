// A damaged member gets its vote back when what repairs it is on its disk, not before.

#include <gtest/gtest.h>

#include "raft/core/core.h"

namespace raft {
namespace {

struct NoEntries final : EntrySource {
    std::vector<Entry> read(Index, Index, std::size_t) override { return {}; }
};

TEST(Repair, ASnapshotGivesTheVoteBackWhenItIsInstalled) {
    Config config;
    for (std::uint64_t id = 1; id <= 3; ++id)
        config.peers.push_back({NodeId(id)});
    RecoveredLog log;
    log.base_config = config;
    CoreOptions options;
    options.id = NodeId(2);
    NoEntries source;
    Core core(options, {{Term(3), kNobody}, log, Index(0), Index(0), Term(3)}, source);
    ASSERT_TRUE(core.repairing());
    for (auto e = core.take(); e.ticket != 0; e = core.take())
        core.storage_done(e.ticket);

    Message snapshot;
    snapshot.type = MessageType::kSnapshot;
    snapshot.from = NodeId(3);
    snapshot.to = NodeId(2);
    snapshot.term = snapshot.log_term = core.term() + 1;
    snapshot.index = Index(49);
    snapshot.payload = std::make_shared<const std::string>(encode(ConfigEntry{{}, config}));
    core.step(snapshot);
    const Effects effects = core.take();
    ASSERT_TRUE(effects.install);
    EXPECT_FALSE(effects.repaired);
    EXPECT_TRUE(core.repairing());
    core.storage_done(effects.ticket);
    EXPECT_TRUE(core.take().repaired);
    EXPECT_FALSE(core.repairing());
}

}  // namespace
}  // namespace raft
