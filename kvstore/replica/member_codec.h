#pragma once
// Members as the consensus core carries them: id and learner flag in the clear, name and URLs as
// the opaque context. Pure.

#include <optional>
#include <string>
#include <vector>

#include "kvstore/replica/replica.h"
#include "raft/core/config.h"

namespace kvstore {

raft::Peer to_peer(const Member& member);
// A context that cannot be read gives a member without name and URLs.
Member to_member(const raft::Peer& peer);
raft::Config to_config(const std::vector<Member>& members);
// In a joint membership also those that are about to leave.
std::vector<Member> to_members(const raft::Config& config);

}  // namespace kvstore
