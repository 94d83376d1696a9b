// The Maintenance service; a snapshot is spooled and streamed.

#include <fcntl.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/sha256.h"
#include "kvstore/server/etcd_service.h"
#include "kvstore/server/grpc_methods.h"

namespace kvstore {

namespace pb = etcdserverpb;

namespace {

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
    base::Sha256 sha;
    auto write = [&](std::string_view bytes) -> base::Status {
        sha.add(bytes);
        spool->size += static_cast<std::int64_t>(bytes.size());
        return base::write_all(spool->fd, bytes, path);
    };
    for (;;) {
        TRY(const std::string chunk, reader.next(256 << 10));
        if (chunk.empty()) break;
        TRY_VOID(write(chunk));
    }
    constexpr std::int64_t kBlock = 512;
    TRY_VOID(write(
        std::string(static_cast<std::size_t>((kBlock - spool->size % kBlock) % kBlock), '\0')));
    const std::string digest = sha.finish();
    spool->size += static_cast<std::int64_t>(digest.size());
    return base::write_all(spool->fd, digest, path);
}

base::Awaitable<void> snapshot(Node* node, std::shared_ptr<Gate> gate, EtcdServiceOptions options,
                               std::shared_ptr<net::GrpcStream> stream) {
    auto caller = co_await gate->caller(stream);
    if (!caller) co_return stream->finish(caller.error());
    if (auto may = gate->may_call(stream->path(), *caller); !may)
        co_return stream->finish(may.error());
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

void add_maintenance_service(GatedService& service, Node& node, const EtcdServiceOptions& options) {
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
    unary(service, "/etcdserverpb.Maintenance/Alarm", node, &Node::alarm);
    unary<pb::DefragmentRequest, pb::DefragmentResponse>(
        service, "/etcdserverpb.Maintenance/Defragment",
        [&node](pb::DefragmentRequest, Done<pb::DefragmentResponse> done) {
            node.defragment(std::move(done));
        });
    unary(service, "/etcdserverpb.Maintenance/Downgrade", node, &Node::downgrade);
    service.streaming(
        "/etcdserverpb.Maintenance/Snapshot",
        [&node, gate = service.gate, options](std::shared_ptr<net::GrpcStream> stream) {
            return snapshot(&node, gate, options, std::move(stream));
        });
}

}  // namespace kvstore
