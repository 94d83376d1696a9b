#include "kvstore/server/etcd_service.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/log.h"
#include "base/metrics.h"
#include "kvstore/errors.h"
#include "kvstore/node.h"

namespace kvstore {

namespace pb = etcdserverpb;

namespace {

// A message behind room for gRPC's prefix, so that it is serialized once, in its place.
template <class T>
std::string framed(const T& message) {
    std::string frame(net::kGrpcPrefix, '\0');
    message.AppendToString(&frame);
    net::grpc_fill_prefix(&frame);
    return frame;
}

template <class T>
void answer(net::GrpcCall& call, const base::Result<T>& result) {
    if (result)
        call.respond_frame(framed(*result));
    else
        call.fail(result.error());
}

// A unary method: bytes in, `handle(request, done)`, bytes out.
template <class Request, class Response, class Handle>
void unary(net::GrpcService& service, std::string path, Handle handle) {
    service.unary(
        std::move(path), [handle](std::shared_ptr<net::GrpcCall> call, std::string_view message) {
            Request request;
            if (!request.ParseFromArray(message.data(), static_cast<int>(message.size())))
                return call->fail(base::invalid_argument("the request's message cannot be read"));
            handle(std::move(request), [call = std::move(call)](base::Result<Response> result) {
                answer(*call, result);
            });
        });
}

template <class Request, class Response>
void unary(net::GrpcService& service, std::string path, Node& node,
           void (Node::*method)(Request, Done<Response>)) {
    unary<Request, Response>(service, std::move(path),
                             [&node, method](Request request, Done<Response> done) {
                                 (node.*method)(std::move(request), std::move(done));
                             });
}

// RangeResponse's fields around the records.
constexpr char kHeaderTag = 1 << 3 | 2;
constexpr char kMoreTag = 3 << 3;
constexpr char kCountTag = 4 << 3;

void answer_encoded(net::GrpcCall& call, EncodedRange range) {
    std::string head(net::kGrpcPrefix, '\0');
    const std::string header = range.header.SerializeAsString();
    head.push_back(kHeaderTag);
    base::append_varint(&head, header.size());
    head += header;
    std::string tail;
    if (range.more) tail.append({kMoreTag, 1});
    if (range.count != 0) {
        tail.push_back(kCountTag);
        base::append_varint(&tail, static_cast<std::uint64_t>(range.count));
    }
    if (range.kvs.size() <= 1) {
        if (!range.kvs.empty()) head += range.kvs[0];
        return call.respond_frame(head + tail);
    }
    std::vector<net::SharedBytes> rest;
    for (auto& piece : range.kvs)
        rest.push_back(net::share(std::move(piece)));
    rest.push_back(net::share(std::move(tail)));
    call.respond_frame(std::move(head), std::move(rest));
}

void range(Node& node, std::shared_ptr<net::GrpcCall> call, std::string_view message) {
    pb::RangeRequest request;
    if (!request.ParseFromArray(message.data(), static_cast<int>(message.size())))
        return call->fail(base::invalid_argument("the request's message cannot be read"));
    if (!is_plain(request))
        return node.range(std::move(request), [call](base::Result<pb::RangeResponse> result) {
            answer(*call, result);
        });
    node.range_encoded(std::move(request), [call](base::Result<EncodedRange> result) {
        if (result)
            answer_encoded(*call, std::move(*result));
        else
            call->fail(result.error());
    });
}

base::Awaitable<void> keep_alive(Node* node, std::shared_ptr<net::GrpcStream> stream) {
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

// A snapshot in a file without a name, its length a multiple of 512 and a SHA-256 behind it, as
// etcd's clients check.
struct Spool {
    int fd = -1;
    std::int64_t size = 0;
    ~Spool() {
        if (fd >= 0) ::close(fd);
    }
};

base::Status spool_snapshot(SnapshotReader& reader, const std::string& directory, Spool* spool) {
    std::string path = directory + "/snapshot-XXXXXX";
    spool->fd = ::mkostemp(path.data(), O_CLOEXEC);
    if (spool->fd < 0) return base::errno_error(errno, "create " + path);
    ::unlink(path.c_str());
    std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> sha(EVP_MD_CTX_new(), EVP_MD_CTX_free);
    EVP_DigestInit_ex(sha.get(), EVP_sha256(), nullptr);
    auto write = [&](std::string_view bytes) -> base::Status {
        EVP_DigestUpdate(sha.get(), bytes.data(), bytes.size());
        while (!bytes.empty()) {
            const ssize_t n = ::write(spool->fd, bytes.data(), bytes.size());
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) return base::errno_error(errno, "write the snapshot's spool file");
            bytes.remove_prefix(static_cast<std::size_t>(n));
            spool->size += n;
        }
        return {};
    };
    for (;;) {
        TRY(const std::string chunk, reader.next(256 << 10));
        if (chunk.empty()) break;
        TRY_VOID(write(chunk));
    }
    constexpr std::int64_t kBlock = 512;
    TRY_VOID(write(
        std::string(static_cast<std::size_t>((kBlock - spool->size % kBlock) % kBlock), '\0')));
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int length = 0;
    EVP_DigestFinal_ex(sha.get(), digest, &length);
    if (::write(spool->fd, digest, length) != static_cast<ssize_t>(length))
        return base::errno_error(errno, "write the snapshot's spool file");
    spool->size += length;
    return {};
}

base::Awaitable<void> snapshot(Node* node, EtcdServiceOptions options,
                               std::shared_ptr<net::GrpcStream> stream) {
    auto reader = node->machine().open_snapshot();
    if (!reader) co_return stream->finish(reader.error());
    std::shared_ptr<SnapshotReader> source = std::move(*reader);
    auto spool = std::make_shared<Spool>();
    auto start = [source, spool, options](base::UniqueFunction<void(base::Status)> resolve) {
        options.pool->submit([source, spool, options, r = std::move(resolve)]() mutable {
            r(spool_snapshot(*source, options.spool_directory, spool.get()));
        });
    };
    auto spooled = co_await base::suspend<base::Status>(std::move(start));
    source.reset();
    if (!spooled) co_return stream->finish(spooled.error());
    constexpr std::size_t kBlob = 64 << 10;
    std::string blob(kBlob, '\0');
    for (std::int64_t at = 0; at < spool->size;) {
        const ssize_t n = ::pread(spool->fd, blob.data(), blob.size(), at);
        if (n <= 0)
            co_return stream->finish(base::errno_error(errno, "read the snapshot's spool file"));
        at += n;
        pb::SnapshotResponse response;
        node->fill_header(response.mutable_header());
        response.set_remaining_bytes(static_cast<std::uint64_t>(spool->size - at));
        response.set_blob(blob.data(), static_cast<std::size_t>(n));
        response.set_version(std::string(Node::kEtcdVersion));
        if (auto sent = stream->write_frame(net::share(framed(response))); !sent)
            co_return stream->finish(sent.error());
        if (stream->queued_bytes() > (1 << 20))
            if (auto drained = co_await stream->drained(256 << 10); !drained) co_return;
    }
    stream->finish();
}

}  // namespace

void add_etcd_services(base::Loop& loop, net::GrpcService& service, Node& node,
                       EtcdServiceOptions options) {
    service.unary("/etcdserverpb.KV/Range",
                  [&node](std::shared_ptr<net::GrpcCall> call, std::string_view message) {
                      range(node, std::move(call), message);
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
                      [&node](std::shared_ptr<net::GrpcStream> stream) {
                          return keep_alive(&node, std::move(stream));
                      });

    unary<pb::MemberListRequest, pb::MemberListResponse>(
        service, "/etcdserverpb.Cluster/MemberList",
        [&node](pb::MemberListRequest r, Done<pb::MemberListResponse> done) {
            node.member_list(r.linearizable(), std::move(done));
        });

    unary<pb::StatusRequest, pb::StatusResponse>(
        service, "/etcdserverpb.Maintenance/Status",
        [&node](pb::StatusRequest, Done<pb::StatusResponse> done) { done(node.status()); });
    unary<pb::HashRequest, pb::HashResponse>(
        service, "/etcdserverpb.Maintenance/Hash",
        [&node](pb::HashRequest, Done<pb::HashResponse> done) { node.hash(std::move(done)); });
    unary<pb::HashKVRequest, pb::HashKVResponse>(
        service, "/etcdserverpb.Maintenance/HashKV",
        [&node](pb::HashKVRequest r, Done<pb::HashKVResponse> done) {
            node.hash_kv(r.revision(), std::move(done));
        });
    unary<pb::MoveLeaderRequest, pb::MoveLeaderResponse>(
        service, "/etcdserverpb.Maintenance/MoveLeader",
        [&node](pb::MoveLeaderRequest r, Done<pb::MoveLeaderResponse> done) {
            node.move_leader(r.targetid(), std::move(done));
        });
    // No alarm is ever raised yet, so none is listed; raising one by hand is refused.
    unary<pb::AlarmRequest, pb::AlarmResponse>(
        service, "/etcdserverpb.Maintenance/Alarm",
        [&node](pb::AlarmRequest r, Done<pb::AlarmResponse> done) {
            if (r.action() == pb::AlarmRequest::ACTIVATE)
                return done(base::unimplemented("alarms are not implemented yet"));
            pb::AlarmResponse response;
            node.fill_header(response.mutable_header());
            done(std::move(response));
        });
    service.streaming("/etcdserverpb.Maintenance/Snapshot",
                      [&node, options](std::shared_ptr<net::GrpcStream> stream) {
                          return snapshot(&node, options, std::move(stream));
                      });
    add_watch_service(loop, service, node, options);
}

base::Awaitable<void> serve_etcd_http(Node& node, std::shared_ptr<net::Exchange> exchange) {
    const std::string path(exchange->request().path());
    net::Response response = net::Response::of(404, "404 page not found\n");
    if (path == "/version")
        response = net::Response::of(200,
                                     "{\"etcdserver\":\"" + std::string(Node::kEtcdVersion) +
                                         "\",\"etcdcluster\":\"3.5.0\"}",
                                     "application/json");
    if (path == "/metrics")
        response = net::Response::of(200, base::metrics().render(), "text/plain; version=0.0.4");
    if (path == "/health" || path == "/readyz" || path == "/livez") {
        const bool ok = path == "/livez" || node.replica().leader() != raft::kNobody;
        response =
            path == "/health"
                ? net::Response::of(ok ? 200 : 503,
                                    ok ? "{\"health\":\"true\",\"reason\":\"\"}"
                                       : "{\"health\":\"false\",\"reason\":\"RAFT NO LEADER\"}",
                                    "application/json")
                : net::Response::of(ok ? 200 : 503, ok ? "ok\n" : "no leader\n");
    }
    exchange->respond(std::move(response));
    co_return;
}

}  // namespace kvstore
