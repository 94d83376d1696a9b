#pragma once
// What a caller needs for each kind of request: every place where permissions are looked at goes
// through here. Pure. All answer OK at the cost of one branch while auth is off. Rules are etcd's,
// and nested transactions are looked at like their parents.

#include "base/result.h"
#include "kvstore/auth/auth_state.h"

namespace etcdserverpb {
class LeaseTimeToLiveRequest;
class RangeRequest;
class TxnRequest;
}  // namespace etcdserverpb

namespace kvstore {
class Command;
class MvccStore;
}  // namespace kvstore

namespace kvstore::auth {

base::Status may(const AuthState& auth, const Caller& caller,
                 const etcdserverpb::RangeRequest& request);
// Every compare and both branches, whichever would be taken. `store` tells the keys of leases that
// it puts keys on.
base::Status may(const AuthState& auth, const MvccStore& store, const Caller& caller,
                 const etcdserverpb::TxnRequest& request);
// Only who may read all of a lease's keys may have them listed.
base::Status may_list_keys_of(const AuthState& auth, const MvccStore& store, const Caller& caller,
                              std::int64_t lease);
// For an entry of the log, by its own caller.
base::Status may_apply(const AuthState& auth, const MvccStore& store, const Command& command);

// Applies an entry that changes users or roles; false when it is none of those.
bool is_auth_change(const Command& command);
base::Status apply(AuthState* auth, const Command& command);

}  // namespace kvstore::auth
