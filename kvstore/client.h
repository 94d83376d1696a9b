#pragma once
// Client: the one way into the store. LocalClient (local_client.h) posts to the store's loop of the
// same process and serializes nothing; RemoteClient (remote_client.h) speaks etcd v3 gRPC, to
// Coxswain or to etcd. Requests are etcd's messages and mean what etcd says they mean; errors carry
// etcd's codes and texts.
//
// A client belongs to one loop: its coroutines are awaited there. Every call has a deadline
// (`timeout()`), after which it answers DeadlineExceeded or Unavailable; a write that fails so may
// still have happened.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/coro.h"
#include "kvstore/mvcc/event.h"
#include "kvstore/proto/rpc.pb.h"

namespace kvstore {

// Some changes that a watch saw, in order; all events of one or more whole revisions.
struct WatchUpdate {
    // Everything up to this revision has been delivered with this update.
    std::int64_t revision = 0;
    std::vector<std::shared_ptr<const Event>> events;
    // The watch was refused or ended because what it needs next is compacted; `revision` is then
    // the compacted one.
    bool compacted = false;
};

// One watch. Dropping it cancels it.
class Watcher {
  public:
    virtual ~Watcher() = default;
    // The next update; one without events is a progress mark. OutOfRange when the position was
    // compacted, Unavailable when the connection or the member is gone (resume from the last
    // revision + 1), Cancelled after cancel(). One caller at a time.
    virtual base::Task<WatchUpdate> next() = 0;
    // Ends a pending next(), too.
    virtual void cancel() = 0;
    // The store's revision when the watch began: it sees everything above it (or from its start
    // revision).
    virtual std::int64_t created_revision() const = 0;
};

struct WatchOptions {
    std::string key;
    std::string range_end;
    std::int64_t start_revision = 0;  // 0: what comes after now
    bool previous = false;            // fill Event::previous
    bool progress = false;            // also tell of progress when nothing happens
};

class Client {
  public:
    virtual ~Client() = default;

    virtual base::Task<etcdserverpb::RangeResponse> range(etcdserverpb::RangeRequest request) = 0;
    virtual base::Task<etcdserverpb::PutResponse> put(etcdserverpb::PutRequest request) = 0;
    virtual base::Task<etcdserverpb::DeleteRangeResponse> delete_range(
        etcdserverpb::DeleteRangeRequest request) = 0;
    virtual base::Task<etcdserverpb::TxnResponse> txn(etcdserverpb::TxnRequest request) = 0;
    virtual base::Task<etcdserverpb::CompactionResponse> compact(
        etcdserverpb::CompactionRequest request) = 0;
    virtual base::Task<etcdserverpb::LeaseGrantResponse> lease_grant(
        etcdserverpb::LeaseGrantRequest request) = 0;
    virtual base::Task<etcdserverpb::LeaseRevokeResponse> lease_revoke(
        etcdserverpb::LeaseRevokeRequest request) = 0;
    virtual base::Task<etcdserverpb::LeaseKeepAliveResponse> lease_keep_alive(std::int64_t id) = 0;
    virtual base::Task<etcdserverpb::StatusResponse> status() = 0;

    virtual base::Task<std::shared_ptr<Watcher>> watch(WatchOptions options) = 0;
    // Asks that watches with `progress` be told where the store stands, soon.
    virtual void request_progress() = 0;
};

}  // namespace kvstore
