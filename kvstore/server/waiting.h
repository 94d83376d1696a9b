#pragma once
// What locks and elections wait for: a turn, told by the keys under a prefix in the order of their
// creation (etcd's recipes: a waiter watches only the key before its own, so that one release wakes
// one waiter). Store loop; the client that goes away ends the wait.

#include <memory>
#include <optional>
#include <string>

#include "base/coro.h"
#include "kvstore/proto/rpc.pb.h"
#include "kvstore/server/grpc_methods.h"

namespace kvstore {

// One call under way: the node as its caller may use it.
class Visit {
  public:
    Visit(std::shared_ptr<Gate> gate, std::shared_ptr<net::GrpcStream> stream)
        : gate_(std::move(gate)), stream_(std::move(stream)) {}

    // As Node's, for the caller as they are known now.
    template <class Request, class Response>
    base::Task<Response> call(void (Node::*method)(Request, Done<Response>, Caller),
                              Request request) {
        CO_TRY(Caller caller, co_await gate_->caller(stream_));
        co_return co_await kvstore::call(&node(), method, std::move(request), std::move(caller));
    }
    // For the store itself, to clear up after a caller who is gone.
    base::Awaitable<void> remove(std::string key);

    Node& node() { return gate_->node(); }
    Gate& gate() { return *gate_; }
    const std::shared_ptr<net::GrpcStream>& stream() { return stream_; }

  private:
    std::shared_ptr<Gate> gate_;
    std::shared_ptr<net::GrpcStream> stream_;
};

// "name/" and the lease in hexadecimal, as etcd's clients do it too.
std::string place_key(const std::string& name, std::int64_t lease);
// The key under "name/" that was created first; nothing when there is none.
base::Task<std::optional<mvccpb::KeyValue>> first_under(std::shared_ptr<Visit> visit,
                                                        std::string name);

// The next change of a watched key or prefix from `revision` on. `deleted`: only deletions count.
// Cancelled when the client goes, OutOfRange when the history is compacted (look again).
struct NextChange {
    std::string key;
    std::string range_end;
    std::int64_t revision = 0;
    bool deleted = false;
};
struct Change {
    bool deleted = false;
    mvccpb::KeyValue kv;
};
base::Task<Change> next_change(std::shared_ptr<Visit> visit, NextChange what);

// A place in the row: its key, and the revision in which it was created.
struct Place {
    std::string name;
    std::string key;
    std::int64_t created = 0;
    std::int64_t lease = 0;
};
// Puts the caller's key, unless it stands there, with `value`; a lease of 0 stands for a new one of
// 60 seconds that is kept alive until the turn has come.
base::Task<Place> take_place(std::shared_ptr<Visit> visit, std::string name, std::int64_t lease,
                             std::string value);
// Returns when every key that was created before is gone, with the revision of the store. When the
// wait ends otherwise (the client goes, the lease expires), the key is removed.
base::Task<std::int64_t> wait_for_turn(std::shared_ptr<Visit> visit, Place place);

}  // namespace kvstore
