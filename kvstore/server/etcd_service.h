#pragma once
// The etcd v3 gRPC services of one member (KV, Watch, Lease, Auth, Cluster's and Maintenance's
// reads), as methods of a net::GrpcService, and the plain HTTP paths beside them (/health,
// /version, /metrics). Store loop only.

#include <memory>
#include <string>

#include "base/loop.h"
#include "net/grpc.h"

namespace kvstore {

struct GatedService;
class Jwt;
class Node;
class StoreMetrics;

struct EtcdServiceOptions {
    // Where a snapshot is spooled before it is sent (an unlinked file), so that a slow reader holds
    // nothing else.
    std::string spool_directory;
    // Of blocking work: spooling.
    base::WorkerPool* pool = nullptr;
    // Streams opened with `hasleader` end after this long without a leader.
    base::Millis leader_patience{3000};
    base::Millis progress_interval{600'000};
    // Tokens of users are signed by it (kvstore/server/jwt.h); null: simple tokens.
    std::shared_ptr<const Jwt> jwt;
};

// Adds the methods. `loop`, `service` and `node` outlive every call.
void add_etcd_services(base::Loop& loop, net::GrpcService& service, Node& node,
                       EtcdServiceOptions options);
// What all of the services' calls are counted by; to be given to the service before they are added.
net::GrpcObserver* grpc_metrics();
// Everything that is not gRPC.
base::Awaitable<void> serve_etcd_http(Node& node, StoreMetrics& metrics,
                                      std::shared_ptr<net::Exchange> exchange);

// Parts, in files of their own.
void add_cluster_service(GatedService& service, Node& node);
void add_health_service(GatedService& service, Node& node);
void add_range_stream(GatedService& service, Node& node);
void add_maintenance_service(GatedService& service, Node& node, const EtcdServiceOptions& options);
void add_watch_service(base::Loop& loop, GatedService& service, Node& node,
                       const EtcdServiceOptions& options);
void add_auth_service(GatedService& service);
void add_lock_service(GatedService& service);
void add_election_service(GatedService& service);

}  // namespace kvstore
