#include "kvstore/replica/host.h"

#include <ctime>

#include "base/random.h"
#include "raft/wal/posix_disk.h"

namespace kvstore {

AsioClock::AsioClock(base::Loop& loop) : loop_(loop), timer_(loop) {}

// steady_clock stands still while the machine sleeps; a leader's lease does not.
base::Millis AsioClock::now() const {
    timespec time{};
    ::clock_gettime(CLOCK_BOOTTIME, &time);
    return base::Millis(std::int64_t{time.tv_sec} * 1000 + time.tv_nsec / 1'000'000);
}
void AsioClock::every(base::Millis period, base::UniqueFunction<void()> f) {
    timer_.every(period, std::move(f));
}
void AsioClock::cancel() {
    timer_.cancel();
}
void AsioClock::defer(base::UniqueFunction<void()> f) {
    loop_.post(std::move(f));
}

base::Result<std::unique_ptr<ReplicaHost>> ReplicaHost::open(base::Loop& loop, HostOptions options,
                                                             StateMachine& machine) {
    std::unique_ptr<ReplicaHost> host(new ReplicaHost(loop));
    if (options.replica.seed == 0) options.replica.seed = base::entropy64();
    options.peers.cluster_id = options.replica.cluster_id;
    options.peers.id = options.replica.id;
    TRY(host->disk_, raft::PosixDisk::open(loop, options.log_directory));
    TRY(host->peers_, raft::TcpPeers::listen(loop, std::move(options.peers)));
    TRY(host->replica_, Replica::open(std::move(options.replica), machine,
                                      {&host->clock_, host->disk_.get(), host->peers_.get()}));
    return host;
}

ReplicaHost::ReplicaHost(base::Loop& loop) : clock_(loop) {}

ReplicaHost::~ReplicaHost() {
    replica_.reset();
}

}  // namespace kvstore
