#include "kvstore/server/etcd_service.h"

#include "base/bytes.h"
#include "kvstore/errors.h"
#include "kvstore/node.h"
#include "kvstore/server/grpc_methods.h"

namespace kvstore {

namespace pb = etcdserverpb;

namespace {

// RangeResponse's fields around the records.
constexpr char kHeaderTag = 1 << 3 | 2;
constexpr char kMoreTag = 3 << 3;
constexpr char kCountTag = 4 << 3;

void answer_encoded(net::GrpcCall& call, EncodedRange range) {
    RangeBody& body = range.body;
    std::string head(net::kGrpcPrefix, '\0');
    const std::string header = range.header.SerializeAsString();
    head.push_back(kHeaderTag);
    base::append_varint(&head, header.size());
    head += header;
    std::string tail;
    if (body.more) tail.append({kMoreTag, 1});
    if (body.count != 0) {
        tail.push_back(kCountTag);
        base::append_varint(&tail, static_cast<std::uint64_t>(body.count));
    }
    if (body.kvs.size() <= 1) {
        if (!body.kvs.empty()) head += *body.kvs[0];
        return call.respond_frame(head + tail);
    }
    body.kvs.push_back(net::share(std::move(tail)));
    call.respond_frame(std::move(head), std::move(body.kvs));
}

// `call` is past the gate.
void range(Node& node, std::shared_ptr<net::GrpcCall> call, pb::RangeRequest request,
           Caller caller) {
    if (!is_plain(request)) {
        auto done = [call](base::Result<pb::RangeResponse> result) { answer(*call, result); };
        return node.range(std::move(request), std::move(done), std::move(caller));
    }
    auto done = [call](base::Result<EncodedRange> result) {
        if (result)
            answer_encoded(*call, std::move(*result));
        else
            call->fail(result.error());
    };
    node.range_encoded(std::move(request), std::move(done), std::move(caller));
}

// Who may revoke a lease is checked; who renews it is not, as in etcd. A bad token is refused.
base::Awaitable<void> keep_alive(Node* node, std::shared_ptr<Gate> gate,
                                 std::shared_ptr<net::GrpcStream> stream) {
    if (auto caller = co_await gate->caller(stream); !caller)
        co_return stream->finish(caller.error());
    for (;;) {
        auto message = co_await stream->read();
        if (!message) co_return stream->finish(message.error());
        if (!*message) co_return stream->finish();
        pb::LeaseKeepAliveRequest request;
        if (!request.ParseFromString(**message))
            co_return stream->finish(
                base::invalid_argument("the request's message cannot be read"));
        auto start =
            [node, id = request.id()](
                base::UniqueFunction<void(base::Result<pb::LeaseKeepAliveResponse>)> resolve) {
                node->lease_keep_alive(id, std::move(resolve));
            };
        auto response =
            co_await base::suspend<base::Result<pb::LeaseKeepAliveResponse>>(std::move(start));
        if (!response) co_return stream->finish(response.error());
        if (auto sent = stream->write_frame(net::share(framed(*response))); !sent)
            co_return stream->finish(sent.error());
    }
}

}  // namespace

void add_etcd_services(base::Loop& loop, net::GrpcService& table, Node& node,
                       EtcdServiceOptions options) {
    const auto gate = std::make_shared<Gate>(loop, node, options.jwt);
    GatedService service{table, gate};
    table.unary("/etcdserverpb.KV/Range",
                [&node, gate](std::shared_ptr<net::GrpcCall> call, std::string_view message) {
                    pb::RangeRequest request;
                    if (!request.ParseFromArray(message.data(), static_cast<int>(message.size())))
                        return call->fail(unreadable_message());
                    auto& asked = *call;
                    auto resolved = [&node, call = std::move(call),
                                     r = std::move(request)](base::Result<Caller> caller) mutable {
                        if (!caller) return call->fail(caller.error());
                        range(node, std::move(call), std::move(r), std::move(*caller));
                    };
                    gate->resolve(asked, std::move(resolved));
                });
    unary(service, "/etcdserverpb.KV/Put", node, &Node::put);
    unary(service, "/etcdserverpb.KV/DeleteRange", node, &Node::delete_range);
    unary(service, "/etcdserverpb.KV/Txn", node, &Node::txn);
    unary(service, "/etcdserverpb.KV/Compact", node, &Node::compact);

    unary(service, "/etcdserverpb.Lease/LeaseGrant", node, &Node::lease_grant);
    unary(service, "/etcdserverpb.Lease/LeaseRevoke", node, &Node::lease_revoke);
    unary(service, "/etcdserverpb.Lease/LeaseTimeToLive", node, &Node::lease_time_to_live);
    unary<pb::LeaseLeasesRequest, pb::LeaseLeasesResponse>(
        service, "/etcdserverpb.Lease/LeaseLeases",
        [&node](pb::LeaseLeasesRequest, Done<pb::LeaseLeasesResponse> done) {
            node.lease_leases(std::move(done));
        });
    // etcd's clients open one stream; the last request's answer ends it when the client
    // half-closes.
    service.streaming("/etcdserverpb.Lease/LeaseKeepAlive",
                      [&node, gate](std::shared_ptr<net::GrpcStream> stream) {
                          return keep_alive(&node, gate, std::move(stream));
                      });

    add_range_stream(service, node);
    add_health_service(service, node);
    add_cluster_service(service, node);
    add_maintenance_service(service, node, options);
    add_watch_service(loop, service, node, options);
    add_auth_service(service);
    add_lock_service(service);
    add_election_service(service);
}

}  // namespace kvstore
