#pragma once
// The store's errors with etcd's exact texts (shared facts: etcd's rpctypes); clients map the text
// back to their own error values, so no word of them changes.

#include "base/error.h"

namespace kvstore::errors {

inline base::Error empty_key() {
    return base::invalid_argument("etcdserver: key is not provided");
}
inline base::Error key_not_found() {
    return base::invalid_argument("etcdserver: key not found");
}
inline base::Error value_provided() {
    return base::invalid_argument("etcdserver: value is provided");
}
inline base::Error lease_provided() {
    return base::invalid_argument("etcdserver: lease is provided");
}
inline base::Error too_many_ops() {
    return base::invalid_argument("etcdserver: too many operations in txn request");
}
inline base::Error duplicate_key() {
    return base::invalid_argument("etcdserver: duplicate key given in txn request");
}
inline base::Error invalid_sort_option() {
    return base::invalid_argument("etcdserver: invalid sort option");
}
inline base::Error compacted() {
    return {base::Code::kOutOfRange, "etcdserver: mvcc: required revision has been compacted"};
}
inline base::Error future_revision() {
    return {base::Code::kOutOfRange, "etcdserver: mvcc: required revision is a future revision"};
}
inline base::Error no_space() {
    return {base::Code::kResourceExhausted, "etcdserver: mvcc: database space exceeded"};
}
inline base::Error lease_not_found() {
    return base::not_found("etcdserver: requested lease not found");
}
inline base::Error lease_exists() {
    return {base::Code::kFailedPrecondition, "etcdserver: lease already exists"};
}
inline base::Error lease_ttl_too_large() {
    return {base::Code::kOutOfRange, "etcdserver: too large lease TTL"};
}
inline base::Error request_too_large() {
    return base::invalid_argument("etcdserver: request is too large");
}
inline base::Error too_many_requests() {
    return {base::Code::kResourceExhausted, "etcdserver: too many requests"};
}
inline base::Error no_leader() {
    return base::unavailable("etcdserver: no leader");
}
inline base::Error not_leader() {
    return {base::Code::kFailedPrecondition, "etcdserver: not leader"};
}
inline base::Error leader_changed() {
    return base::unavailable("etcdserver: leader changed");
}
inline base::Error stopped() {
    return base::unavailable("etcdserver: server stopped");
}
inline base::Error timeout_leader_failed() {
    return base::unavailable(
        "etcdserver: request timed out, possibly due to previous leader failure");
}
inline base::Error timeout() {
    return base::unavailable("etcdserver: request timed out");
}
inline base::Error bad_leader_transferee() {
    return {base::Code::kFailedPrecondition, "etcdserver: bad leader transferee"};
}

// Users and roles.
inline base::Error root_user_not_exist() {
    return {base::Code::kFailedPrecondition, "etcdserver: root user does not exist"};
}
inline base::Error root_role_not_exist() {
    return {base::Code::kFailedPrecondition, "etcdserver: root user does not have root role"};
}
inline base::Error user_already_exist() {
    return {base::Code::kFailedPrecondition, "etcdserver: user name already exists"};
}
inline base::Error user_empty() {
    return {base::Code::kInvalidArgument, "etcdserver: user name is empty"};
}
inline base::Error user_not_found() {
    return {base::Code::kFailedPrecondition, "etcdserver: user name not found"};
}
inline base::Error role_already_exist() {
    return {base::Code::kFailedPrecondition, "etcdserver: role name already exists"};
}
inline base::Error role_not_found() {
    return {base::Code::kFailedPrecondition, "etcdserver: role name not found"};
}
inline base::Error role_empty() {
    return {base::Code::kInvalidArgument, "etcdserver: role name is empty"};
}
inline base::Error auth_failed() {
    return {base::Code::kInvalidArgument,
            "etcdserver: authentication failed, invalid user ID or password"};
}
inline base::Error permission_not_given() {
    return {base::Code::kInvalidArgument, "etcdserver: permission not given"};
}
inline base::Error permission_denied() {
    return {base::Code::kPermissionDenied, "etcdserver: permission denied"};
}
inline base::Error role_not_granted() {
    return {base::Code::kFailedPrecondition, "etcdserver: role is not granted to the user"};
}
inline base::Error permission_not_granted() {
    return {base::Code::kFailedPrecondition, "etcdserver: permission is not granted to the role"};
}
inline base::Error auth_not_enabled() {
    return {base::Code::kFailedPrecondition, "etcdserver: authentication is not enabled"};
}
inline base::Error invalid_auth_token() {
    return {base::Code::kUnauthenticated, "etcdserver: invalid auth token"};
}
inline base::Error invalid_auth_mgmt() {
    return {base::Code::kInvalidArgument, "etcdserver: invalid auth management"};
}
inline base::Error auth_old_revision() {
    return {base::Code::kInvalidArgument, "etcdserver: revision of auth store is old"};
}
inline base::Error corrupt() {
    return base::data_loss("etcdserver: corrupt cluster");
}
inline base::Error bad_member_urls() {
    return base::invalid_argument("etcdserver: given member URLs are invalid");
}
inline base::Error peer_url_exists() {
    return {base::Code::kFailedPrecondition, "etcdserver: Peer URLs already exists"};
}
inline base::Error not_enough_started() {
    return {base::Code::kFailedPrecondition,
            "etcdserver: re-configuration failed due to not enough started members"};
}
inline base::Error member_not_found() {
    return base::not_found("etcdserver: member not found");
}
inline base::Error not_learner() {
    return {base::Code::kFailedPrecondition, "etcdserver: can only promote a learner member"};
}
inline base::Error too_many_learners() {
    return {base::Code::kFailedPrecondition, "etcdserver: too many learner members in cluster"};
}
inline base::Error unhealthy() {
    return base::unavailable("etcdserver: unhealthy cluster");
}
inline base::Error not_supported_for_learner() {
    return {base::Code::kFailedPrecondition, "etcdserver: rpc not supported for learner"};
}
inline base::Error wrong_downgrade_version() {
    return base::invalid_argument("etcdserver: wrong downgrade target version format");
}
inline base::Error invalid_downgrade_target() {
    return base::invalid_argument("etcdserver: invalid downgrade target version");
}
inline base::Error no_downgrade() {
    return {base::Code::kFailedPrecondition, "etcdserver: no inflight downgrade job"};
}

}  // namespace kvstore::errors
