#include "raft/wal/posix_disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <thread>

#include "base/file.h"
#include "base/log.h"
#include "base/metrics.h"
#include "raft/wal/spare_file.h"

namespace raft {
namespace {

// Says so and ends the process: what is on disk is unknown now.
[[noreturn]] void storage_failed(const base::Error& error) {
    LOG_ERROR("wal", "storage failed, ending the process: {}", error.to_string());
    std::_Exit(74);
}

base::Histogram& sync_seconds() {
    static base::Histogram& h = base::metrics().histogram(
        "etcd_disk_wal_fsync_duration_seconds", "How long a sync of the log takes.",
        {0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256,
         0.512, 1.024, 2.048, 4.096, 8.192});
    return h;
}

// Carries out batches; lives on the disk thread.
class Writer {
  public:
    explicit Writer(const std::string& directory) : directory_(directory), spare_(directory) {}
    ~Writer() {
        for (const auto& [name, fd] : open_)
            ::close(fd);
    }

    // ResourceExhausted: the disk is full; may be run again as a whole.
    base::Status run(const DiskBatch& batch) {
        for (const auto& create : batch.creates)
            TRY_VOID(make(create));
        for (const auto& write : batch.writes)
            TRY_VOID(put(write));
        sync();
        for (const std::string& name : batch.removes)
            remove(name);
        return {};
    }

  private:
    static base::Status failed(const std::string& what) {
        const int err = errno;
        base::Error error = base::errno_error(err, what);
        if (err != ENOSPC && err != EDQUOT) storage_failed(error);
        return base::Error(base::Code::kResourceExhausted, error.message);
    }

    base::Result<int> handle(const std::string& name) {
        const auto it = open_.find(name);
        if (it != open_.end()) return it->second;
        const std::string path = directory_ + "/" + name;
        struct stat info {};
        const bool is_new = ::stat(path.c_str(), &info) != 0;
        const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0) return failed("open " + path).error();
        if (is_new) directory_changed_ = true;
        if (open_.size() >= 8) {
            const auto idle = std::find_if(open_.begin(), open_.end(), [this](const auto& file) {
                return dirty_.count(file.first) == 0;
            });
            if (idle != open_.end()) {
                ::close(idle->second);
                open_.erase(idle);
            }
        }
        open_[name] = fd;
        return fd;
    }

    base::Status make(const DiskBatch::Create& create) {
        // The first one since the start may take half of what is reserved: on a full disk a member
        // starts, too.
        const std::uint64_t reserved = PosixDisk::kReservedBytes / (made_any_ ? 1 : 2);
        const std::string path = directory_ + "/" + create.name;
        if (::access(path.c_str(), F_OK) != 0 && base::free_bytes(directory_) >= reserved &&
            spare_.take(create.bytes, path))
            directory_changed_ = true;
        TRY(const int fd, handle(create.name));
        dirty_.insert(create.name);
        struct stat info {};
        if (::fstat(fd, &info) != 0) return failed(create.name);
        // The spare file has it already, and that of a batch that is tried again.
        const std::uint64_t has = static_cast<std::uint64_t>(info.st_blocks) * 512;
        if (has < create.bytes && base::free_bytes(directory_) < create.bytes - has + reserved) {
            errno = ENOSPC;
            return failed("allocate " + create.name);
        }
        const auto size = static_cast<off_t>(create.bytes);
        int rc = 0;
        do {
            rc = ::fallocate(fd, 0, 0, size);
        } while (rc != 0 && errno == EINTR);
        if (rc != 0 && errno == EOPNOTSUPP) rc = ::ftruncate(fd, size);
        if (rc != 0) return failed("allocate " + create.name);
        made_any_ = true;
        // Small beside those to come: they are filled with zeros ahead of need, this one now.
        if (create.bytes < create.next)
            TRY_VOID(put({create.name, 0, std::string(create.bytes, '\0')}));
        filling_ = create;
        return {};
    }

    base::Status put(const DiskBatch::Write& write) {
        TRY(const int fd, handle(write.name));
        dirty_.insert(write.name);
        if (filling_.next > 0 && write.name == filling_.name &&
            write.offset + write.data.size() > filling_.bytes / 2)
            spare_.prepare(filling_.next, PosixDisk::kReservedBytes);
        std::string_view rest = write.data;
        auto offset = static_cast<off_t>(write.offset);
        while (!rest.empty()) {
            const ssize_t n = ::pwrite(fd, rest.data(), rest.size(), offset);
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) return failed("write " + write.name);
            rest.remove_prefix(static_cast<std::size_t>(n));
            offset += n;
        }
        return {};
    }

    void sync() {
        const auto start = std::chrono::steady_clock::now();
        for (const std::string& name : dirty_)
            if (::fdatasync(open_.at(name)) != 0)
                storage_failed(base::errno_error(errno, "fdatasync " + name));
        if (!dirty_.empty())
            sync_seconds().observe(
                std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
        dirty_.clear();
        if (!directory_changed_) return;
        const int fd = ::open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || ::fsync(fd) != 0)
            storage_failed(base::errno_error(errno, "fsync " + directory_));
        ::close(fd);
        directory_changed_ = false;
    }

    void remove(const std::string& name) {
        const auto it = open_.find(name);
        if (it != open_.end()) {
            ::close(it->second);
            open_.erase(it);
        }
        const std::string path = directory_ + "/" + name;
        if (::unlink(path.c_str()) != 0 && errno != ENOENT)
            LOG_WARN("wal", "{}", base::errno_error(errno, "remove " + path).message);
    }

    std::string directory_;
    std::map<std::string, int> open_;
    std::set<std::string> dirty_;
    bool directory_changed_ = false;
    bool made_any_ = false;
    DiskBatch::Create filling_{};
    SpareFile spare_;
};

}  // namespace

struct PosixDisk::Impl : std::enable_shared_from_this<PosixDisk::Impl> {
    struct Waiting {
        DiskBatch batch;
        base::UniqueFunction<void()> done;
    };
    struct Job {
        DiskBatch batch;
        std::vector<base::UniqueFunction<void()>> done;
    };

    Impl(base::Loop& o, std::string d)
        : owner(o), directory(std::move(d)), writer(std::in_place, directory) {}

    void start_next() {
        if (busy || queue.empty()) return;
        busy = true;
        auto job = std::make_shared<Job>();
        do {
            Waiting w = std::move(queue.front());
            queue.pop_front();
            auto move_all = [](auto& to, auto& from) {
                to.insert(to.end(), std::make_move_iterator(from.begin()),
                          std::make_move_iterator(from.end()));
            };
            move_all(job->batch.creates, w.batch.creates);
            move_all(job->batch.writes, w.batch.writes);
            move_all(job->batch.removes, w.batch.removes);
            job->done.push_back(std::move(w.done));
        } while (!queue.empty() && !queue.front().batch.barrier);
        if (job->batch.empty())  // nothing to write: only the order counts
            return owner.post([self = shared_from_this(), job] { self->finished(*job); });
        thread->post([self = shared_from_this(), job] {
            self->run(*job);
            self->owner.post([self, job] { self->finished(*job); });
        });
    }

    // On the disk thread.
    void run(const Job& job) {
        bool troubled = false;
        while (!closing.load()) {
            const base::Status status = writer->run(job.batch);
            if (status) break;
            if (!troubled) {
                LOG_ERROR("wal", "cannot write, waiting for space: {}", status.error().message);
                owner.post([self = shared_from_this(), status] {
                    if (self->trouble) self->trouble(status);
                });
            }
            troubled = true;
            std::this_thread::sleep_for(std::chrono::milliseconds(500));
        }
        if (!troubled) return;
        LOG_INFO("wal", "writing again");
        owner.post([self = shared_from_this()] {
            if (self->trouble) self->trouble({});
        });
    }

    void finished(Job& job) {
        if (closing.load()) return;
        busy = false;
        // The next batch goes to the disk before anything else is done about this one.
        start_next();
        for (auto& done : job.done)
            if (done && !closing.load()) done();
    }

    base::Loop& owner;
    std::string directory;
    std::optional<Writer> writer;  // of the disk thread while there is one
    int lock_fd = -1;
    std::deque<Waiting> queue;
    bool busy = false;
    std::atomic<bool> closing{false};
    base::UniqueFunction<void(base::Status)> trouble;
    std::unique_ptr<base::Loop> thread;
};

base::Result<std::unique_ptr<PosixDisk>> PosixDisk::open(base::Loop& owner,
                                                         const std::string& directory) {
    TRY_VOID(base::make_directories(directory, 0700));
    const std::string lock = directory + "/lock";
    const int fd = ::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return base::errno_error(errno, "open " + lock);
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
        ::close(fd);
        return base::unavailable(directory + " is in use by another process");
    }
    auto impl = std::make_shared<Impl>(owner, directory);
    impl->lock_fd = fd;
    impl->thread = std::make_unique<base::Loop>("disk");
    impl->thread->start();
    return std::unique_ptr<PosixDisk>(new PosixDisk(std::move(impl)));
}

PosixDisk::PosixDisk(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

PosixDisk::~PosixDisk() {
    impl_->closing = true;
    impl_->queue.clear();
    impl_->trouble = nullptr;
    impl_->thread->stop();
    impl_->thread->join();
    impl_->thread.reset();  // with what was posted to it
    impl_->writer.reset();
    ::close(impl_->lock_fd);
}

base::Result<std::vector<std::string>> PosixDisk::list() {
    DIR* dir = ::opendir(impl_->directory.c_str());
    if (dir == nullptr) return base::errno_error(errno, "list " + impl_->directory);
    std::vector<std::string> out;
    while (const dirent* entry = ::readdir(dir))
        if (entry->d_name[0] != '.') out.emplace_back(entry->d_name);
    ::closedir(dir);
    std::sort(out.begin(), out.end());
    return out;
}

std::uint64_t PosixDisk::room() const {
    return base::free_bytes(impl_->directory);
}

base::Result<std::string> PosixDisk::read(const std::string& name, std::uint64_t offset,
                                          std::uint64_t length) {
    const std::string path = impl_->directory + "/" + name;
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return base::errno_error(errno, "open " + path);
    struct stat info {};
    if (::fstat(fd, &info) != 0) {
        ::close(fd);
        return base::errno_error(errno, "stat " + path);
    }
    const auto size = static_cast<std::uint64_t>(info.st_size);
    std::string out;
    if (offset < size) out.resize(std::min(length, size - offset));
    std::size_t got = 0;
    while (got < out.size()) {
        const ssize_t n =
            ::pread(fd, &out[got], out.size() - got, static_cast<off_t>(offset + got));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            const int err = errno;
            ::close(fd);
            return base::errno_error(err, "read " + path);
        }
        if (n == 0) break;
        got += static_cast<std::size_t>(n);
    }
    ::close(fd);
    out.resize(got);
    return out;
}

void PosixDisk::submit(DiskBatch batch, base::UniqueFunction<void()> done) {
    impl_->queue.push_back({std::move(batch), std::move(done)});
    impl_->start_next();
}

void PosixDisk::on_trouble(base::UniqueFunction<void(base::Status)> f) {
    impl_->trouble = std::move(f);
}

}  // namespace raft
