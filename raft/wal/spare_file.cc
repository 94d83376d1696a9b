#include "raft/wal/spare_file.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string_view>
#include <thread>

namespace raft {
namespace {

constexpr std::size_t kPiece = 256 << 10;

bool write_all(int fd, std::string_view data, off_t offset) {
    while (!data.empty()) {
        const ssize_t n = ::pwrite(fd, data.data(), data.size(), offset);
        if (n < 0) return false;
        data.remove_prefix(static_cast<std::size_t>(n));
        offset += n;
    }
    return true;
}

}  // namespace

SpareFile::SpareFile(const std::string& directory) : path_(directory + "/.spare") {
    ::unlink(path_.c_str());
    thread_.start();
}

SpareFile::~SpareFile() {
    closing_ = true;
    thread_.stop();
    thread_.join();
    ::unlink(path_.c_str());
}

void SpareFile::prepare(std::uint64_t bytes, std::uint64_t reserve) {
    if (state_ == State::kMaking || (state_ == State::kReady && bytes_ == bytes)) return;
    state_ = State::kMaking;
    bytes_ = bytes;
    thread_.post(
        [this, bytes, reserve] { state_ = make(bytes, reserve) ? State::kReady : State::kNone; });
}

bool SpareFile::take(std::uint64_t bytes, const std::string& path) {
    if (state_ != State::kReady || bytes_ != bytes) return false;
    state_ = State::kNone;
    return ::rename(path_.c_str(), path.c_str()) == 0;
}

bool SpareFile::make(std::uint64_t bytes, std::uint64_t reserve) const {
    const int fd = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) return false;
    struct statvfs room {};
    bool good = ::fstatvfs(fd, &room) == 0 && room.f_bavail * room.f_frsize >= bytes + reserve;
    // At once, so that it lies in one piece. Where that is not known, it grows.
    if (good) (void)::fallocate(fd, 0, 0, static_cast<off_t>(bytes));
    const std::string zeros(kPiece, '\0');
    for (std::uint64_t at = 0; good && at < bytes && !closing_; at += kPiece) {
        const auto begin = std::chrono::steady_clock::now();
        const std::size_t size = std::min<std::uint64_t>(kPiece, bytes - at);
        const auto offset = static_cast<off_t>(at);
        good = write_all(fd, std::string_view(zeros).substr(0, size), offset) &&
               ::sync_file_range(fd, offset, static_cast<off_t>(size),
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
