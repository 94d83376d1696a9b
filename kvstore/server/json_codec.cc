#include "kvstore/server/json_codec.h"

#include <fmt/format.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <boost/json.hpp>
#include <memory>

#include "kvstore/proto/election.pb.h"
#include "kvstore/proto/lock.pb.h"
#include "kvstore/proto/rpc.pb.h"

namespace kvstore::json {

namespace {

namespace gp = google::protobuf;

struct Row {
    std::string_view path;
    const char* method;
};
// Sorted by path.
constexpr Row kRows[] = {
    {"/v3/auth/authenticate", "etcdserverpb.Auth.Authenticate"},
    {"/v3/auth/disable", "etcdserverpb.Auth.AuthDisable"},
    {"/v3/auth/enable", "etcdserverpb.Auth.AuthEnable"},
    {"/v3/auth/role/add", "etcdserverpb.Auth.RoleAdd"},
    {"/v3/auth/role/delete", "etcdserverpb.Auth.RoleDelete"},
    {"/v3/auth/role/get", "etcdserverpb.Auth.RoleGet"},
    {"/v3/auth/role/grant", "etcdserverpb.Auth.RoleGrantPermission"},
    {"/v3/auth/role/list", "etcdserverpb.Auth.RoleList"},
    {"/v3/auth/role/revoke", "etcdserverpb.Auth.RoleRevokePermission"},
    {"/v3/auth/status", "etcdserverpb.Auth.AuthStatus"},
    {"/v3/auth/user/add", "etcdserverpb.Auth.UserAdd"},
    {"/v3/auth/user/changepw", "etcdserverpb.Auth.UserChangePassword"},
    {"/v3/auth/user/delete", "etcdserverpb.Auth.UserDelete"},
    {"/v3/auth/user/get", "etcdserverpb.Auth.UserGet"},
    {"/v3/auth/user/grant", "etcdserverpb.Auth.UserGrantRole"},
    {"/v3/auth/user/list", "etcdserverpb.Auth.UserList"},
    {"/v3/auth/user/revoke", "etcdserverpb.Auth.UserRevokeRole"},
    {"/v3/cluster/member/add", "etcdserverpb.Cluster.MemberAdd"},
    {"/v3/cluster/member/list", "etcdserverpb.Cluster.MemberList"},
    {"/v3/cluster/member/promote", "etcdserverpb.Cluster.MemberPromote"},
    {"/v3/cluster/member/remove", "etcdserverpb.Cluster.MemberRemove"},
    {"/v3/cluster/member/update", "etcdserverpb.Cluster.MemberUpdate"},
    {"/v3/election/campaign", "v3electionpb.Election.Campaign"},
    {"/v3/election/leader", "v3electionpb.Election.Leader"},
    {"/v3/election/observe", "v3electionpb.Election.Observe"},
    {"/v3/election/proclaim", "v3electionpb.Election.Proclaim"},
    {"/v3/election/resign", "v3electionpb.Election.Resign"},
    {"/v3/kv/compaction", "etcdserverpb.KV.Compact"},
    {"/v3/kv/deleterange", "etcdserverpb.KV.DeleteRange"},
    {"/v3/kv/lease/leases", "etcdserverpb.Lease.LeaseLeases"},
    {"/v3/kv/lease/revoke", "etcdserverpb.Lease.LeaseRevoke"},
    {"/v3/kv/lease/timetolive", "etcdserverpb.Lease.LeaseTimeToLive"},
    {"/v3/kv/put", "etcdserverpb.KV.Put"},
    {"/v3/kv/range", "etcdserverpb.KV.Range"},
    {"/v3/kv/txn", "etcdserverpb.KV.Txn"},
    {"/v3/lease/grant", "etcdserverpb.Lease.LeaseGrant"},
    {"/v3/lease/keepalive", "etcdserverpb.Lease.LeaseKeepAlive"},
    {"/v3/lease/leases", "etcdserverpb.Lease.LeaseLeases"},
    {"/v3/lease/revoke", "etcdserverpb.Lease.LeaseRevoke"},
    {"/v3/lease/timetolive", "etcdserverpb.Lease.LeaseTimeToLive"},
    {"/v3/lock/lock", "v3lockpb.Lock.Lock"},
    {"/v3/lock/unlock", "v3lockpb.Lock.Unlock"},
    {"/v3/maintenance/alarm", "etcdserverpb.Maintenance.Alarm"},
    {"/v3/maintenance/defragment", "etcdserverpb.Maintenance.Defragment"},
    {"/v3/maintenance/downgrade", "etcdserverpb.Maintenance.Downgrade"},
    {"/v3/maintenance/hash", "etcdserverpb.Maintenance.Hash"},
    {"/v3/maintenance/hashkv", "etcdserverpb.Maintenance.HashKV"},
    {"/v3/maintenance/snapshot", "etcdserverpb.Maintenance.Snapshot"},
    {"/v3/maintenance/status", "etcdserverpb.Maintenance.Status"},
    {"/v3/maintenance/transfer-leadership", "etcdserverpb.Maintenance.MoveLeader"},
    {"/v3/watch", "etcdserverpb.Watch.Watch"},
};

std::unique_ptr<gp::Message> make(const gp::Descriptor& type) {
    const auto* prototype = gp::MessageFactory::generated_factory()->GetPrototype(&type);
    return std::unique_ptr<gp::Message>(prototype->New());
}

}  // namespace

const gp::MethodDescriptor* method_of(std::string_view http_path) {
    // Descriptors are made when their file is first asked for.
    static const bool linked = v3lockpb::LockRequest::descriptor() != nullptr &&
                               v3electionpb::LeaderKey::descriptor() != nullptr &&
                               etcdserverpb::RangeRequest::descriptor() != nullptr;
    const auto* row =
        std::lower_bound(std::begin(kRows), std::end(kRows), http_path,
                         [](const Row& r, std::string_view path) { return r.path < path; });
    if (!linked || row == std::end(kRows) || row->path != http_path) return nullptr;
    return gp::DescriptorPool::generated_pool()->FindMethodByName(row->method);
}

base::Result<std::string> to_message(const gp::Descriptor& type, std::string_view text) {
    auto message = make(type);
    if (text.find_first_not_of(" \t\r\n") != text.npos) {
        gp::util::JsonParseOptions options;
        options.ignore_unknown_fields = true;  // as etcd's does: of a newer client
        const auto status = gp::util::JsonStringToMessage(
            gp::StringPiece(
                text.data(),
                static_cast<gp::stringpiece_internal::StringPiece::size_type>(text.size())),
            message.get(), options);
        if (!status.ok())
            return base::invalid_argument(
                fmt::format("the request is no {}: {}", type.name(), status.ToString()));
    }
    return message->SerializeAsString();
}

base::Result<std::string> from_message(const gp::Descriptor& type, std::string_view bytes) {
    auto message = make(type);
    if (!message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
        return base::internal_error("the answer's message cannot be read");
    gp::util::JsonPrintOptions options;
    options.preserve_proto_field_names = true;
    std::string out;
    const auto status = gp::util::MessageToJsonString(*message, &out, options);
    if (!status.ok()) return base::internal_error(status.ToString());
    return out;
}

base::Result<std::optional<std::string>> take_object(std::string* pending) {
    const auto begin = pending->find_first_not_of(" \t\r\n");
    if (begin == pending->npos) {
        pending->clear();
        return std::optional<std::string>();
    }
    if ((*pending)[begin] != '{') return base::invalid_argument("the request is no JSON object");
    int depth = 0;
    bool quoted = false;
    for (std::size_t i = begin; i < pending->size(); ++i) {
        const char c = (*pending)[i];
        if (quoted) {
            if (c == '\\') ++i;
            if (c == '"') quoted = false;
            continue;
        }
        if (c == '"') quoted = true;
        if (c == '{' || c == '[') ++depth;
        if (c == '}' || c == ']') --depth;
        if (depth > 0) continue;
        std::optional<std::string> out(pending->substr(begin, i + 1 - begin));
        pending->erase(0, i + 1);
        return out;
    }
    return std::optional<std::string>();
}

int http_status(base::Code code) {
    switch (code) {
        case base::Code::kCancelled:
            return 408;
        case base::Code::kInvalidArgument:
        case base::Code::kFailedPrecondition:
        case base::Code::kOutOfRange:
            return 400;
        case base::Code::kUnauthenticated:
            return 401;
        case base::Code::kPermissionDenied:
            return 403;
        case base::Code::kNotFound:
            return 404;
        case base::Code::kAlreadyExists:
        case base::Code::kAborted:
            return 409;
        case base::Code::kResourceExhausted:
            return 429;
        case base::Code::kUnimplemented:
            return 501;
        case base::Code::kUnavailable:
            return 503;
        case base::Code::kDeadlineExceeded:
            return 504;
        case base::Code::kUnknown:
        case base::Code::kInternal:
        case base::Code::kDataLoss:
            break;
    }
    return 500;
}

std::string error_body(const base::Error& error, bool streamed) {
    const int code = static_cast<int>(error.code);
    if (!streamed)
        return boost::json::serialize(boost::json::object{
            {"error", error.message}, {"code", code}, {"message", error.message}});
    return boost::json::serialize(
        boost::json::object{{"error", boost::json::object{{"grpc_code", code},
                                                          {"http_code", http_status(error.code)},
                                                          {"message", error.message}}}});
}

}  // namespace kvstore::json
