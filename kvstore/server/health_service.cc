// grpc.health.v1: this member serves while it knows a leader and no alarm CORRUPT is raised. The
// only service is the server as a whole, "".

#include "base/coro.h"
#include "kvstore/proto/health.pb.h"
#include "kvstore/server/etcd_service.h"
#include "kvstore/server/grpc_methods.h"

namespace kvstore {

namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

HealthCheckResponse::ServingStatus status_of(Node& node, const std::string& service) {
    if (!service.empty()) return HealthCheckResponse::SERVICE_UNKNOWN;
    const bool serves = node.replica().leader() != raft::kNobody &&
                        !node.machine().alarms().raised(etcdserverpb::CORRUPT);
    return serves ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING;
}

base::Awaitable<void> watch_health(Node* node, std::shared_ptr<net::GrpcStream> stream) {
    auto message = co_await stream->read();
    if (!message) co_return stream->finish(message.error());
    HealthCheckRequest request;
    if (!*message || !request.ParseFromString(**message))
        co_return stream->finish(base::invalid_argument("the request's message cannot be read"));
    int told = -1;
    while (!stream->closed()) {
        const auto now = status_of(*node, request.service());
        if (now != told) {
            told = now;
            HealthCheckResponse response;
            response.set_status(now);
            if (auto sent = stream->write(response.SerializeAsString()); !sent)
                co_return stream->finish(sent.error());
        }
        const base::Millis pause(200);
        if (auto slept = co_await base::sleep_for(pause); !slept) break;
    }
}

}  // namespace

void add_health_service(GatedService& service, Node& node) {
    unary<HealthCheckRequest, HealthCheckResponse>(
        service, "/grpc.health.v1.Health/Check",
        [&node](HealthCheckRequest request, Done<HealthCheckResponse> done) {
            HealthCheckResponse response;
            response.set_status(status_of(node, request.service()));
            if (response.status() == HealthCheckResponse::SERVICE_UNKNOWN)
                return done(base::not_found("unknown service"));
            done(std::move(response));
        });
    service.streaming("/grpc.health.v1.Health/Watch",
                      [&node](std::shared_ptr<net::GrpcStream> stream) {
                          return watch_health(&node, std::move(stream));
                      });
}

}  // namespace kvstore
