#pragma once
// What the consensus core's refusals are to the store's clients.

#include "kvstore/errors.h"
#include "raft/core/config.h"

namespace kvstore::errors {

base::Error of(raft::Reject reject);

}  // namespace kvstore::errors
