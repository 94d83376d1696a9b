#include "kvstore/auth/checks.h"

#include "kvstore/errors.h"
#include "kvstore/mvcc/store.h"
#include "kvstore/proto/command.pb.h"

namespace kvstore::auth {

namespace pb = etcdserverpb;

namespace {

// A lease takes its keys with it: who may not write them may neither revoke it nor put a key on it.
base::Status may_write_keys_of(const AuthState& auth, const MvccStore& store, const Caller& caller,
                               std::int64_t lease) {
    if (lease == 0 || auth.may_administrate(caller)) return {};
    for (const auto& key : store.lease_keys(lease))
        TRY_VOID(auth.may_write(caller, key, {}));
    return {};
}

base::Status may(const AuthState& auth, const MvccStore& store, const Caller& caller,
                 const pb::PutRequest& request) {
    TRY_VOID(auth.may_write(caller, request.key(), {}));
    TRY_VOID(may_write_keys_of(auth, store, caller, request.lease()));
    return request.prev_kv() ? auth.may_read(caller, request.key(), {}) : base::Status();
}

base::Status may(const AuthState& auth, const Caller& caller,
                 const pb::DeleteRangeRequest& request) {
    TRY_VOID(auth.may_write(caller, request.key(), request.range_end()));
    return request.prev_kv() ? auth.may_read(caller, request.key(), request.range_end())
                             : base::Status();
}

base::Status may(const AuthState& auth, const MvccStore& store, const Caller& caller,
                 const pb::RequestOp& op) {
    switch (op.request_case()) {
        case pb::RequestOp::kRequestRange:
            return may(auth, caller, op.request_range());
        case pb::RequestOp::kRequestPut:
            return may(auth, store, caller, op.request_put());
        case pb::RequestOp::kRequestDeleteRange:
            return may(auth, caller, op.request_delete_range());
        case pb::RequestOp::kRequestTxn:
            return may(auth, store, caller, op.request_txn());
        case pb::RequestOp::REQUEST_NOT_SET:
            break;
    }
    return {};
}

}  // namespace

base::Status may(const AuthState& auth, const Caller& caller, const pb::RangeRequest& request) {
    return auth.may_read(caller, request.key(), request.range_end());
}

base::Status may(const AuthState& auth, const MvccStore& store, const Caller& caller,
                 const pb::TxnRequest& request) {
    if (!auth.enabled() || caller.trusted) return {};
    // One without operations reads nothing, but tells the revision: it still takes a user.
    if (request.compare().empty() && request.success().empty() && request.failure().empty() &&
        caller.auth_revision == 0)
        return errors::user_empty();
    for (const auto& compare : request.compare())
        TRY_VOID(auth.may_read(caller, compare.key(), compare.range_end()));
    for (const auto& op : request.success())
        TRY_VOID(may(auth, store, caller, op));
    for (const auto& op : request.failure())
        TRY_VOID(may(auth, store, caller, op));
    return {};
}

base::Status may_list_keys_of(const AuthState& auth, const MvccStore& store, const Caller& caller,
                              std::int64_t lease) {
    if (auth.may_administrate(caller)) return {};
    for (const auto& key : store.lease_keys(lease))
        TRY_VOID(auth.may_read(caller, key, {}));
    return {};
}

base::Status may_apply(const AuthState& auth, const MvccStore& store, const Command& command) {
    if (!auth.enabled() || !command.has_caller()) return {};
    const Caller caller = Caller::named(command.caller().user(), command.caller().auth_revision());
    switch (command.op_case()) {
        case Command::kPut:
            return may(auth, store, caller, command.put());
        case Command::kDeleteRange:
            return may(auth, caller, command.delete_range());
        case Command::kTxn:
            return may(auth, store, caller, command.txn());
        case Command::kLeaseRevoke:
            return may_write_keys_of(auth, store, caller, command.lease_revoke().id());
        case Command::kAuthToken:
            // Its password was checked; the revision is looked at by whoever keeps the tokens.
            return {};
        default:
            return is_auth_change(command) ? auth.may_administrate(caller) : base::Status();
    }
}

bool is_auth_change(const Command& command) {
    const int number = command.op_case();
    return number >= Command::kAuthEnable && number <= Command::kAuthRoleRevokePermission &&
           number != Command::kAuthToken;
}

base::Status apply(AuthState* auth, const Command& c) {
    switch (c.op_case()) {
        case Command::kAuthEnable:
            return auth->enable();
        case Command::kAuthDisable:
            return auth->disable();
        case Command::kAuthUserAdd:
            return auth->add_user(c.auth_user_add());
        case Command::kAuthUserDelete:
            return auth->delete_user(c.auth_user_delete().name());
        case Command::kAuthUserChangePassword:
            return auth->change_password(c.auth_user_change_password().name(),
                                         c.auth_user_change_password().hashedpassword());
        case Command::kAuthUserGrantRole:
            return auth->grant_role(c.auth_user_grant_role().user(),
                                    c.auth_user_grant_role().role());
        case Command::kAuthUserRevokeRole:
            return auth->revoke_role(c.auth_user_revoke_role().name(),
                                     c.auth_user_revoke_role().role());
        case Command::kAuthRoleAdd:
            return auth->add_role(c.auth_role_add().name());
        case Command::kAuthRoleDelete:
            return auth->delete_role(c.auth_role_delete().role());
        case Command::kAuthRoleGrantPermission:
            return auth->grant_permission(c.auth_role_grant_permission());
        case Command::kAuthRoleRevokePermission:
            return auth->revoke_permission(c.auth_role_revoke_permission());
        default:
            return base::internal_error("an entry that changes no user and no role");
    }
}

}  // namespace kvstore::auth
