#include "test/sim/sim_env.h"

#include <algorithm>

#include "base/check.h"

namespace sim {

using leveldb::Slice;
using leveldb::Status;

namespace {

std::string_view view(const Slice& s) {
    return {s.data(), s.size()};
}

class NoLogger final : public leveldb::Logger {
  public:
    void Logv(const char*, std::va_list) override {}
};

}  // namespace

class SimEnv::Reader final : public leveldb::SequentialFile, public leveldb::RandomAccessFile {
  public:
    explicit Reader(SimFs::FilePtr file) : file_(std::move(file)) {}
    Status Read(std::size_t n, Slice* out, char* scratch) override {
        const auto status = Read(at_, n, out, scratch);
        at_ += out->size();
        return status;
    }
    Status Skip(std::uint64_t n) override {
        at_ = std::min<std::uint64_t>(at_ + n, file_->bytes.size());
        return Status::OK();
    }
    // Copied, as from a real disk: the file may change or rot while the bytes are in use.
    Status Read(std::uint64_t offset, std::size_t n, Slice* out, char* scratch) const override {
        const std::size_t size = file_->bytes.size();
        const std::size_t count = offset >= size ? 0 : std::min<std::size_t>(n, size - offset);
        if (count > 0) std::copy_n(file_->bytes.data() + offset, count, scratch);
        *out = Slice(scratch, count);
        return Status::OK();
    }

  private:
    SimFs::FilePtr file_;
    std::uint64_t at_ = 0;
};

class SimEnv::Writer final : public leveldb::WritableFile {
  public:
    Writer(SimEnv& env, std::string name, SimFs::FilePtr file)
        : env_(env), name_(std::move(name)), file_(std::move(file)) {}
    Status Append(const Slice& data) override {
        if (auto status = env_.may_write(name_); !status.ok()) return status;
        env_.fs_.append(*file_, view(data));
        return Status::OK();
    }
    Status Close() override { return Status::OK(); }
    Status Flush() override { return Status::OK(); }
    Status Sync() override {
        if (auto status = env_.may_write(name_); !status.ok()) return status;
        if (env_.fs_.fail_sync) {
            env_.fs_.fail_sync = false;
            World::cover("syncs of the database failed");
            return Status::IOError(name_, "the disk failed");
        }
        env_.fs_.sync(*file_);
        return Status::OK();
    }

  private:
    SimEnv& env_;
    std::string name_;
    SimFs::FilePtr file_;
};

SimEnv::~SimEnv() {
    CHECK(work_.empty(), "LevelDB was destroyed before its work was done");
}

Status SimEnv::may_write(const std::string& name) const {
    if (ended_) return Status::IOError(name, "the process has ended");
    if (fs_.full) {
        World::cover("writes of the database to a full disk");
        return Status::IOError(name, "no space left on device");
    }
    return Status::OK();
}

void SimEnv::drain() {
    while (!work_.empty()) {
        const Work work = work_.front();
        work_.pop_front();
        work.function(work.argument);
    }
}

void SimEnv::Schedule(void (*function)(void*), void* argument) {
    work_.push_back({function, argument});
    run_later_([this] { drain(); });
}

void SimEnv::StartThread(void (*function)(void*), void* argument) {
    Schedule(function, argument);
}

Status SimEnv::NewSequentialFile(const std::string& name, leveldb::SequentialFile** out) {
    auto file = fs_.find(name);
    if (file == nullptr) return Status::NotFound(name, "no such file");
    *out = new Reader(std::move(file));
    return Status::OK();
}

Status SimEnv::NewRandomAccessFile(const std::string& name, leveldb::RandomAccessFile** out) {
    auto file = fs_.find(name);
    if (file == nullptr) return Status::NotFound(name, "no such file");
    *out = new Reader(std::move(file));
    return Status::OK();
}

Status SimEnv::NewWritableFile(const std::string& name, leveldb::WritableFile** out) {
    if (auto status = may_write(name); !status.ok()) return status;
    *out = new Writer(*this, name, fs_.create(name));
    return Status::OK();
}

Status SimEnv::NewAppendableFile(const std::string& name, leveldb::WritableFile** out) {
    auto file = fs_.find(name);
    if (file == nullptr) return NewWritableFile(name, out);
    *out = new Writer(*this, name, std::move(file));
    return Status::OK();
}

bool SimEnv::FileExists(const std::string& name) {
    return fs_.find(name) != nullptr;
}

Status SimEnv::GetChildren(const std::string& name, std::vector<std::string>* out) {
    out->clear();
    if (!fs_.is_directory(name)) return Status::NotFound(name, "no such directory");
    for (const std::string& child : fs_.children(name))
        out->push_back(child);
    return Status::OK();
}

Status SimEnv::RemoveFile(const std::string& name) {
    if (ended_) return Status::IOError(name, "the process has ended");
    if (fs_.find(name) == nullptr) return Status::NotFound(name, "no such file");
    fs_.remove(name);
    return Status::OK();
}

Status SimEnv::CreateDir(const std::string& name) {
    if (ended_) return Status::IOError(name, "the process has ended");
    fs_.make_directory(name);
    return Status::OK();
}

Status SimEnv::RemoveDir(const std::string& name) {
    return RemoveFile(name);
}

Status SimEnv::GetFileSize(const std::string& name, std::uint64_t* size) {
    const auto file = fs_.find(name);
    if (file == nullptr) return Status::NotFound(name, "no such file");
    *size = file->bytes.size();
    return Status::OK();
}

Status SimEnv::RenameFile(const std::string& from, const std::string& to) {
    if (ended_) return Status::IOError(from, "the process has ended");
    if (fs_.find(from) == nullptr) return Status::NotFound(from, "no such file");
    fs_.rename(from, to);
    return Status::OK();
}

// There is one process.
Status SimEnv::LockFile(const std::string&, leveldb::FileLock** lock) {
    *lock = new leveldb::FileLock;
    return Status::OK();
}

Status SimEnv::UnlockFile(leveldb::FileLock* lock) {
    delete lock;
    return Status::OK();
}

Status SimEnv::GetTestDirectory(std::string* path) {
    *path = "/test";
    return Status::OK();
}

Status SimEnv::NewLogger(const std::string&, leveldb::Logger** out) {
    *out = new NoLogger;
    return Status::OK();
}

// ------------------------------------------------------------------ Files

base::Result<std::string> SimEnv::read(const std::string& path) {
    const auto file = fs_.find(path);
    if (file == nullptr) return base::not_found(path);
    return file->bytes;
}

base::Status SimEnv::write_atomic(const std::string& path, std::string_view content) {
    if (auto status = may_write(path); !status.ok()) return base::internal_error(status.ToString());
    const std::string temporary = path + ".tmp";
    auto file = fs_.create(temporary);
    fs_.append(*file, content);
    fs_.sync(*file);
    fs_.rename(temporary, path);
    fs_.sync(*file);  // the directory
    return {};
}

base::Status SimEnv::make_directories(const std::string& path) {
    if (ended_) return base::internal_error("the process has ended");
    for (std::size_t slash = path.find('/', 1); slash != std::string::npos;
         slash = path.find('/', slash + 1))
        fs_.make_directory(path.substr(0, slash));
    fs_.make_directory(path);
    return {};
}

base::Result<std::vector<std::string>> SimEnv::directories_in(const std::string& path) {
    std::vector<std::string> out;
    for (const std::string& name : fs_.children(path))
        if (fs_.is_directory(path + "/" + name)) out.push_back(name);
    return out;
}

base::Status SimEnv::remove_all(const std::string& path) {
    if (ended_) return base::internal_error("the process has ended");
    if (fs_.find(path) != nullptr || fs_.is_directory(path)) fs_.remove(path);
    return {};
}

base::Status SimEnv::rename(const std::string& from, const std::string& to) {
    if (ended_) return base::internal_error("the process has ended");
    fs_.rename(from, to);
    return {};
}

}  // namespace sim
