// The node's half that is about users and roles.

#include "kvstore/auth/checks.h"
#include "kvstore/node_calls.h"

namespace kvstore {

namespace pb = etcdserverpb;

void Node::auth_change(Command command, Done<pb::AuthEnableResponse> done, Caller caller) {
    propose<pb::AuthEnableResponse>(std::move(command), std::move(done), caller);
}

void Node::auth_read(base::UniqueFunction<void(base::Status)> read) {
    after_read_index(std::move(read));
}

void Node::list_lease_keys(pb::LeaseTimeToLiveResponse response,
                           Done<pb::LeaseTimeToLiveResponse> done, const Caller& caller) {
    after_read_index(
        [this, caller, r = std::move(response), d = std::move(done)](base::Status ready) mutable {
            if (!ready) return d(ready.error());
            const MvccStore& store = machine_.store();
            if (auto may = auth::may_list_keys_of(machine_.auth(), store, caller, r.id()); !may)
                return d(may.error());
            for (const auto& key : store.lease_keys(r.id()))
                r.add_keys(key);
            d(std::move(r));
        });
}

}  // namespace kvstore
