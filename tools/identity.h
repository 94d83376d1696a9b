#pragma once
// Who a member is: its id and its cluster's, kept in the data directory from its first start on, so
// that later flags cannot make it somebody else. A member that joins learns them from the cluster.
// Blocking; main thread, before the store's loop serves.

#include <cstdint>
#include <optional>
#include <vector>

#include "base/result.h"
#include "kvstore/replica/replica.h"
#include "tools/config.h"

namespace tools {

struct Identity {
    std::uint64_t cluster = 0;
    std::uint64_t id = 0;
    // Of a member that joined: where the others were then (ids and peer URLs).
    std::vector<kvstore::Member> others;
    bool joined = false;
};

// Lines "cluster HEX", "member HEX", "joined", "peer HEX URL"; DataLoss when they cannot be read.
std::string encode(const Identity& identity);
base::Result<Identity> decode_identity(const std::string& text);

// What the data directory says; else what the cluster behind --join says, asked for half a minute;
// else what follows from --initial-cluster. Written down before it is answered.
base::Result<Identity> find_identity(const Config& config);

// This member's URL for the others.
std::string advertised_peer(const Config& config);

}  // namespace tools
