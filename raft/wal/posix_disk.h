#pragma once
// PosixDisk: a Disk on a directory of the real file system, with a disk thread of its own. Used and
// calls back on the owner's loop.

#include <cstdint>
#include <memory>
#include <string>

#include "base/loop.h"
#include "raft/wal/disk.h"

namespace raft {

class PosixDisk final : public Disk {
  public:
    // A segment is made only when so much space is left beside it (for the first since the start:
    // half of it, so that a member also starts on a full disk): what is logged also goes into the
    // state machine's database, which shares the file system and, unlike the log, cannot wait.
    static constexpr std::uint64_t kReservedBytes = std::uint64_t{64} << 20;

    // Makes the directory (0700) if it is not there, and locks it: Unavailable when another process
    // has it.
    static base::Result<std::unique_ptr<PosixDisk>> open(base::Loop& owner,
                                                         const std::string& directory);
    // Finishes the batch that is being written, drops the others.
    ~PosixDisk() override;

    base::Result<std::vector<std::string>> list() override;
    base::Result<std::string> read(const std::string& name, std::uint64_t offset,
                                   std::uint64_t length) override;
    void submit(DiskBatch batch, base::UniqueFunction<void()> done) override;
    void on_trouble(base::UniqueFunction<void(base::Status)> f) override;
    // Nothing where the file system does not say.
    std::uint64_t room() const override;

    struct Impl;

  private:
    explicit PosixDisk(std::shared_ptr<Impl> impl);
    std::shared_ptr<Impl> impl_;
};

}  // namespace raft
