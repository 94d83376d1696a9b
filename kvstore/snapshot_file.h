#pragma once
// Snapshot files: what `coxctl snapshot save` and `etcdctl snapshot save` write when the store is
// Coxswain: the stream of kvstore/mvcc/snapshot.h, zeros up to a multiple of 512 bytes, and the
// SHA-256 of all that. Blocking; any thread.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace kvstore {

struct SnapshotSummary {
    std::uint32_t hash = 0;  // the stream's CRC-32C
    std::string sha256;      // hexadecimal
    std::int64_t revision = 1;
    std::int64_t compacted = 0;
    std::uint64_t keys = 0;      // that live
    std::uint64_t versions = 0;  // of keys, of every age, deletions included
    std::uint64_t leases = 0;
    std::uint64_t users = 0;
    std::uint64_t bytes = 0;  // of the file
};

using OnSnapshotEntry = std::function<void(std::string_view key, std::string_view value)>;

// Reads the whole file. DataLoss, which names the file and what is wrong with it, when it is cut
// short, damaged anywhere, or something else: what `on_entry` was given is then to be thrown away.
base::Result<SnapshotSummary> read_snapshot_file(const std::string& path,
                                                 const OnSnapshotEntry& on_entry = nullptr);

}  // namespace kvstore
