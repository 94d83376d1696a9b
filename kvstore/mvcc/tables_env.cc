#include "kvstore/mvcc/tables_env.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "kvstore/mvcc/catalogue.h"

namespace kvstore {
namespace {

// So long a table is written, and so long LevelDB's thread rests then: with three members on two
// cores that leaves both to others. Twice the rest, or half of both, was no better.
constexpr std::chrono::milliseconds kSlice{2};
constexpr std::chrono::microseconds kRest{6000};

// What a file holds, up to where it counts.
class Contents final : public leveldb::SequentialFile {
  public:
    explicit Contents(std::string bytes) : bytes_(std::move(bytes)) {}
    leveldb::Status Read(std::size_t n, leveldb::Slice* out, char* scratch) override {
        const std::size_t count = std::min(n, bytes_.size() - at_);
        std::copy_n(bytes_.data() + at_, count, scratch);
        *out = leveldb::Slice(scratch, count);
        at_ += count;
        return leveldb::Status::OK();
    }
    leveldb::Status Skip(std::uint64_t n) override {
        at_ += std::min<std::uint64_t>(n, bytes_.size() - at_);
        return leveldb::Status::OK();
    }

  private:
    std::string bytes_;
    std::size_t at_ = 0;
};

class NoLog final : public leveldb::WritableFile {
  public:
    leveldb::Status Append(const leveldb::Slice& /*data*/) override { return {}; }
    leveldb::Status Close() override { return {}; }
    leveldb::Status Flush() override { return {}; }
    leveldb::Status Sync() override { return {}; }
};

}  // namespace

// Before each block that is written there may be a rest.
class TablesEnv::Table final : public leveldb::WritableFile {
  public:
    Table(TablesEnv& env, leveldb::WritableFile* file) : env_(env), file_(file) {}
    leveldb::Status Append(const leveldb::Slice& data) override {
        env_.rest();
        return file_->Append(data);
    }
    leveldb::Status Close() override { return file_->Close(); }
    leveldb::Status Flush() override { return file_->Flush(); }
    leveldb::Status Sync() override { return file_->Sync(); }

  private:
    TablesEnv& env_;
    const std::unique_ptr<leveldb::WritableFile> file_;
};

leveldb::Status TablesEnv::NewWritableFile(const std::string& name, leveldb::WritableFile** out) {
    if (!name.ends_with(".log")) {
        auto status = target()->NewWritableFile(name, out);
        if (status.ok() && name.ends_with(".ldb")) *out = new Table(*this, *out);
        return status;
    }
    *out = new NoLog;
    // Each memtable has a log of its own: the one before is full. LevelDB's lock is held until that
    // can be seen by what runs now.
    std::unique_lock lock(mutex_);
    memtable_is_full_ = true;
    release(std::move(lock));
    return {};
}

leveldb::Status TablesEnv::NewSequentialFile(const std::string& name,
                                             leveldb::SequentialFile** out) {
    if (name.find("/MANIFEST-") == std::string::npos) return target()->NewSequentialFile(name, out);
    std::string bytes;
    if (auto status = leveldb::ReadFileToString(target(), name, &bytes); !status.ok())
        return status;
    bytes.resize(intact_catalogue(bytes));
    *out = new Contents(std::move(bytes));
    return {};
}

void TablesEnv::Schedule(void (*function)(void*), void* argument) {
    {
        const std::lock_guard lock(mutex_);
        if (policy_.too_much) {
            work_ = {function, argument};
            function = &TablesEnv::run;
            argument = this;
        }
    }
    target()->Schedule(function, argument);
}

void TablesEnv::run(void* env) {
    static_cast<TablesEnv*>(env)->run_or_hold();
}

void TablesEnv::run_or_hold() {
    std::unique_lock lock(mutex_);
    const auto is_free = [this] { return unheld_ > 0 || memtable_is_full_ || !policy_.too_much; };
    // While it asks something may come up.
    if (!is_free() && !ask(lock, policy_.too_much) && !is_free()) {
        waits_ = true;
        return;
    }
    // A full memtable comes before all else.
    memtable_is_full_ = false;
    const Work work = work_;
    lock.unlock();
    // When it returns LevelDB may be closed, and this be gone.
    work.function(work.argument);
}

bool TablesEnv::ask(std::unique_lock<std::mutex>& lock, const std::function<bool()>& question) {
    const auto kept = question;
    asks_ = true;
    lock.unlock();
    const bool answer = kept();
    lock.lock();
    asks_ = false;
    asked_.notify_all();
    return answer;
}

void TablesEnv::rest() {
    if (std::chrono::steady_clock::now() - slice_began_ < kSlice) return;
    std::unique_lock lock(mutex_);
    const bool rests = policy_.may_rest && ask(lock, policy_.may_rest);
    lock.unlock();
    if (rests) target()->SleepForMicroseconds(static_cast<int>(kRest.count()));
    slice_began_ = std::chrono::steady_clock::now();
}

void TablesEnv::release(std::unique_lock<std::mutex> lock) {
    if (!std::exchange(waits_, false)) return;
    lock.unlock();
    target()->Schedule(&TablesEnv::run, this);
}

void TablesEnv::hold_back(Policy policy) {
    const std::lock_guard lock(mutex_);
    policy_ = std::move(policy);
}

void TablesEnv::let_go() {
    std::unique_lock lock(mutex_);
    policy_ = {};
    asked_.wait(lock, [this] { return !asks_; });
    release(std::move(lock));
}

void TablesEnv::count_unheld(int change) {
    std::unique_lock lock(mutex_);
    unheld_ += change;
    if (unheld_ > 0) release(std::move(lock));
}

}  // namespace kvstore
