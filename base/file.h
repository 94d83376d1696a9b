#pragma once
// Helpers with files, for start-up, configuration and tools: blocking, so never on a loop that
// serves requests.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace base {

// The whole content. NotFound, PermissionDenied, … with the path in the message.
Result<std::string> read_file(const std::string& path);
// Replaces `path` by a file with `content`, whole or not at all: written beside it, synced,
// renamed, directory synced. `mode` is the permission bits of a new file (use 0600 for keys).
Status write_file_atomic(const std::string& path, std::string_view content, unsigned mode = 0644);
// All of it. `path` names the file in errors.
Status write_all(int fd, std::string_view bytes, const std::string& path);
// A file without a name, which is gone with this.
class UnnamedFile {
  public:
    // In this directory's file system.
    static Result<std::unique_ptr<UnnamedFile>> open(const std::string& directory);
    ~UnnamedFile();
    UnnamedFile(const UnnamedFile&) = delete;
    UnnamedFile& operator=(const UnnamedFile&) = delete;

    int fd() const { return fd_; }
    // What it is called in errors.
    const std::string& path() const { return path_; }
    // `bytes` from `at` on. DataLoss when it is shorter.
    Result<std::string> read(std::uint64_t at, std::size_t bytes) const;

  private:
    UnnamedFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
    int fd_;
    std::string path_;
};

// What was made, renamed or removed in it is durable. "": the present directory.
Status sync_directory(const std::string& path);
// Makes the directory and its parents; no error when it is there.
Status make_directories(const std::string& path, unsigned mode = 0755);
// For an ordinary user, on the file system that `path` lies in; 0 where it does not say.
std::uint64_t free_bytes(const std::string& path);

}  // namespace base
