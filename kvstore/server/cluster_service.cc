// The Cluster service.

#include "kvstore/proto/members.pb.h"
#include "kvstore/server/etcd_service.h"
#include "kvstore/server/grpc_methods.h"

namespace kvstore {

namespace pb = etcdserverpb;

void add_cluster_service(GatedService& service, Node& node) {
    unary<pb::MemberListRequest, pb::MemberListResponse>(
        service, "/etcdserverpb.Cluster/MemberList",
        [&node](pb::MemberListRequest r, Done<pb::MemberListResponse> done) {
            node.member_list(r.linearizable(), std::move(done));
        });
    unary(service, "/etcdserverpb.Cluster/MemberAdd", node, &Node::member_add);
    unary(service, "/etcdserverpb.Cluster/MemberRemove", node, &Node::member_remove);
    unary(service, "/etcdserverpb.Cluster/MemberUpdate", node, &Node::member_update);
    unary(service, "/etcdserverpb.Cluster/MemberPromote", node, &Node::member_promote);
    unary(service, "/coxswainpb.Members/Change", node, &Node::members_change);
}

}  // namespace kvstore
