// v3lockpb.Lock: a lock is the oldest key under "name/"; docs/locks.md says what it guarantees.

#include "kvstore/proto/lock.pb.h"
#include "kvstore/server/etcd_service.h"
#include "kvstore/server/waiting.h"

namespace kvstore {

namespace pb = etcdserverpb;

namespace {

base::Task<v3lockpb::LockResponse> lock(std::shared_ptr<Visit> visit,
                                        v3lockpb::LockRequest request) {
    CO_TRY(Place place, co_await take_place(visit, request.name(), request.lease(), std::string()));
    const std::string key = place.key;
    CO_TRY(const std::int64_t revision, co_await wait_for_turn(visit, std::move(place)));
    v3lockpb::LockResponse response;
    response.mutable_header()->set_revision(revision);
    visit->node().fill_header(response.mutable_header());
    response.set_key(key);
    co_return response;
}

}  // namespace

void add_lock_service(GatedService& service) {
    service.streaming(
        "/v3lockpb.Lock/Lock", [gate = service.gate](std::shared_ptr<net::GrpcStream> stream) {
            auto serve = [gate](std::shared_ptr<net::GrpcStream> s, v3lockpb::LockRequest request) {
                return lock(std::make_shared<Visit>(gate, std::move(s)), std::move(request));
            };
            return serve_one<v3lockpb::LockRequest, v3lockpb::LockResponse>(std::move(stream),
                                                                            std::move(serve));
        });
    Node* node = &service.gate->node();
    unary<v3lockpb::UnlockRequest, v3lockpb::UnlockResponse>(
        service, "/v3lockpb.Lock/Unlock",
        [node](v3lockpb::UnlockRequest request, Done<v3lockpb::UnlockResponse> done,
               Caller caller) {
            pb::DeleteRangeRequest remove;
            remove.set_key(request.key());
            node->delete_range(
                std::move(remove),
                [d = std::move(done)](base::Result<pb::DeleteRangeResponse> r) mutable {
                    if (!r) return d(r.error());
                    v3lockpb::UnlockResponse response;
                    *response.mutable_header() = std::move(*r->mutable_header());
                    d(std::move(response));
                },
                std::move(caller));
        });
}

}  // namespace kvstore
