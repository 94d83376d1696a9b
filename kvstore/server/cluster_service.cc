// The Cluster service.

#include "kvstore/proto/members.pb.h"
#include "kvstore/server/etcd_service.h"
#include "kvstore/server/grpc_methods.h"

namespace kvstore {

namespace pb = etcdserverpb;

namespace {

// A method that a follower passes on to the leader.
template <class Request, class Response>
void change(GatedService& service, std::string path, Node& node,
            void (Node::*method)(Request, Done<Response>, Caller)) {
    unary<Request, Response>(
        service, std::move(path),
        [&node, method, gate = service.gate.get()](Request r, Done<Response> done, Caller caller) {
            gate->with_credential(std::move(caller),
                                  [&node, method, r = std::move(r),
                                   d = std::move(done)](base::Result<Caller> who) mutable {
                                      if (!who) return d(who.error());
                                      (node.*method)(std::move(r), std::move(d), std::move(*who));
                                  });
        });
}

}  // namespace

void add_cluster_service(GatedService& service, Node& node) {
    unary<pb::MemberListRequest, pb::MemberListResponse>(
        service, "/etcdserverpb.Cluster/MemberList",
        [&node](pb::MemberListRequest r, Done<pb::MemberListResponse> done) {
            node.member_list(r.linearizable(), std::move(done));
        });
    change(service, "/etcdserverpb.Cluster/MemberAdd", node, &Node::member_add);
    change(service, "/etcdserverpb.Cluster/MemberRemove", node, &Node::member_remove);
    change(service, "/etcdserverpb.Cluster/MemberUpdate", node, &Node::member_update);
    change(service, "/etcdserverpb.Cluster/MemberPromote", node, &Node::member_promote);
    change(service, "/coxswainpb.Members/Change", node, &Node::members_change);
}

}  // namespace kvstore
