// Three members of real files and sockets, of which one's disk stalls: writes are taken and do not
// finish, as on a device that hangs.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <deque>
#include <filesystem>
#include <future>
#include <map>
#include <thread>

#include "base/log.h"
#include "base/ports.h"
#include "kvstore/replica/host.h"
#include "raft/core/core.h"
#include "raft/wal/posix_disk.h"

namespace kvstore {
namespace {

using raft::NodeId;

// Holds finished writes back while it is told to; on the loop's thread.
class StallingDisk final : public raft::Disk {
  public:
    explicit StallingDisk(std::unique_ptr<raft::Disk> disk) : disk_(std::move(disk)) {}
    void stall() { stalled_ = true; }
    void go_on() {
        stalled_ = false;
        while (!held_.empty()) {
            auto done = std::move(held_.front());
            held_.pop_front();
            if (done) done();
        }
    }

    base::Result<std::vector<std::string>> list() override { return disk_->list(); }
    base::Result<std::string> read(const std::string& name, std::uint64_t offset,
                                   std::uint64_t length) override {
        return disk_->read(name, offset, length);
    }
    void submit(raft::DiskBatch batch, base::UniqueFunction<void()> done) override {
        disk_->submit(std::move(batch), [this, d = std::move(done)]() mutable {
            if (stalled_ || !held_.empty()) return held_.push_back(std::move(d));
            if (d) d();
        });
    }
    void on_trouble(base::UniqueFunction<void(base::Status)> f) override {
        disk_->on_trouble(std::move(f));
    }
    std::uint64_t room() const override { return room_; }
    void set_room(std::uint64_t bytes) { room_ = bytes; }

  private:
    std::unique_ptr<raft::Disk> disk_;
    bool stalled_ = false;
    std::uint64_t room_ = UINT64_MAX;
    std::deque<base::UniqueFunction<void()>> held_;
};

// Goes on for as long as somebody reads it.
class EndlessSnapshot final : public SnapshotReader {
  public:
    explicit EndlessSnapshot(raft::Position position) : position_(position) {}
    raft::Position position() const override { return position_; }
    base::Result<std::string> next(std::size_t) override { return std::string("more"); }

  private:
    raft::Position position_;
};
class SnapshotSink final : public SnapshotWriter {
  public:
    base::Status write(std::string_view) override { return {}; }
    base::Status seal() override { return {}; }
    base::Status finish() override { return base::unimplemented("it never ends"); }
};

class ListMachine final : public StateMachine {
  public:
    std::vector<std::string> list;
    ApplyResult apply(const ApplyContext&, std::string_view payload) override {
        list.emplace_back(payload);
        return nullptr;
    }
    void end_of_batch(raft::Position upto) override { position_ = upto; }
    raft::Position applied() const override { return position_; }
    void sync(base::UniqueFunction<void(base::Result<raft::Position>)> done) override {
        done(position_);
    }
    base::Result<std::unique_ptr<SnapshotReader>> open_snapshot() override {
        return std::make_unique<EndlessSnapshot>(position_);
    }
    std::uint64_t snapshot_bytes() const override { return 1U << 30U; }
    base::Result<std::unique_ptr<SnapshotWriter>> begin_install(raft::Position) override {
        return std::make_unique<SnapshotSink>();
    }

  private:
    raft::Position position_;
};

class StallTest : public testing::Test {
  protected:
    struct Node {
        ListMachine machine;
        std::unique_ptr<base::Loop> loop;
        std::unique_ptr<AsioClock> clock;
        std::unique_ptr<StallingDisk> disk;
        std::unique_ptr<raft::TcpPeers> peers;
        std::unique_ptr<Replica> replica;
    };

    void SetUp() override {
        base::set_log_level(base::LogLevel::kOff);
        directory_ =
            std::filesystem::temp_directory_path() / fmt::format("coxswain-stall-{}", ::getpid());
        std::filesystem::remove_all(directory_);
        const auto ports = base::free_loopback_ports(3).value();
        for (std::uint64_t i = 1; i <= 3; ++i)
            members_.push_back({NodeId(i),
                                fmt::format("m{}", i),
                                {fmt::format("http://127.0.0.1:{}", ports[i - 1])},
                                {},
                                false});
        for (std::uint64_t i = 1; i <= 3; ++i) {
            Node& node = nodes_[i];
            node.loop = std::make_unique<base::Loop>(fmt::format("store{}", i));
            node.loop->start();
            node.loop->run_and_wait([&] { start(i, ports[i - 1]); });
        }
    }
    void start(std::uint64_t i, std::uint16_t port) {
        Node& node = nodes_[i];
        raft::TcpPeersOptions peers;
        peers.cluster_id = 99;
        peers.id = NodeId(i);
        peers.listen_port = port;
        ReplicaOptions options;
        options.id = NodeId(i);
        options.cluster_id = 99;
        options.initial_members = members_;
        options.disk_stall = base::Millis(400);
        options.wal_segment_bytes = 64 << 10;
        options.compact_log_bytes = 4 * options.wal_segment_bytes;
        options.keep_entries = 10;
        options.seed = i;
        node.clock = std::make_unique<AsioClock>(*node.loop);
        node.disk = std::make_unique<StallingDisk>(
            raft::PosixDisk::open(*node.loop, directory_ / fmt::format("m{}", i)).value());
        node.peers = raft::TcpPeers::listen(*node.loop, std::move(peers)).value();
        node.replica = Replica::open(std::move(options), node.machine,
                                     {node.clock.get(), node.disk.get(), node.peers.get()})
                           .value();
    }
    void TearDown() override {
        for (auto& [i, node] : nodes_) {
            node.loop->run_and_wait([&node = node] {
                node.replica.reset();
                node.peers.reset();
                node.disk.reset();
                node.clock.reset();
            });
            node.loop.reset();
        }
        std::filesystem::remove_all(directory_);
    }

    template <class F>
    auto ask(std::uint64_t i, F f) {
        decltype(f(nodes_[i])) out{};
        nodes_[i].loop->run_and_wait([&] { out = f(nodes_[i]); });
        return out;
    }
    bool leads(std::uint64_t i) {
        return ask(i, [](Node& n) { return n.replica->is_leader(); });
    }
    template <class F>
    bool eventually(F condition) {
        for (int k = 0; k < 2000; ++k) {
            if (condition()) return true;
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        }
        return false;
    }
    std::uint64_t leader_other_than(std::uint64_t not_this) {
        std::uint64_t found = 0;
        eventually([&] {
            for (std::uint64_t i = 1; i <= 3; ++i)
                if (i != not_this && leads(i)) found = i;
            return found != 0;
        });
        return found;
    }
    std::future<base::Status> propose(std::uint64_t i, std::string payload) {
        auto promise = std::make_shared<std::promise<base::Status>>();
        nodes_[i].loop->post([&node = nodes_[i], promise, p = std::move(payload)]() mutable {
            node.replica->propose(std::move(p), [promise](base::Result<ApplyResult> r) {
                promise->set_value(r ? base::Status() : base::Status(r.error()));
            });
        });
        return promise->get_future();
    }

    std::filesystem::path directory_;
    std::vector<Member> members_;
    std::map<std::uint64_t, Node> nodes_;
};

TEST_F(StallTest, ALeaderWhoseDiskStallsStepsDownAndAnotherTakesOver) {
    const std::uint64_t leader = leader_other_than(0);
    ASSERT_NE(leader, 0U);
    ASSERT_TRUE(propose(leader, "before").get());
    ask(leader, [](Node& n) { return n.disk->stall(), true; });
    // It commits by the others' disks for a while; then it is out.
    auto during = propose(leader, "during");
    ASSERT_TRUE(eventually([&] { return !leads(leader); }));
    EXPECT_GE(ask(leader, [](Node& n) { return n.replica->core().counters().disk_stalls; }), 1U);
    const std::uint64_t other = leader_other_than(leader);
    ASSERT_NE(other, 0U);
    ASSERT_TRUE(propose(other, "after").get());
    // It does not win again while the disk hangs: its own vote never becomes durable.
    std::this_thread::sleep_for(std::chrono::milliseconds(1500));
    EXPECT_FALSE(leads(leader));
    ask(leader, [](Node& n) { return n.disk->go_on(), true; });
    ASSERT_TRUE(during.get());
    const std::vector<std::string> all{"before", "during", "after"};
    for (std::uint64_t i = 1; i <= 3; ++i)
        EXPECT_TRUE(eventually([&] {
            return ask(i, [&](Node& n) { return n.machine.list == all; });
        })) << "member "
            << i;
}

TEST_F(StallTest, ALeaderWithoutRoomKeepsNoLogForAMemberThatLags) {
    const std::uint64_t leader = leader_other_than(0);
    ASSERT_NE(leader, 0U);
    ASSERT_TRUE(propose(leader, "before").get());
    const std::uint64_t slow = leader % 3 + 1;
    const auto log_begins = [](Node& n) { return n.replica->core().log().base().index; };
    const auto had = ask(slow, [](Node& n) { return n.replica->core().log().last_index(); });
    ask(leader, [](Node& n) { return n.disk->set_room(1000), true; });
    ask(slow, [](Node& n) { return n.disk->stall(), true; });
    for (int k = 0; k < 20000 && ask(leader, log_begins) <= had; ++k)
        ASSERT_TRUE(propose(leader, std::string(20000, 'x')).get());
    EXPECT_GT(ask(leader, log_begins), had);

    // Nor for what comes behind a snapshot that is on its way. It needs one when it was not even
    // sent what is gone.
    const auto has = [&] {
        return ask(slow, [](Node& n) { return n.replica->core().log().last_index(); });
    };
    for (int k = 0; k < 20000 && ask(leader, log_begins) <= has(); ++k)
        ASSERT_TRUE(propose(leader, std::string(20000, 'x')).get());
    ask(slow, [](Node& n) { return n.disk->go_on(), true; });
    ASSERT_TRUE(eventually([&] {
        return ask(leader, [](Node& n) { return n.replica->core().counters().snapshots_wanted; }) >
               0;
    }));
    const auto sent = ask(leader, [](Node& n) { return n.replica->core().log().last_index(); });
    for (int k = 0; k < 2000 && ask(leader, log_begins) <= sent; ++k)
        ASSERT_TRUE(propose(leader, std::string(20000, 'x')).get());
    EXPECT_GT(ask(leader, log_begins), sent);
}

// The log is kept for it as long as a snapshot would be more; here there is none.
TEST_F(StallTest, AMemberThatLagsCatchesUpFromTheLog) {
    const std::uint64_t leader = leader_other_than(0);
    ASSERT_NE(leader, 0U);
    ASSERT_TRUE(propose(leader, "before").get());
    const std::uint64_t slow = leader % 3 + 1;
    const std::uint64_t other = slow % 3 + 1;
    const auto log_of = [&](std::uint64_t i) {
        return ask(i, [](Node& n) {
            const auto& log = n.replica->core().log();
            return std::pair(log.base().index, log.last_index());
        });
    };
    ASSERT_TRUE(
        eventually([&] { return ask(slow, [](Node& n) { return n.machine.list.size() == 1; }); }));
    const auto had = log_of(slow).second;
    ask(slow, [](Node& n) { return n.disk->stall(), true; });
    std::size_t written = 1;
    const auto more = [&] {
        ++written;
        return propose(leader, std::string(20000, 'x')).get().has_value();
    };
    // Who does not lead keeps it for nobody.
    while (written < 20000 && log_of(other).first <= had)
        ASSERT_TRUE(more());
    EXPECT_LE(log_of(leader).first, had);
    ask(slow, [](Node& n) { return n.disk->go_on(), true; });
    EXPECT_TRUE(eventually(
        [&] { return ask(slow, [&](Node& n) { return n.machine.list.size() == written; }); }));
    // Nor is it kept for one that has it all.
    while (written < 20000 && log_of(leader).first <= had)
        ASSERT_TRUE(more());
    EXPECT_GT(log_of(leader).first, had);
}

}  // namespace
}  // namespace kvstore
