// The Maintenance service; a snapshot is written to a file and streamed from there.

#include "kvstore/backup/snapshot_export.h"
#include "kvstore/server/etcd_service.h"
#include "kvstore/server/grpc_methods.h"

namespace kvstore {

namespace pb = etcdserverpb;

namespace {

using Exported = base::Result<SnapshotExport::File>;

base::Awaitable<void> snapshot(Node* node, std::shared_ptr<Gate> gate, EtcdServiceOptions options,
                               std::shared_ptr<net::GrpcStream> stream) {
    auto caller = co_await gate->caller(stream);
    if (!caller) co_return stream->finish(caller.error());
    if (auto may = gate->may_call(stream->path(), *caller); !may)
        co_return stream->finish(may.error());
    auto source = std::make_shared<SnapshotExport>(node->machine().shared_database());
    auto start = [source, options](base::UniqueFunction<void(Exported)> resolve) {
        options.pool->submit([source, options, r = std::move(resolve)]() mutable {
            r(source->write(options.spool_directory));
        });
    };
    auto exported = co_await base::suspend<Exported>(std::move(start));
    source.reset();
    if (!exported) co_return stream->finish(exported.error());
    constexpr std::uint64_t kBlob = 64 << 10;
    for (std::uint64_t at = 0; at < exported->bytes;) {
        auto blob = exported->file->read(at, std::min(kBlob, exported->bytes - at));
        if (!blob) co_return stream->finish(blob.error());
        at += blob->size();
        pb::SnapshotResponse response;
        node->fill_header(response.mutable_header());
        response.set_remaining_bytes(exported->bytes - at);
        response.set_blob(std::move(*blob));
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
