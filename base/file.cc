#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "base/random.h"

namespace base {
namespace {

class Fd {
  public:
    explicit Fd(int fd) : fd_(fd) {}
    ~Fd() {
        if (fd_ >= 0) ::close(fd_);
    }
    Fd(const Fd&) = delete;
    Fd& operator=(const Fd&) = delete;
    int get() const { return fd_; }

  private:
    int fd_;
};

}  // namespace

Status write_all(int fd, std::string_view bytes, const std::string& path) {
    while (!bytes.empty()) {
        const ssize_t n = ::write(fd, bytes.data(), bytes.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno_error(errno, "write " + path);
        bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return {};
}

Result<std::unique_ptr<UnnamedFile>> UnnamedFile::open(const std::string& directory) {
    const std::string path = directory + "/unnamed-" + random_uuid();
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return errno_error(errno, "create " + path);
    ::unlink(path.c_str());
    return std::unique_ptr<UnnamedFile>(new UnnamedFile(fd, "a temporary file in " + directory));
}

UnnamedFile::~UnnamedFile() {
    ::close(fd_);
}

Result<std::string> UnnamedFile::read(std::uint64_t at, std::size_t bytes) const {
    std::string out(bytes, '\0');
    for (std::size_t got = 0; got < bytes;) {
        const ssize_t n = ::pread(fd_, out.data() + got, bytes - got, static_cast<off_t>(at + got));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno_error(errno, "read " + path_);
        if (n == 0) return data_loss(path_ + " is shorter than it was");
        got += static_cast<std::size_t>(n);
    }
    return out;
}

Status sync_directory(const std::string& path) {
    const std::string name = path.empty() ? "." : path;
    Fd fd(::open(name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (fd.get() < 0) return errno_error(errno, "open " + name);
    if (::fsync(fd.get()) != 0) return errno_error(errno, "fsync " + name);
    return {};
}

Result<std::string> read_file(const std::string& path) {
    Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (fd.get() < 0) return errno_error(errno, "open " + path);
    std::string content;
    char buffer[65536];
    for (;;) {
        const ssize_t n = ::read(fd.get(), buffer, sizeof buffer);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno_error(errno, "read " + path);
        if (n == 0) return content;
        content.append(buffer, static_cast<std::size_t>(n));
    }
}

Status write_file_atomic(const std::string& path, std::string_view content, unsigned mode) {
    const std::string temporary = path + ".tmp";
    {
        Fd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));
        if (fd.get() < 0) return errno_error(errno, "create " + temporary);
        TRY_VOID(write_all(fd.get(), content, temporary));
        if (::fsync(fd.get()) != 0) return errno_error(errno, "fsync " + temporary);
    }
    if (::rename(temporary.c_str(), path.c_str()) != 0)
        return errno_error(errno, "rename " + temporary);
    return sync_directory(std::filesystem::path(path).parent_path());
}

Status make_directories(const std::string& path, unsigned mode) {
    std::error_code ec;
    if (std::filesystem::is_directory(path, ec)) return {};
    std::filesystem::create_directories(path, ec);
    if (ec) return errno_error(ec.value(), "mkdir " + path);
    if (::chmod(path.c_str(), mode) != 0) return errno_error(errno, "chmod " + path);
    return {};
}

std::uint64_t free_bytes(const std::string& path) {
    std::error_code failed;
    const auto space = std::filesystem::space(path, failed);
    return failed ? 0 : space.available;
}

}  // namespace base
