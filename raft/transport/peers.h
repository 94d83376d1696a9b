#pragma once
// Peers: how a member talks to the others. Messages may be lost, repeated or reordered; none is
// ever changed. Production: raft/transport/tcp_peers.h; tests: the simulator's network. Everything
// is used and calls back on the store loop.

#include <string>
#include <string_view>
#include <vector>

#include "base/function.h"
#include "base/result.h"
#include "raft/core/message.h"
#include "raft/core/types.h"

namespace raft {

struct PeerAddress {
    NodeId id;
    std::vector<std::string> urls;  // tried in turn
    friend bool operator==(const PeerAddress&, const PeerAddress&) = default;
};

// The receiving end.
class PeerHandler {
  public:
    virtual ~PeerHandler() = default;
    virtual void on_message(Message message) = 0;
    // Messages to `peer` were dropped, or its connection is gone.
    virtual void on_unreachable(NodeId peer) = 0;

    // A snapshot stream of `head.from`; one at a time: a new one ends the old, of which nothing is
    // delivered any more. Its chunks come in order, each once. `head` is the kSnapshot message to
    // step once the stream is complete. An error refuses or ends the stream.
    virtual base::Status on_snapshot_begin(const Message& head) = 0;
    virtual base::Status on_snapshot_chunk(NodeId from, std::string_view chunk) = 0;
    virtual base::Status on_snapshot_end(NodeId from) = 0;
    virtual void on_snapshot_aborted(NodeId from) = 0;
};

// Gives the next chunk of a snapshot; empty at the end.
using ChunkSource = base::UniqueFunction<base::Result<std::string>()>;

class Peers {
  public:
    virtual ~Peers() = default;
    // `handler` outlives the Peers or calls stop() before it goes.
    virtual void start(PeerHandler* handler) = 0;
    virtual void stop() = 0;
    // Whom to talk to from now on. Connections to others are closed, but for those on which a
    // member that we do not know of yet talks to us: they carry our answers.
    virtual void set_peers(std::vector<PeerAddress> peers) = 0;
    // To message.to. Never blocks; what a bounded queue cannot take is dropped, with an
    // on_unreachable() later.
    virtual void send(Message message) = 0;
    // Streams a snapshot on a connection of its own, or more than one where they break. `done` once
    // the receiver has all of it, or with what went wrong. At most one a peer.
    virtual void send_snapshot(Message head, ChunkSource chunks,
                               base::UniqueFunction<void(base::Status)> done) = 0;
};

}  // namespace raft
