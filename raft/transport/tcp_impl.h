#pragma once
// The inside of TcpPeers: links.cc (dialed connections for messages), inbound.cc (accepted ones),
// snapshot_stream.cc (snapshots out), tcp_peers.cc (the rest). Loop's thread only.

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <deque>
#include <map>
#include <set>

#include "base/loop.h"
#include "base/metrics.h"
#include "net/connector.h"
#include "net/http.h"
#include "net/tls_session.h"
#include "net/transport.h"
#include "raft/transport/tcp_peers.h"
#include "raft/transport/wire.h"

namespace raft {

// Cuts a stream of bytes into frames.
class FrameReader {
  public:
    // Calls `f(kind, body)` for each whole frame; stops at its first error, or at a bad frame.
    template <class F>
    base::Status feed(std::string_view bytes, std::size_t limit, F f);

  private:
    std::string rest_;
};

struct TcpPeers::Impl : std::enable_shared_from_this<TcpPeers::Impl> {
    class Link;
    class Inbound;
    class SnapshotSender;

    Impl(base::Loop& l, TcpPeersOptions o)
        : loop(l), options(std::move(o)), acceptor(l.context()) {}

    base::Status open();
    void accept();
    void stop();
    // The certificates, read again when the files have changed.
    std::shared_ptr<net::TlsContext> client_context(bool secure);
    void report_unreachable(NodeId peer);
    base::Result<net::Endpoint> endpoint(NodeId peer, std::size_t attempt, bool* secure) const;
    std::string hello(NodeId to, std::uint64_t stream) const;
    // The snapshot of `from` that is being received will not be complete.
    void abandon_receiving(NodeId from);

    base::Loop& loop;
    TcpPeersOptions options;
    PeerHandler* handler = nullptr;
    boost::asio::ip::tcp::acceptor acceptor;
    std::uint16_t port = 0;
    std::shared_ptr<net::TlsContext> server_tls;
    std::shared_ptr<net::TlsContext> client_tls;
    std::map<NodeId, PeerAddress> addresses;
    std::map<NodeId, std::shared_ptr<Link>> links;
    std::set<std::shared_ptr<Inbound>> inbound;
    // The connection on which each member talks to us.
    std::map<NodeId, std::shared_ptr<Inbound>> talking;
    std::map<NodeId, std::shared_ptr<SnapshotSender>> snapshots;
    // A snapshot on its way from a member: with or, for a while, without a connection.
    struct Receiving {
        Receiving(base::Loop& l, std::uint64_t i) : id(i), patience(l) {}
        std::uint64_t id;
        std::uint64_t chunks = 0;  // taken
        std::weak_ptr<Inbound> on;
        base::Timer patience;
    };
    std::map<NodeId, std::unique_ptr<Receiving>> receiving;
};

// The connection to one peer, for as long as it is a member.
class TcpPeers::Impl::Link final : public net::TransportOwner,
                                   public std::enable_shared_from_this<Link> {
  public:
    Link(std::shared_ptr<Impl> owner, NodeId peer);
    void start() { dial(); }
    // The peer is there: it is dialed now, however long we wanted to wait.
    void hurry();
    void close();
    void send(Message message);
    bool up() const { return transport_ != nullptr; }

    void on_open() override {}
    void on_data(std::string_view bytes) override;
    void on_eof() override;
    void fill(std::string* out) override;
    void on_end(const base::Error& why) override;

  private:
    void dial();
    void dialed(base::Result<std::shared_ptr<net::Transport>> transport);
    void down(const std::string& why);
    void drop_queue();

    std::shared_ptr<Impl> owner_;
    NodeId peer_;
    std::shared_ptr<net::Transport> transport_;
    std::shared_ptr<net::ConnectAttempt> attempt_;
    base::Timer timer_;
    base::Millis backoff_{0};
    std::size_t attempts_ = 0;
    bool hello_due_ = false;
    bool logged_ = false;
    std::deque<Message> queue_;
    std::size_t queue_bytes_ = 0;
    FrameReader reader_;
    base::Counter& sent_bytes_;
};

// A connection that somebody made to us.
class TcpPeers::Impl::Inbound final : public net::TransportOwner,
                                      public std::enable_shared_from_this<Inbound> {
  public:
    explicit Inbound(std::shared_ptr<Impl> owner);
    void start(std::shared_ptr<net::Transport> transport);
    void close();
    // Answers to a member that we do not dial.
    void send(const Message& message);
    NodeId from() const { return from_; }

    void on_open() override {}
    void on_data(std::string_view bytes) override;
    void on_eof() override;
    void fill(std::string* out) override;
    void on_end(const base::Error& why) override;

  private:
    base::Status on_frame(FrameKind kind, std::string_view body);
    base::Status on_hello(std::string_view body);
    base::Status on_snapshot_head(std::string_view body);
    base::Status on_snapshot_frame(FrameKind kind, std::string_view body);
    void refuse_snapshot(const base::Status& status);
    void answer_snapshot(const base::Status& status);
    void tell_taken(std::uint64_t chunks);
    // The stream that this connection carries; null once it is over.
    Receiving* stream() const;
    void end(std::string_view why);
    void forget();

    std::shared_ptr<Impl> owner_;
    std::shared_ptr<net::Transport> transport_;
    std::string remote_;
    base::Timer patience_;
    NodeId from_;
    bool greeted_ = false;
    std::uint64_t stream_ = 0;
    FrameReader reader_;
    std::string out_;
    base::Counter* received_bytes_ = nullptr;  // once it is known who it is
};

// One snapshot on its way to a peer.
class TcpPeers::Impl::SnapshotSender final : public net::TransportOwner,
                                             public std::enable_shared_from_this<SnapshotSender> {
  public:
    SnapshotSender(std::shared_ptr<Impl> owner, Message head, ChunkSource chunks,
                   base::UniqueFunction<void(base::Status)> done);
    void start();
    void finish(base::Status status);

    void on_open() override {}
    void on_data(std::string_view bytes) override;
    void on_eof() override;
    void fill(std::string* out) override;
    void on_written() override;
    void on_end(const base::Error& why) override;

  private:
    void dial();
    void watch();
    void be_patient();
    void broken(const std::string& why);
    base::Status on_taken(std::string_view body);
    bool read_on();
    bool may_send() const;

    std::shared_ptr<Impl> owner_;
    Message head_;
    ChunkSource chunks_;
    base::UniqueFunction<void(base::Status)> done_;
    const std::uint64_t id_;
    // Read, and not known to be taken; the first one's number, and that of the next to send.
    std::deque<std::string> kept_;
    std::size_t kept_bytes_ = 0;
    std::uint64_t first_ = 0;
    std::uint64_t next_ = 0;
    bool all_read_ = false;
    // Of the connection there is:
    std::shared_ptr<net::Transport> transport_;
    std::shared_ptr<net::ConnectAttempt> attempt_;
    FrameReader reader_;
    bool head_due_ = true;
    bool welcome_ = false;  // the receiver has said where to go on
    bool end_sent_ = false;
    std::size_t attempts_ = 0;
    base::Timer timer_;
    base::Timer patience_;
};

template <class F>
base::Status FrameReader::feed(std::string_view bytes, std::size_t limit, F f) {
    if (!rest_.empty()) {
        rest_.append(bytes);
        bytes = rest_;
    }
    std::size_t used = 0;
    base::Status status;
    while (bytes.size() - used >= kFrameHeader) {
        auto header = parse_frame_header(bytes.substr(used, kFrameHeader));
        if (!header) {
            status = header.error();
            break;
        }
        if (header->length > limit) {
            status = base::invalid_argument("frame too long");
            break;
        }
        if (bytes.size() - used - kFrameHeader < header->length) break;
        const std::string_view body = bytes.substr(used + kFrameHeader, header->length);
        if (!frame_is_intact(*header, body)) {
            status = base::data_loss("damaged frame");
            break;
        }
        used += kFrameHeader + header->length;
        status = f(header->kind, body);
        if (!status) break;
    }
    if (!rest_.empty()) {
        rest_.erase(0, used);
        if (rest_.empty() && rest_.capacity() > (1U << 20U)) std::string().swap(rest_);
    } else {
        rest_.assign(bytes.substr(used));
    }
    return status;
}

}  // namespace raft
