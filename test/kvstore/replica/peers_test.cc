// Links, and snapshot streams as bytes of real connections.

#include "raft/transport/peers.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <thread>

#include "base/log.h"
#include "base/loop.h"
#include "base/ports.h"
#include "raft/transport/tcp_peers.h"
#include "raft/transport/wire.h"

namespace raft {
namespace {

// Takes a snapshot in, and keeps what came after the last beginning. Sends each message back where
// it has a way to.
struct Receiver final : PeerHandler {
    std::string taken;
    bool open = false;
    std::vector<std::string> complete;
    std::vector<Message> messages;
    int unreachable = 0;
    Peers* answers_on = nullptr;
    void on_message(Message message) override {
        messages.push_back(message);
        std::swap(message.from, message.to);
        if (answers_on != nullptr) answers_on->send(std::move(message));
    }
    void on_unreachable(NodeId) override { ++unreachable; }
    base::Status on_snapshot_begin(const Message&) override {
        taken.clear();
        open = true;
        return {};
    }
    base::Status on_snapshot_chunk(NodeId, std::string_view chunk) override {
        if (!open) return base::cancelled("not open");
        taken += chunk;
        return {};
    }
    base::Status on_snapshot_end(NodeId) override {
        if (!open) return base::cancelled("not open");
        complete.push_back(taken);
        open = false;
        return {};
    }
    void on_snapshot_aborted(NodeId) override { open = false; }
};

class PeersTest : public testing::Test {
  protected:
    void SetUp() override {
        base::set_log_level(base::LogLevel::kOff);
        loop_.start();
        loop_.run_and_wait([&] {
            peers_ = listen(1, 0);
            peers_->start(&receiver_);
        });
    }
    std::unique_ptr<TcpPeers> listen(std::uint64_t id, std::uint16_t port) {
        TcpPeersOptions options;
        options.cluster_id = 9;
        options.id = NodeId(id);
        options.listen_port = port;
        return TcpPeers::listen(loop_, std::move(options)).value();
    }
    void TearDown() override {
        loop_.run_and_wait([&] {
            peers_->stop();
            peers_.reset();
        });
    }

    struct Sender {
        boost::asio::io_context context;
        boost::asio::ip::tcp::socket socket{context};

        void write(FrameKind kind, std::string_view body) {
            std::string bytes;
            append_frame(&bytes, kind, body);
            boost::asio::write(socket, boost::asio::buffer(bytes));
        }
        // The receiver's answer to the stream.
        std::string answer() {
            for (;;) {
                std::string header(9, '\0');
                boost::asio::read(socket, boost::asio::buffer(header));
                const auto parsed = parse_frame_header(header).value();
                std::string body(parsed.length, '\0');
                boost::asio::read(socket, boost::asio::buffer(body));
                if (parsed.kind == FrameKind::kSnapshotDone) return body;
            }
        }
    };

    std::unique_ptr<Sender> begin_stream() {
        auto out = std::make_unique<Sender>();
        out->socket.connect({boost::asio::ip::make_address("127.0.0.1"), peers_->port()});
        out->write(FrameKind::kHello, encode_hello({9, NodeId(2), NodeId(1), true}));
        Message head;
        head.type = MessageType::kSnapshot;
        head.from = NodeId(2);
        head.to = NodeId(1);
        head.term = Term(3);
        head.index = Index(10);
        out->write(FrameKind::kSnapshotHead, encode_message(head));
        return out;
    }
    template <class F>
    void wait_until(F condition) {
        bool met = false;
        for (int i = 0; i < 2000 && !met; ++i) {
            loop_.run_and_wait([&] { met = condition(); });
            if (!met) std::this_thread::sleep_for(std::chrono::milliseconds(5));
        }
        ASSERT_TRUE(met);
    }

    base::Loop loop_{"peers"};
    Receiver receiver_;
    std::unique_ptr<TcpPeers> peers_;
};

// A leader that is elected again, or starts again, streams anew while bytes of its earlier stream
// are still under way: they must not become a part of the new one.
TEST_F(PeersTest, AnEarlierStreamOfTheSameMemberIsNotMixedWithTheNewOne) {
    auto old = begin_stream();
    old->write(FrameKind::kSnapshotChunk, "old");
    wait_until([&] { return receiver_.taken == "old"; });
    auto fresh = begin_stream();
    fresh->write(FrameKind::kSnapshotChunk, "new");
    wait_until([&] { return receiver_.taken == "new"; });
    old->write(FrameKind::kSnapshotChunk, "late");
    old->write(FrameKind::kSnapshotEnd, "");
    EXPECT_EQ(old->answer(), "another snapshot took its place");
    old->socket.close();
    fresh->write(FrameKind::kSnapshotChunk, "er");
    fresh->write(FrameKind::kSnapshotEnd, "");
    EXPECT_EQ(fresh->answer(), "");
    loop_.run_and_wait([&] { EXPECT_EQ(receiver_.complete, std::vector<std::string>{"newer"}); });
}

// It was away, and would be dialed again only in a while.
TEST_F(PeersTest, AMemberThatComesBackIsAnsweredAtOnce) {
    const std::uint16_t port = base::free_loopback_ports(1).value().front();
    const auto address = [](std::uint64_t id, std::uint16_t at) {
        return PeerAddress{NodeId(id), {fmt::format("http://127.0.0.1:{}", at)}};
    };
    const std::vector<PeerAddress> both{address(1, peers_->port()), address(2, port)};
    loop_.run_and_wait([&] { peers_->set_peers(both); });
    wait_until([&] { return receiver_.unreachable >= 4; });
    Receiver returned;
    std::unique_ptr<TcpPeers> other;
    loop_.run_and_wait([&] {
        receiver_.answers_on = peers_.get();
        other = listen(2, port);
        other->start(&returned);
        other->set_peers(both);
        Message message;
        message.from = NodeId(2);
        message.to = NodeId(1);
        other->send(std::move(message));
    });
    wait_until([&] { return !returned.messages.empty(); });
    loop_.run_and_wait([&] { other.reset(); });
}

TEST_F(PeersTest, AStreamWhoseConnectionBreaksIsAborted) {
    auto sender = begin_stream();
    sender->write(FrameKind::kSnapshotChunk, "half");
    wait_until([&] { return receiver_.taken == "half"; });
    sender->socket.close();
    wait_until([&] { return !receiver_.open; });
    EXPECT_TRUE(receiver_.complete.empty());
}

}  // namespace
}  // namespace raft
