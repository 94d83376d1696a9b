// Three real members in one process: real files, real sockets, TLS.

#include "kvstore/replica/host.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <atomic>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <future>
#include <map>
#include <sstream>
#include <thread>

#include "base/log.h"
#include "base/ports.h"
#include "net/pki.h"
#include "raft/core/core.h"

namespace kvstore {
namespace {

using raft::Index;
using raft::NodeId;

struct TestOutput final : ApplyOutput {
    std::uint64_t order = 0;
};

// A list of strings that outlives its replica, as a disk does.
class ListMachine final : public StateMachine {
  public:
    std::vector<std::string> list;
    raft::Position position;

    ApplyResult apply(const ApplyContext& context, std::string_view payload) override {
        list.emplace_back(payload);
        if (!context.want_output) return nullptr;
        auto out = std::make_unique<TestOutput>();
        out->order = list.size();
        return out;
    }
    void end_of_batch(raft::Position upto) override { position = upto; }
    bool takes_long(std::string_view payload) const override { return payload == "long"; }
    void apply_aside(const ApplyContext& context, std::string_view payload,
                     base::UniqueFunction<void(ApplyResult)> done) override {
        finish_aside = [this, context, bytes = std::string(payload),
                        d = std::move(done)]() mutable {
            auto result = apply(context, bytes);
            end_of_batch({context.index, context.term});
            d(std::move(result));
        };
    }
    base::UniqueFunction<void()> finish_aside;
    raft::Position applied() const override { return position; }
    std::atomic<int> syncs{0};
    void sync(base::UniqueFunction<void(base::Result<raft::Position>)> done) override {
        ++syncs;
        done(position);
    }

    class Reader final : public SnapshotReader {
      public:
        Reader(std::vector<std::string> l, raft::Position p) : list_(std::move(l)), position_(p) {}
        raft::Position position() const override { return position_; }
        base::Result<std::string> next(std::size_t max_bytes) override {
            std::string out;
            while (at_ < list_.size() && out.size() + list_[at_].size() + 1 < max_bytes)
                out += list_[at_++] + '\n';
            return out;
        }

      private:
        std::vector<std::string> list_;
        raft::Position position_;
        std::size_t at_ = 0;
    };
    class Writer final : public SnapshotWriter {
      public:
        Writer(ListMachine& m, raft::Position p) : machine_(m), position_(p) {}
        base::Status write(std::string_view chunk) override {
            bytes_ += chunk;
            return {};
        }
        base::Status seal() override { return {}; }
        base::Status finish() override {
            machine_.list.clear();
            std::istringstream in(bytes_);
            for (std::string line; std::getline(in, line);)
                machine_.list.push_back(line);
            machine_.position = position_;
            return {};
        }

      private:
        ListMachine& machine_;
        raft::Position position_;
        std::string bytes_;
    };
    base::Result<std::unique_ptr<SnapshotReader>> open_snapshot() override {
        return std::unique_ptr<SnapshotReader>(std::make_unique<Reader>(list, position));
    }
    base::Result<std::unique_ptr<SnapshotWriter>> begin_install(raft::Position p) override {
        return std::unique_ptr<SnapshotWriter>(std::make_unique<Writer>(*this, p));
    }
};

class HostTest : public testing::Test {
  protected:
    struct Node {
        NodeId id;
        std::uint16_t port = 0;
        ListMachine machine;
        std::unique_ptr<base::Loop> loop;
        std::unique_ptr<ReplicaHost> host;
    };

    void SetUp() override {
        base::set_log_level(base::LogLevel::kOff);
        directory_ = std::filesystem::temp_directory_path() /
                     fmt::format("coxswain-host-{}-{}", ::getpid(),
                                 testing::UnitTest::GetInstance()->current_test_info()->name());
        std::filesystem::remove_all(directory_);
        const auto ports = base::free_loopback_ports(4).value();
        for (std::uint64_t i = 1; i <= 4; ++i) {
            nodes_[i].id = NodeId(i);
            nodes_[i].port = ports[i - 1];
        }
    }

    void TearDown() override {
        for (auto& [i, node] : nodes_)
            stop(i);
        std::filesystem::remove_all(directory_);
    }

    void use_tls() {
        const auto ca = net::make_ca("test CA").value();
        net::CertificateSpec spec;
        spec.common_name = "peer";
        spec.ip_addresses = {"127.0.0.1"};
        spec.server = spec.client = true;
        tls_ = net::issue_certificate(ca, spec).value();
        ca_ = ca.certificate;
    }

    Member member(std::uint64_t i) {
        const char* scheme = tls_.key.empty() ? "http" : "https";
        return {NodeId(i),
                fmt::format("m{}", i),
                {fmt::format("{}://127.0.0.1:{}", scheme, nodes_[i].port)},
                {},
                false};
    }

    HostOptions options(std::uint64_t i, bool join) {
        HostOptions o;
        o.replica.id = NodeId(i);
        o.replica.cluster_id = 99;
        if (!join) o.replica.initial_members = {member(1), member(2), member(3)};
        o.replica.wal_segment_bytes = segment_bytes_;
        o.replica.compact_log_bytes = 4 * segment_bytes_;
        o.replica.keep_entries = keep_entries_;
        o.replica.max_pending_requests = max_pending_;
        o.log_directory = directory_ / fmt::format("m{}", i);
        o.peers.listen_port = nodes_[i].port;
        if (!tls_.key.empty()) {
            const auto text = net::PemSource::from_text;
            o.peers.server_tls = net::ServerTls{text(tls_.certificate), text(tls_.key), text(ca_),
                                                net::ClientAuth::kRequire};
            o.peers.client_tls = net::ClientTls{text(ca_), text(tls_.certificate), text(tls_.key)};
        }
        return o;
    }

    base::Status start(std::uint64_t i, bool join = false) {
        Node& node = nodes_[i];
        node.loop = std::make_unique<base::Loop>(fmt::format("store{}", i));
        node.loop->start();
        base::Status status;
        node.loop->run_and_wait([&] {
            auto host = ReplicaHost::open(*node.loop, options(i, join), node.machine);
            if (host) {
                node.host = std::move(*host);
            } else {
                status = host.error();
            }
        });
        return status;
    }

    void stop(std::uint64_t i) {
        Node& node = nodes_[i];
        if (node.loop && node.host) node.loop->run_and_wait([&] { node.host.reset(); });
        node.loop.reset();
    }

    base::Result<std::uint64_t> propose(std::uint64_t i, std::string payload) {
        return begin_propose(i, std::move(payload), false).get();
    }

    std::future<base::Result<std::uint64_t>> begin_propose(std::uint64_t i, std::string payload,
                                                           bool alone) {
        auto promise = std::make_shared<std::promise<base::Result<std::uint64_t>>>();
        auto future = promise->get_future();
        Node& node = nodes_[i];
        node.loop->post([&node, promise, alone, payload = std::move(payload)]() mutable {
            node.host->replica().propose(
                std::move(payload),
                [promise](base::Result<ApplyResult> result) {
                    if (!result) return promise->set_value(result.error());
                    promise->set_value(dynamic_cast<TestOutput&>(**result).order);
                },
                alone);
        });
        return future;
    }

    base::Status read(std::uint64_t i) {
        std::promise<base::Status> promise;
        Node& node = nodes_[i];
        node.loop->post([&] {
            node.host->replica().read_index([&](base::Result<Index> index) {
                promise.set_value(index ? base::Status() : base::Status(index.error()));
            });
        });
        return promise.get_future().get();
    }

    template <class F>
    auto ask(std::uint64_t i, F f) {
        decltype(f(nodes_[i].host->replica())) out{};
        nodes_[i].loop->run_and_wait([&] { out = f(nodes_[i].host->replica()); });
        return out;
    }

    std::uint64_t wait_for_leader(std::vector<std::uint64_t> among) {
        for (int k = 0; k < 1000; ++k) {
            for (const std::uint64_t i : among)
                if (ask(i, [](Replica& r) { return r.is_leader(); })) return i;
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        }
        return 0;
    }

    // Their leader; 0 when they have none.
    std::uint64_t start_three() {
        for (std::uint64_t i = 1; i <= 3; ++i)
            EXPECT_TRUE(start(i));
        return wait_for_leader({1, 2, 3});
    }

    std::size_t list_size(std::uint64_t i) {
        return ask(i, [&](Replica&) { return nodes_[i].machine.list.size(); });
    }

    void wait_for_size(std::uint64_t i, std::size_t size) {
        for (int k = 0; k < 1000 && list_size(i) != size; ++k)
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        EXPECT_EQ(list_size(i), size) << "at member " << i;
    }

    std::map<std::uint64_t, Node> nodes_;
    std::filesystem::path directory_;
    std::uint64_t segment_bytes_ = 64 << 10;
    std::uint64_t keep_entries_ = 10;
    std::size_t max_pending_ = 1000;
    net::KeyPair tls_;
    std::string ca_;
};

TEST_F(HostTest, EveryMemberTakesProposalsAndReads) {
    ASSERT_NE(start_three(), 0U);
    for (std::uint64_t k = 0; k < 30; ++k) {
        const auto order = propose(k % 3 + 1, fmt::format("v{}", k));
        ASSERT_TRUE(order) << order.error().to_string();
        EXPECT_EQ(*order, k + 1);
        ASSERT_TRUE(read((k + 1) % 3 + 1));
        EXPECT_EQ(list_size((k + 1) % 3 + 1), k + 1);
    }
}

TEST_F(HostTest, AnEntryThatTakesLongHoldsUpWhatComesAfterItAndNothingElse) {
    const std::uint64_t leader = start_three();
    ASSERT_NE(leader, 0U);
    ASSERT_TRUE(propose(leader, "before"));
    const auto term = ask(leader, [](Replica& r) { return r.term(); });
    // In one turn: those around it are not in its entry.
    std::vector<std::future<base::Result<std::uint64_t>>> writes;
    for (const char* payload : {"with", "long", "after"})
        writes.push_back(begin_propose(leader, payload, payload == std::string_view("long")));
    const auto begun = [&](std::uint64_t i) {
        return ask(i, [&](Replica&) { return bool(nodes_[i].machine.finish_aside); });
    };
    for (int k = 0; k < 1000 && !(begun(1) && begun(2) && begun(3)); ++k)
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    ASSERT_TRUE(begun(1) && begun(2) && begun(3));
    EXPECT_EQ(*writes[0].get(), 2U);
    auto late = std::async(std::launch::async, [&] { return read(leader); });
    // For longer than elections take: it goes on leading, and committing.
    std::this_thread::sleep_for(std::chrono::milliseconds(2500));
    EXPECT_EQ(ask(leader, [](Replica& r) { return r.is_leader() ? r.term() : raft::Term(0); }),
              term);
    EXPECT_GT(ask(leader, [](Replica& r) { return r.committed_index(); }),
              ask(leader, [](Replica& r) { return r.applied_index() + 1; }));
    for (std::uint64_t i = 1; i <= 3; ++i)
        EXPECT_EQ(list_size(i), 2U);
    EXPECT_NE(late.wait_for(std::chrono::seconds(0)), std::future_status::ready);
    for (std::uint64_t i = 1; i <= 3; ++i)
        nodes_[i].loop->run_and_wait([&] { nodes_[i].machine.finish_aside(); });
    EXPECT_EQ(*writes[1].get(), 3U);
    EXPECT_EQ(*writes[2].get(), 4U);
    EXPECT_TRUE(late.get());
    for (std::uint64_t i = 1; i <= 3; ++i)
        wait_for_size(i, 4);
}

TEST_F(HostTest, WhatIsMoreThanMayWaitIsRefusedInEtcdsWordsAndTheRestIsDone) {
    max_pending_ = 4;
    const std::uint64_t leader = start_three();
    ASSERT_NE(leader, 0U);
    std::vector<std::future<std::string>> writes, reads;
    const auto text = [](const auto& result) {
        return result ? std::string("done") : result.error().message;
    };
    nodes_[leader].loop->run_and_wait([&] {
        for (int k = 0; k < 6; ++k) {
            auto write = std::make_shared<std::promise<std::string>>();
            auto read = std::make_shared<std::promise<std::string>>();
            writes.push_back(write->get_future());
            reads.push_back(read->get_future());
            Replica& replica = nodes_[leader].host->replica();
            replica.propose("v", [=](const auto& result) { write->set_value(text(result)); });
            replica.read_index([=](const auto& result) { read->set_value(text(result)); });
        }
    });
    for (std::size_t k = 0; k < 6; ++k) {
        const char* wanted = k < 4 ? "done" : "etcdserver: too many requests";
        EXPECT_EQ(writes[k].get(), wanted) << k;
        EXPECT_EQ(reads[k].get(), wanted) << k;
    }
    wait_for_size(leader, 4);
}

TEST_F(HostTest, WritesGoOnAfterTheLeaderIsGoneAndItCatchesUp) {
    const std::uint64_t leader = start_three();
    ASSERT_NE(leader, 0U);
    ASSERT_TRUE(propose(leader, "before"));
    stop(leader);
    const std::uint64_t other = leader % 3 + 1;
    const auto result = propose(other, "after");
    ASSERT_TRUE(result) << result.error().to_string();
    ASSERT_TRUE(start(leader));
    wait_for_size(leader, 2);
    EXPECT_EQ(nodes_[leader].machine.list, nodes_[other].machine.list);
}

TEST_F(HostTest, MutualTls) {
    use_tls();
    ASSERT_NE(start_three(), 0U);
    EXPECT_TRUE(propose(1, "over TLS"));
    EXPECT_TRUE(propose(2, "over TLS"));
}

TEST_F(HostTest, APeerWithACertificateOfAnotherCaIsNotHeard) {
    use_tls();
    ASSERT_TRUE(start(1));
    ASSERT_TRUE(start(2));
    ASSERT_NE(wait_for_leader({1, 2}), 0U);
    use_tls();  // another CA
    ASSERT_TRUE(start(3));
    std::this_thread::sleep_for(std::chrono::milliseconds(700));
    EXPECT_TRUE(propose(1, "x"));
    EXPECT_EQ(list_size(3), 0U);
}

TEST_F(HostTest, AMemberFarBehindGetsASnapshot) {
    const std::uint64_t leader = start_three();
    ASSERT_NE(leader, 0U);
    const std::uint64_t lazy = leader % 3 + 1;
    stop(lazy);
    const std::string big(20000, 'x');
    for (int k = 0; k < 60; ++k)
        ASSERT_TRUE(propose(leader, big));
    for (int k = 0;
         k < 500 && ask(leader, [](Replica& r) { return r.core().log().base().index == Index(0); });
         ++k)
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    ASSERT_TRUE(start(lazy));
    wait_for_size(lazy, 60);
    EXPECT_EQ(ask(lazy, [](Replica& r) { return r.counters().snapshots_installed; }), 1U);
    ASSERT_TRUE(propose(lazy, "and on"));
}

TEST_F(HostTest, AMemberJoinsIsPromotedAndLeaves) {
    ASSERT_NE(start_three(), 0U);
    ASSERT_TRUE(propose(2, "one"));
    ASSERT_TRUE(start(4, true));
    const auto change = [&](MembershipChange::Kind kind) {
        std::promise<base::Result<std::vector<Member>>> promise;
        nodes_[2].loop->post([&] {
            nodes_[2].host->replica().change_membership(
                {kind, member(4)},
                [&](base::Result<std::vector<Member>> r) { promise.set_value(std::move(r)); });
        });
        return promise.get_future().get();
    };
    auto members = change(MembershipChange::Kind::kAddLearner);
    ASSERT_TRUE(members) << members.error().to_string();
    EXPECT_EQ(members->size(), 4U);
    EXPECT_TRUE(members->back().learner);
    wait_for_size(4, 1);
    const auto again = change(MembershipChange::Kind::kAddLearner);
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().message, "etcdserver: member ID already exist");
    members = change(MembershipChange::Kind::kPromote);
    ASSERT_TRUE(members) << members.error().to_string();
    EXPECT_FALSE(members->back().learner);
    ASSERT_TRUE(propose(4, "two"));
    members = change(MembershipChange::Kind::kRemove);
    ASSERT_TRUE(members) << members.error().to_string();
    EXPECT_EQ(members->size(), 3U);
    EXPECT_TRUE(propose(1, "three"));
}

TEST_F(HostTest, LeadershipMoves) {
    const std::uint64_t leader = start_three();
    ASSERT_NE(leader, 0U);
    ASSERT_TRUE(propose(leader, "x"));
    const std::uint64_t target = leader % 3 + 1;
    std::promise<base::Status> promise;
    nodes_[leader].loop->post([&] {
        nodes_[leader].host->replica().transfer_leadership(
            NodeId(target), [&](base::Status s) { promise.set_value(s); });
    });
    const base::Status status = promise.get_future().get();
    ASSERT_TRUE(status) << status.error().to_string();
    EXPECT_EQ(wait_for_leader({1, 2, 3}), target);
}

TEST_F(HostTest, ALogOfLargeEntriesIsCompactedAndTheMachineIsSyncedForNothingLess) {
    keep_entries_ = 1'000'000;
    const std::uint64_t leader = start_three();
    ASSERT_NE(leader, 0U);
    const auto log_bytes = [&](std::uint64_t i) {
        return ask(i, [](Replica& r) { return r.log_bytes(); });
    };
    for (int k = 0; k < 100; ++k)
        ASSERT_TRUE(propose(leader, std::string(4096, 'x')));
    for (std::uint64_t i = 1; i <= 3; ++i) {
        for (int k = 0; k < 1000 && log_bytes(i) > 4 * segment_bytes_; ++k)
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        EXPECT_LE(log_bytes(i), 4 * segment_bytes_) << "at member " << i;
        EXPECT_GE(log_bytes(i), 2 * segment_bytes_) << "at member " << i;
    }
    // It may stay as it is now, and there is no reason to look again.
    const int syncs = nodes_[leader].machine.syncs;
    std::this_thread::sleep_for(std::chrono::milliseconds(2500));
    EXPECT_EQ(nodes_[leader].machine.syncs, syncs);
}

TEST_F(HostTest, ASecondProcessOnTheSameDirectoryIsRefused) {
    ASSERT_TRUE(start(1));
    base::Loop loop("other");
    ListMachine machine;
    HostOptions o = options(1, false);
    o.peers.listen_port = 0;
    const auto second = ReplicaHost::open(loop, o, machine);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, base::Code::kUnavailable);
}

TEST_F(HostTest, GarbageOnThePeerPortClosesTheConnectionOnly) {
    ASSERT_NE(start_three(), 0U);
    for (const std::string& bytes : {std::string("GET / HTTP/1.1\r\n\r\n"),
                                     std::string(100000, '\xff'), std::string(64, '\0')}) {
        boost::asio::io_context context;
        boost::asio::ip::tcp::socket socket(context);
        socket.connect({boost::asio::ip::make_address("127.0.0.1"), nodes_[1].port});
        boost::system::error_code ec;
        boost::asio::write(socket, boost::asio::buffer(bytes), ec);
        char c = 0;
        boost::asio::read(socket, boost::asio::buffer(&c, 1), ec);
        EXPECT_TRUE(ec) << "the connection must be closed";
    }
    EXPECT_TRUE(propose(1, "still there"));
}

TEST_F(HostTest, IdleCostsLittle) {
    ASSERT_NE(start_three(), 0U);
    const std::clock_t before = std::clock();
    std::this_thread::sleep_for(std::chrono::seconds(2));
    const double cpu = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC / 2;
    fmt::print("three idle members: {:.2f} % of a core\n", 100 * cpu);
    EXPECT_LT(cpu, 0.5);  // one loop that spins takes 1
}

// Not a benchmark, but the order of magnitude in the log of a run.
TEST_F(HostTest, Throughput) {
    segment_bytes_ = 16 << 20;
    const std::uint64_t leader = start_three();
    ASSERT_NE(leader, 0U);
    ASSERT_TRUE(propose(leader, "x"));
    Node& node = nodes_[leader];
    for (const int streams : {1, 100, 1000}) {
        std::promise<void> finished;
        int done = 0;
        const int total = streams == 1 ? 500 : 20 * streams;
        int sent = 0;
        const auto begin = std::chrono::steady_clock::now();
        std::function<void()> next = [&] {
            if (sent == total) return;
            ++sent;
            node.host->replica().propose(std::string(280, 'p'), [&](base::Result<ApplyResult> r) {
                EXPECT_TRUE(r);
                if (++done == total) return finished.set_value();
                next();
            });
        };
        node.loop->post([&] {
            for (int s = 0; s < streams; ++s)
                next();
        });
        finished.get_future().wait();
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
        fmt::print("{} streams: {:.0f} proposals/s\n", streams, total / took.count());
    }
}

}  // namespace
}  // namespace kvstore
