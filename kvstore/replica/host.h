#pragma once
// ReplicaHost: a replica in the real world: Asio timers for a clock, a directory with a disk thread
// for a Disk, TCP for Peers. Made, used and destroyed on `loop`'s thread (or before the loop runs).

#include <memory>
#include <string>

#include "base/loop.h"
#include "kvstore/replica/replica.h"
#include "raft/transport/tcp_peers.h"
#include "raft/wal/disk.h"

namespace kvstore {

struct HostOptions {
    ReplicaOptions replica;  // seed 0: taken from the kernel's entropy
    std::string log_directory;
    // Cluster and member id are taken from `replica`.
    raft::TcpPeersOptions peers;
};

class AsioClock final : public Clock {
  public:
    explicit AsioClock(base::Loop& loop);
    base::Millis now() const override;
    void every(base::Millis period, base::UniqueFunction<void()> f) override;
    void cancel() override;
    void defer(base::UniqueFunction<void()> f) override;

  private:
    base::Loop& loop_;
    base::Timer timer_;
};

class ReplicaHost {
  public:
    // Everything outlives the host: `loop`, `machine`.
    static base::Result<std::unique_ptr<ReplicaHost>> open(base::Loop& loop, HostOptions options,
                                                           StateMachine& machine);
    ~ReplicaHost();
    ReplicaHost(const ReplicaHost&) = delete;
    ReplicaHost& operator=(const ReplicaHost&) = delete;

    Replica& replica() { return *replica_; }
    // Where the other members reach this one.
    std::uint16_t peer_port() const { return peers_->port(); }

  private:
    explicit ReplicaHost(base::Loop& loop);

    AsioClock clock_;
    std::unique_ptr<raft::Disk> disk_;
    std::unique_ptr<raft::TcpPeers> peers_;
    std::unique_ptr<Replica> replica_;
};

}  // namespace kvstore
