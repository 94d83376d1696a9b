#pragma once
// etcd's errors that a replica answers with (code and text as in etcd's api/v3rpc/rpctypes).

#include "base/error.h"
#include "raft/core/config.h"

namespace kvstore {

base::Error error_no_leader();
base::Error error_timeout();
base::Error error_timeout_leader_failed();
base::Error error_too_many_requests();
base::Error error_request_too_large();
base::Error error_stopped();
base::Error error_no_space();
base::Error error_for(raft::Reject reject);

}  // namespace kvstore
