#pragma once
// SpareFile: a file of zeros that is made ahead of need, on a thread of its own. To write where
// blocks were written before is what a file system syncs fastest: it has nothing to note about
// where they are. (For the same reason PostgreSQL fills its log's files with zeros.)

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>

#include "base/loop.h"

namespace raft {

class SpareFile {
  public:
    // In `directory`, under a name that begins with a dot. What an earlier process left is removed.
    explicit SpareFile(const std::string& directory);
    // Stops the thread once a piece of 256 KB is written, and removes the file.
    ~SpareFile();
    SpareFile(const SpareFile&) = delete;
    SpareFile& operator=(const SpareFile&) = delete;

    // Begins to make one of `bytes`, unless there is one or it is being made, or less than
    // `reserve` bytes would be left free beside it. Failing is no error: nobody depends on it. From
    // one thread, as take().
    void prepare(std::uint64_t bytes, std::uint64_t reserve);
    // Whether there is one that take() could give.
    bool ready() const { return state_ == State::kReady; }
    // Gives the file the name `path`, where there is none, if it is ready and has so many bytes,
    // which are durable. The name is not yet.
    bool take(std::uint64_t bytes, const std::string& path);

  private:
    enum class State { kNone, kMaking, kReady };
    bool make(std::uint64_t bytes, std::uint64_t reserve) const;

    std::string directory_;
    std::string path_;
    std::atomic<State> state_{State::kNone};
    std::atomic<bool> closing_{false};
    std::uint64_t bytes_ = 0;
    std::optional<base::WorkerPool> thread_{std::in_place, "spare", 1};
};

}  // namespace raft
