// Links, and snapshot streams as bytes of real connections.

#include "raft/transport/peers.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <thread>

#include "base/bytes.h"
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
    int begun = 0;
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
        ++begun;
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

// Stands between two members and breaks their connections.
class Proxy {
  public:
    using Socket = boost::asio::ip::tcp::socket;

    explicit Proxy(std::uint16_t to) : to_(to), thread_([this] { serve(); }) {}
    ~Proxy() {
        stopping_ = true;
        Socket last(context_);  // wakes accept()
        last.connect({boost::asio::ip::make_address("127.0.0.1"), port()});
        thread_.join();
    }
    std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
    // The next connections, one after the other, each after so many bytes; what comes then passes.
    void cut(std::vector<std::size_t> after) { cuts_ = std::move(after); }
    void lead_to(std::uint16_t to) { to_ = to; }
    int connections() const { return connections_; }

  private:
    // One connection at a time: the snapshot's.
    void serve() {
        while (!stopping_) {
            Socket from = acceptor_.accept();
            if (stopping_) return;
            const auto at = static_cast<std::size_t>(connections_++);
            Socket to(context_);
            boost::system::error_code ec;
            to.connect({boost::asio::ip::make_address("127.0.0.1"), to_}, ec);
            if (ec) continue;
            relay(from, to, at < cuts_.size() ? cuts_[at] : SIZE_MAX);
        }
    }
    void relay(Socket& from, Socket& to, std::size_t bytes) {
        std::thread back([&] { pass(to, from, SIZE_MAX); });
        pass(from, to, bytes);
        boost::system::error_code ec;
        from.shutdown(Socket::shutdown_both, ec);
        to.shutdown(Socket::shutdown_both, ec);
        back.join();
    }
    static void pass(Socket& from, Socket& to, std::size_t bytes) {
        std::vector<char> buffer(64 << 10);
        boost::system::error_code ec;
        while (bytes > 0) {
            const std::size_t n = from.read_some(boost::asio::buffer(buffer), ec);
            if (ec) return;
            const std::size_t part = std::min(n, bytes);
            boost::asio::write(to, boost::asio::buffer(buffer.data(), part), ec);
            if (ec) return;
            bytes -= part;
        }
    }

    boost::asio::io_context context_;
    boost::asio::ip::tcp::acceptor acceptor_{context_,
                                             {boost::asio::ip::make_address("127.0.0.1"), 0}};
    std::vector<std::size_t> cuts_;
    std::atomic<std::uint16_t> to_;
    std::atomic<int> connections_{0};
    std::atomic<bool> stopping_{false};
    std::thread thread_;
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
    std::unique_ptr<TcpPeers> listen(std::uint64_t id, std::uint16_t port,
                                     base::Millis patience = base::Millis(60'000)) {
        TcpPeersOptions options;
        options.snapshot_patience = patience;
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
        std::string answer() { return next(FrameKind::kSnapshotDone); }
        // How much it has.
        std::uint64_t taken() {
            return base::load_le<std::uint64_t>(next(FrameKind::kSnapshotTaken).data());
        }
        std::string next(FrameKind kind) {
            for (;;) {
                std::string header(9, '\0');
                boost::asio::read(socket, boost::asio::buffer(header));
                const auto parsed = parse_frame_header(header).value();
                std::string body(parsed.length, '\0');
                boost::asio::read(socket, boost::asio::buffer(body));
                if (parsed.kind == kind) return body;
            }
        }
    };

    std::unique_ptr<Sender> begin_stream(std::uint64_t id) {
        auto out = std::make_unique<Sender>();
        out->socket.connect({boost::asio::ip::make_address("127.0.0.1"), peers_->port()});
        out->write(FrameKind::kHello, encode_hello({9, NodeId(2), NodeId(1), id}));
        out->write(FrameKind::kSnapshotHead, encode_message(snapshot_head()));
        return out;
    }
    static Message snapshot_head() {
        Message head;
        head.type = MessageType::kSnapshot;
        head.from = NodeId(2);
        head.to = NodeId(1);
        head.term = Term(3);
        head.index = Index(10);
        return head;
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
    auto old = begin_stream(1);
    old->write(FrameKind::kSnapshotChunk, "old");
    wait_until([&] { return receiver_.taken == "old"; });
    auto fresh = begin_stream(2);
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

TEST_F(PeersTest, AStreamWhoseSenderDoesNotComeBackIsAborted) {
    loop_.run_and_wait([&] {
        peers_ = listen(1, 0, base::Millis(200));
        peers_->start(&receiver_);
    });
    auto sender = begin_stream(1);
    sender->write(FrameKind::kSnapshotChunk, "half");
    wait_until([&] { return receiver_.taken == "half"; });
    sender->socket.close();
    wait_until([&] { return !receiver_.open; });
    EXPECT_TRUE(receiver_.complete.empty());
}

TEST_F(PeersTest, AStreamGoesOnWithAnotherConnection) {
    for (const bool old_is_gone : {true, false}) {
        const std::uint64_t id = old_is_gone ? 1 : 2;
        auto old = begin_stream(id);
        old->write(FrameKind::kSnapshotChunk, "a");
        old->write(FrameKind::kSnapshotChunk, "b");
        wait_until([&] { return receiver_.taken == "ab"; });
        if (old_is_gone) old->socket.close();
        auto fresh = begin_stream(id);
        EXPECT_EQ(fresh->taken(), 2U);
        fresh->write(FrameKind::kSnapshotChunk, "c");
        fresh->write(FrameKind::kSnapshotEnd, "");
        EXPECT_EQ(fresh->answer(), "");
    }
    loop_.run_and_wait([&] {
        EXPECT_EQ(receiver_.complete, (std::vector<std::string>{"abc", "abc"}));
        EXPECT_EQ(receiver_.begun, 2);
    });
}

// A stream of 24 MB from another member, by way of a proxy.
class StreamTest : public PeersTest {
  protected:
    void SetUp() override {
        PeersTest::SetUp();
        proxy_ = std::make_unique<Proxy>(peers_->port());
        for (std::size_t i = 0; i < 400; ++i)
            chunks_.emplace_back(60'000 + i, static_cast<char>('a' + i % 26));
    }
    void TearDown() override {
        loop_.run_and_wait([&] { sender_.reset(); });
        proxy_.reset();
        PeersTest::TearDown();
    }
    void send(base::Millis patience = base::Millis(60'000)) {
        loop_.run_and_wait([&] {
            sender_ = listen(2, 0, patience);  // not started: no connection but the stream's
            sender_->set_peers({{NodeId(1), {fmt::format("http://127.0.0.1:{}", proxy_->port())}}});
            auto next = [this, at = std::size_t{0}]() mutable -> base::Result<std::string> {
                return at < chunks_.size() ? chunks_[at++] : std::string();
            };
            sender_->send_snapshot(snapshot_head(), std::move(next),
                                   [this](base::Status status) { done_ = std::move(status); });
        });
    }

    std::vector<std::string> chunks_;
    std::unique_ptr<Proxy> proxy_;
    std::unique_ptr<TcpPeers> sender_;
    std::optional<base::Status> done_;
};

TEST_F(StreamTest, GoesOnWhereItWasHoweverOftenItIsCut) {
    // In the greeting, in the head, in chunks, and near the end.
    proxy_->cut({5, 70, 100'000, 3'000'000, 6'000'001, 2'500'000});
    send();
    wait_until([&] { return done_.has_value(); });
    EXPECT_TRUE(*done_) << done_->error().message;
    std::string all;
    for (const auto& chunk : chunks_)
        all += chunk;
    ASSERT_EQ(receiver_.complete.size(), 1U);
    EXPECT_TRUE(receiver_.complete[0] == all);
    EXPECT_EQ(receiver_.begun, 1);
    EXPECT_GE(proxy_->connections(), 6);
}

TEST_F(StreamTest, EndsWhenTheReceiverHasForgottenIt) {
    Receiver other;
    std::unique_ptr<TcpPeers> restarted;
    loop_.run_and_wait([&] {
        restarted = listen(1, 0);
        restarted->start(&other);
    });
    // More than a sender keeps.
    proxy_->cut({20'000'000});
    send();
    wait_until([&] { return !receiver_.taken.empty(); });
    proxy_->lead_to(restarted->port());
    wait_until([&] { return done_.has_value(); });
    ASSERT_FALSE(*done_);
    EXPECT_EQ(done_->error().code, base::Code::kAborted) << done_->error().message;
    loop_.run_and_wait([&] { restarted.reset(); });
}

TEST_F(StreamTest, EndsWhenTheReceiverIsGoneForLong) {
    proxy_->cut({3'000'000, 0, 0, 0, 0, 0, 0, 0, 0, 0});
    send(base::Millis(1500));
    wait_until([&] { return done_.has_value(); });
    ASSERT_FALSE(*done_);
    EXPECT_EQ(done_->error().code, base::Code::kDeadlineExceeded) << done_->error().message;
}

}  // namespace
}  // namespace raft
