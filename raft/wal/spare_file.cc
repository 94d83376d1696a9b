#include "raft/wal/spare_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <string_view>
#include <thread>

#include "base/file.h"

namespace raft {
namespace {

constexpr std::size_t kPiece = 256 << 10;

}  // namespace

SpareFile::SpareFile(const std::string& directory)
    : directory_(directory), path_(directory + "/.spare") {
    ::unlink(path_.c_str());
}

SpareFile::~SpareFile() {
    closing_ = true;
    thread_.reset();
    ::unlink(path_.c_str());
}

void SpareFile::prepare(std::uint64_t bytes, std::uint64_t reserve) {
    if (state_ == State::kMaking || (ready() && bytes_ == bytes)) return;
    state_ = State::kMaking;
    bytes_ = bytes;
    thread_->submit(
        [this, bytes, reserve] { state_ = make(bytes, reserve) ? State::kReady : State::kNone; });
}

bool SpareFile::take(std::uint64_t bytes, const std::string& path) {
    if (!ready() || bytes_ != bytes) return false;
    state_ = State::kNone;
    return ::rename(path_.c_str(), path.c_str()) == 0;
}

bool SpareFile::make(std::uint64_t bytes, std::uint64_t reserve) const {
    if (base::free_bytes(directory_) < bytes + reserve) return false;
    const int fd = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) return false;
    // At once, so that it lies in one piece. Where that is not known, it grows.
    (void)::fallocate(fd, 0, 0, static_cast<off_t>(bytes));
    const std::string zeros(kPiece, '\0');
    bool good = true;
    for (std::uint64_t at = 0; good && at < bytes && !closing_; at += kPiece) {
        const auto begin = std::chrono::steady_clock::now();
        const auto piece = std::string_view(zeros).substr(0, bytes - at);
        good = base::write_all(fd, piece, path_) &&
               ::sync_file_range(fd, static_cast<off_t>(at), static_cast<off_t>(piece.size()),
                                 SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER) == 0;
        // Half of the disk's time is for those who wait for it.
        std::this_thread::sleep_for(std::chrono::steady_clock::now() - begin);
    }
    good = good && !closing_ && ::fdatasync(fd) == 0;
    ::close(fd);
    if (!good) ::unlink(path_.c_str());
    return good;
}

}  // namespace raft
