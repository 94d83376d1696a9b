#pragma once
// Restoring: a snapshot file, Coxswain's or etcd's, becomes the database and the log of one member
// of a new cluster. Each member is made by itself, from the same file and options, and all come out
// alike: they begin at the same log position with the same content and the same membership.
// Blocking; any thread.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "kvstore/backup/snapshot_file.h"
#include "kvstore/replica/replica.h"

namespace kvstore {

struct RestoreOptions {
    std::string snapshot;
    // Whether the file may have no SHA-256: an etcd member's own, of which nobody can tell whether
    // it is damaged. InvalidArgument otherwise.
    bool without_checksum = false;
    // Gets `db` and `log`. Must not hold them yet; what is there after an error is of no use.
    std::string directory;
    raft::NodeId id;
    // All of them, this one included.
    std::vector<Member> members;
    // Of the cluster, once it is known what the snapshot holds.
    std::function<std::uint64_t(const SnapshotSummary&)> cluster_id;
    // Added to the snapshot's revision, so that no client has seen what comes then.
    std::int64_t bump_revision = 0;
    // Everything before the revision that the store then has counts as compacted: watchers that
    // would go on from an old revision are told so.
    bool mark_compacted = false;
};

struct Restored {
    std::uint64_t cluster_id = 0;
    SnapshotSummary snapshot;
    std::int64_t revision = 0;  // after the bump
};

// Values at every revision, leases (with the time that their last checkpoint left them), users and
// roles stay. DataLoss: the file is damaged; nothing is written then.
base::Result<Restored> restore_snapshot(const RestoreOptions& options);

}  // namespace kvstore
