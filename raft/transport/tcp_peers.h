#pragma once
// TcpPeers: Peers over TCP, with mutual TLS or (loopback, tests) in clear text. Each member dials
// each other one and sends its messages on that connection; snapshots go on connections of their
// own, so that they never stand in a heartbeat's way. Frames: raft/transport/wire.h.
//
// A snapshot stream whose connection breaks goes on where it was, on a new one, while both
// processes live: the receiver tells how many chunks it has, and the sender keeps those that it was
// not told of, at most 16 MiB.
//
// A connection begins with a Hello from the dialer: cluster, who, to whom. With TLS either side's
// certificate must be signed by the CA. Whatever does not fit (another cluster, garbage, a damaged
// frame) ends that connection with a log line; memory for it stays bounded by one frame, 1 KiB
// before the Hello.
//
// A link that breaks is dialed again, 50 ms later at first, a second at most, and as soon as the
// peer dials us. While it is down messages are dropped; while it is slow they wait in a bounded
// queue whose oldest go first.

#include <memory>
#include <optional>
#include <string>

#include "base/loop.h"
#include "net/tls.h"
#include "raft/transport/peers.h"

namespace raft {

struct TcpPeersOptions {
    std::uint64_t cluster_id = 0;
    NodeId id;
    std::string listen_host = "127.0.0.1";
    std::uint16_t listen_port = 0;             // 0: any free one
    std::optional<net::ServerTls> server_tls;  // with client_auth kRequire
    std::optional<net::ClientTls> client_tls;
    std::size_t max_queue_messages = 4096;
    std::size_t max_queue_bytes = 64U << 20U;
    base::Millis snapshot_stall{15'000};  // a connection on which a stream stands still is broken
    base::Millis snapshot_patience{60'000};  // a stream that does not go on for so long is over
};

class TcpPeers final : public Peers {
  public:
    // Binds and listens; what comes is served from start() on.
    static base::Result<std::unique_ptr<TcpPeers>> listen(base::Loop& loop,
                                                          TcpPeersOptions options);
    ~TcpPeers() override;

    std::uint16_t port() const;

    void start(PeerHandler* handler) override;
    void stop() override;
    void set_peers(std::vector<PeerAddress> peers) override;
    void send(Message message) override;
    void send_snapshot(Message head, ChunkSource chunks,
                       base::UniqueFunction<void(base::Status)> done) override;

    // Whether the link to `peer` is up.
    bool connected(NodeId peer) const;

    struct Impl;

  private:
    explicit TcpPeers(std::shared_ptr<Impl> impl);
    std::shared_ptr<Impl> impl_;
};

}  // namespace raft
