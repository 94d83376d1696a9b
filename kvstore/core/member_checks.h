#pragma once
// What must hold before a member is added, promoted or removed, as etcd's strict reconfiguration
// check has it. Pure.

#include <string>
#include <vector>

#include "base/result.h"
#include "kvstore/replica/replica.h"

namespace kvstore {

// InvalidArgument unless there is at least one URL and all are http(s)://host:port without a path
// and without repetition. FailedPrecondition when a member other than `self` has one of them.
base::Status check_peer_urls(const std::vector<Member>& members, raft::NodeId self,
                             const std::vector<std::string>& urls);
// A member counts as started once it has published its name. With one voter more, a majority must
// have started; one voter may always get a second.
base::Status check_add_voter(const std::vector<Member>& members);
// At most `most` at one time.
base::Status check_add_learner(const std::vector<Member>& members, int most);
// A majority of the voters that stay must have started; the last voter stays.
base::Status check_remove(const std::vector<Member>& members, raft::NodeId id);
// It counts as a voter of the larger cluster, started or not.
base::Status check_promote(const std::vector<Member>& members, raft::NodeId id);

// Promotions and removals in one step: at least one, each of a member, none of a member twice; a
// majority of the voters after it must have started.
base::Status check_change(const std::vector<Member>& members,
                          const std::vector<MembershipChange>& changes);

}  // namespace kvstore
