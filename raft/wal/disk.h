#pragma once
// Disk: one directory of files as the write-ahead log sees it, with writes that run elsewhere.
// Reads are synchronous (start-up, and old entries for a slow follower, mostly from the page
// cache); writes are batches carried out in order on a disk thread. Implementations: PosixDisk
// (raft/wal/posix_disk.h) and the simulator's.
//
// A batch: first its creations, then its writes, then everything touched is made durable (files and
// directory entries), then its removals. Batches that wait while the disk is busy are carried out
// together with one sync a file (group commit); a batch with `barrier` is not joined with those
// before it.
//
// Failures: a full disk is not one: the batch waits and is tried again (see on_trouble). Any other
// failed write or sync ends the process, because what is on disk is unknown then.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/function.h"
#include "base/result.h"

namespace raft {

struct DiskBatch {
    struct Create {
        std::string name;
        std::uint64_t bytes;     // preallocated, zeros
        std::uint64_t next = 0;  // if known, the size of the one that follows when this is full
    };
    struct Write {
        std::string name;
        std::uint64_t offset;
        std::string data;
    };
    std::vector<Create> creates;
    std::vector<Write> writes;
    std::vector<std::string> removes;
    bool barrier = false;

    bool empty() const { return creates.empty() && writes.empty() && removes.empty(); }
};

class Disk {
  public:
    virtual ~Disk() = default;

    // Names in the directory, sorted.
    virtual base::Result<std::vector<std::string>> list() = 0;
    // Up to `length` bytes at `offset`, less at the end of the file. NotFound if there is no such
    // file. Sees submitted writes that are durable; whether others, is open.
    virtual base::Result<std::string> read(const std::string& name, std::uint64_t offset,
                                           std::uint64_t length) = 0;
    // `done` runs on the submitter's loop, in the order of submission, once the batch is durable.
    virtual void submit(DiskBatch batch, base::UniqueFunction<void()> done) = 0;
    // `f` is told of trouble that stops writing (a full disk) and, with OK, of its end.
    virtual void on_trouble(base::UniqueFunction<void(base::Status)> f) = 0;
    // How many bytes are free, about. Asks the file system, and blocks no longer than that.
    virtual std::uint64_t room() const { return UINT64_MAX; }
};

}  // namespace raft
