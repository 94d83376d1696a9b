// v3electionpb.Election: the leader is the oldest key under "name/", its value what it proclaims.

#include "kvstore/proto/election.pb.h"
#include "kvstore/server/etcd_service.h"
#include "kvstore/server/waiting.h"

namespace kvstore {

namespace pb = etcdserverpb;
namespace el = v3electionpb;

namespace {

base::Error not_leader() {
    return {base::Code::kUnknown, "election: not leader"};
}
base::Error no_leader() {
    return {base::Code::kUnknown, "election: no leader"};
}
base::Error no_leader_key() {
    return base::invalid_argument("\"leader\" field must be provided");
}

// A transaction that takes effect only while the leader's key is the one that won.
pb::TxnRequest while_leading(const el::LeaderKey& leader) {
    pb::TxnRequest txn;
    auto* same = txn.add_compare();
    same->set_key(leader.key());
    same->set_target(pb::Compare::CREATE);
    same->set_create_revision(leader.rev());
    return txn;
}

base::Task<el::ProclaimResponse> proclaim(std::shared_ptr<Visit> visit,
                                          el::ProclaimRequest request) {
    if (!request.has_leader()) co_return no_leader_key();
    pb::TxnRequest txn = while_leading(request.leader());
    auto* put = txn.add_success()->mutable_request_put();
    put->set_key(request.leader().key());
    put->set_value(request.value());
    put->set_lease(request.leader().lease());
    CO_TRY(auto answer, co_await visit->call(&Node::txn, std::move(txn)));
    if (!answer.succeeded()) co_return not_leader();
    el::ProclaimResponse response;
    *response.mutable_header() = answer.header();
    co_return response;
}

base::Task<el::ResignResponse> resign(std::shared_ptr<Visit> visit, el::ResignRequest request) {
    if (!request.has_leader()) co_return no_leader_key();
    pb::TxnRequest txn = while_leading(request.leader());
    txn.add_success()->mutable_request_delete_range()->set_key(request.leader().key());
    CO_TRY(auto answer, co_await visit->call(&Node::txn, std::move(txn)));
    el::ResignResponse response;
    *response.mutable_header() = answer.header();
    co_return response;
}

base::Task<el::CampaignResponse> campaign(std::shared_ptr<Visit> visit,
                                          el::CampaignRequest request) {
    CO_TRY(Place place,
           co_await take_place(visit, request.name(), request.lease(), request.value()));
    el::LeaderKey leader;
    leader.set_name(place.name);
    leader.set_key(place.key);
    leader.set_rev(place.created);
    leader.set_lease(place.lease);
    // The key may stand there from an earlier campaign, with another value.
    pb::RangeRequest mine;
    mine.set_key(place.key);
    CO_TRY(auto own, co_await visit->call(&Node::range, std::move(mine)));
    if (!own.kvs().empty() && own.kvs(0).value() != request.value()) {
        el::ProclaimRequest again;
        *again.mutable_leader() = leader;
        again.set_value(request.value());
        auto said = co_await proclaim(visit, std::move(again));
        if (!said) {
            co_await visit->remove(place.key);
            co_return said.error();
        }
    }
    CO_TRY(const std::int64_t revision, co_await wait_for_turn(visit, std::move(place)));
    el::CampaignResponse response;
    response.mutable_header()->set_revision(revision);
    visit->node().fill_header(response.mutable_header());
    *response.mutable_leader() = std::move(leader);
    co_return response;
}

base::Task<el::LeaderResponse> leader(std::shared_ptr<Visit> visit, el::LeaderRequest request) {
    CO_TRY(auto kv, co_await first_under(visit, request.name()));
    if (!kv) co_return no_leader();
    el::LeaderResponse response;
    visit->node().fill_header(response.mutable_header());
    *response.mutable_kv() = std::move(*kv);
    co_return response;
}

base::Status tell(Visit& visit, const mvccpb::KeyValue& kv) {
    el::LeaderResponse response;
    visit.node().fill_header(response.mutable_header());
    *response.mutable_kv() = kv;
    return visit.stream()->write_frame(net::share(framed(response)));
}

// Tells each leader, and each value that it proclaims, until the client goes.
base::Task<void> observe(std::shared_ptr<Visit> visit, std::string name) {
    for (;;) {
        const std::int64_t before = visit->node().store().revision();
        CO_TRY(auto kv, co_await first_under(visit, name));
        NextChange next;
        if (!kv) {
            next.key = name + "/";
            next.range_end = name + "0";  // '0' follows '/'
            next.revision = before + 1;
        } else {
            CO_TRY_VOID(tell(*visit, *kv));
            next.key = kv->key();
            next.revision = kv->mod_revision() + 1;
        }
        for (;;) {
            auto change = co_await next_change(visit, next);
            if (!change && change.error().code != base::Code::kOutOfRange) co_return change.error();
            // A new first key, a leader that left, or history that is gone: look again.
            if (!change || change->deleted || !kv) break;
            CO_TRY_VOID(tell(*visit, change->kv));
            next.revision = change->kv.mod_revision() + 1;
        }
    }
}

base::Awaitable<void> serve_observe(std::shared_ptr<Gate> gate,
                                    std::shared_ptr<net::GrpcStream> stream) {
    auto message = co_await stream->read();
    el::LeaderRequest request;
    if (!message) co_return stream->finish(message.error());
    if (!*message || !request.ParseFromString(**message))
        co_return stream->finish(unreadable_message());
    auto ended = co_await observe(std::make_shared<Visit>(gate, stream), request.name());
    stream->finish(ended);
}

template <class Request, class Response>
void add(GatedService& service, const char* path,
         base::Task<Response> (*method)(std::shared_ptr<Visit>, Request)) {
    service.streaming(path, [gate = service.gate, method](std::shared_ptr<net::GrpcStream> stream) {
        auto serve = [gate, method](std::shared_ptr<net::GrpcStream> s, Request request) {
            return method(std::make_shared<Visit>(gate, std::move(s)), std::move(request));
        };
        return serve_one<Request, Response>(std::move(stream), std::move(serve));
    });
}

}  // namespace

void add_election_service(GatedService& service) {
    add(service, "/v3electionpb.Election/Campaign", &campaign);
    add(service, "/v3electionpb.Election/Proclaim", &proclaim);
    add(service, "/v3electionpb.Election/Leader", &leader);
    add(service, "/v3electionpb.Election/Resign", &resign);
    service.streaming("/v3electionpb.Election/Observe",
                      [gate = service.gate](std::shared_ptr<net::GrpcStream> stream) {
                          return serve_observe(gate, std::move(stream));
                      });
}

}  // namespace kvstore
