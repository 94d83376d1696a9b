#include "kvstore/mvcc/db.h"

#include <leveldb/cache.h>
#include <leveldb/db.h>
#include <leveldb/env.h>
#include <leveldb/filter_policy.h>
#include <leveldb/options.h>
#include <leveldb/write_batch.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <mutex>
#include <vector>

#include "base/log.h"
#include "base/metrics.h"
#include "base/planted.h"
#include "kvstore/mvcc/level_files.h"

namespace kvstore {
namespace {

leveldb::Slice slice(std::string_view s) {
    return {s.data(), s.size()};
}
std::string_view view(const leveldb::Slice& s) {
    return {s.data(), s.size()};
}

// Damage is found wherever it is read.
leveldb::ReadOptions read_options() {
    leveldb::ReadOptions out;
    out.verify_checksums = true;
    return out;
}

base::Error to_error(const leveldb::Status& status, std::string_view what) {
    const std::string message = std::string(what) + ": " + status.ToString();
    if (status.IsCorruption()) return base::data_loss(message);
    if (status.IsNotFound()) return base::not_found(message);
    return base::internal_error(message);
}

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

}  // namespace

// LevelDB closes a write-ahead log without sync when its memtable is full; until that memtable is
// compacted the log is the only copy, and a later synced write covers only the newer log. This Env
// keeps such logs open until they are synced, before any newer one is. What a crash left of logs it
// shows only as far as LevelFiles has it.
class Database::LogKeepingEnv final : public leveldb::EnvWrapper {
  public:
    explicit LogKeepingEnv(leveldb::Env* target) : EnvWrapper(target) {}

    leveldb::Status NewWritableFile(const std::string& name, leveldb::WritableFile** out) override {
        leveldb::WritableFile* file = nullptr;
        auto status = target()->NewWritableFile(name, &file);
        if (!status.ok()) return status;
        *out = name.ends_with(".log") ? new Log(*this, std::unique_ptr<leveldb::WritableFile>(file))
                                      : file;
        return status;
    }

    leveldb::Status NewSequentialFile(const std::string& name,
                                      leveldb::SequentialFile** out) override {
        const bool is_log = name.ends_with(".log");
        const bool is_catalogue = name.find("/MANIFEST-") != std::string::npos;
        if (!is_log && !is_catalogue) return target()->NewSequentialFile(name, out);
        std::string bytes;
        if (auto status = leveldb::ReadFileToString(target(), name, &bytes); !status.ok())
            return status;
        const auto counts = is_log ? left_.log(bytes) : left_.catalogue(bytes);
        if (!counts) return leveldb::Status::Corruption(name, "what was before it is missing");
        if (*counts < bytes.size())
            LOG_INFO("kvstore", "{}: {} of {} bytes count, the rest comes from the Raft log", name,
                     *counts, bytes.size());
        bytes.resize(*counts);
        *out = new Contents(std::move(bytes));
        return leveldb::Status::OK();
    }

  private:
    class Log final : public leveldb::WritableFile {
      public:
        Log(LogKeepingEnv& env, std::unique_ptr<leveldb::WritableFile> file)
            : env_(env), file_(std::move(file)) {}
        ~Log() override { Close(); }
        leveldb::Status Append(const leveldb::Slice& data) override {
            synced_ = false;
            return file_->Append(data);
        }
        leveldb::Status Flush() override { return file_->Flush(); }
        leveldb::Status Sync() override {
            if (auto status = env_.sync_closed(); !status.ok()) return status;
            auto status = file_->Sync();
            synced_ = status.ok();
            return status;
        }
        leveldb::Status Close() override {
            if (!file_) return leveldb::Status::OK();
            if (synced_) return std::exchange(file_, nullptr)->Close();
            auto status = file_->Flush();
            std::lock_guard lock(env_.mutex_);
            env_.closed_.push_back(std::move(file_));
            return status;
        }

      private:
        LogKeepingEnv& env_;
        std::unique_ptr<leveldb::WritableFile> file_;
        bool synced_ = true;
    };

    leveldb::Status sync_closed() {
        std::vector<std::unique_ptr<leveldb::WritableFile>> files;
        {
            std::lock_guard lock(mutex_);
            files.swap(closed_);
        }
        for (auto& file : files) {
            if (auto status = file->Sync(); !status.ok()) return status;
            if (auto status = file->Close(); !status.ok()) return status;
        }
        return leveldb::Status::OK();
    }

    LevelFiles left_;
    std::mutex mutex_;
    std::vector<std::unique_ptr<leveldb::WritableFile>> closed_;
};

class Database::LevelCursor final : public Cursor {
  public:
    LevelCursor(const Database& owner, bool pin)
        : owner_(owner), db_(owner.db_.get()), snapshot_(pin ? db_->GetSnapshot() : nullptr) {
        leveldb::ReadOptions options = read_options();
        options.snapshot = snapshot_;
        // A long walk must not push the working set out of the cache.
        options.fill_cache = !pin;
        it_.reset(db_->NewIterator(options));
    }
    ~LevelCursor() override {
        it_.reset();
        if (snapshot_ != nullptr) db_->ReleaseSnapshot(snapshot_);
    }
    void seek(std::string_view key) override {
        it_->Seek(slice(key));
        check();
    }
    bool valid() const override { return it_->Valid(); }
    void next() override {
        it_->Next();
        check();
    }
    std::string_view key() const override { return view(it_->key()); }
    std::string_view value() const override { return view(it_->value()); }

  private:
    // LevelDB's iterators step over a block that cannot be read: it must not look like nothing.
    void check() const {
        if (const auto status = it_->status(); !status.ok()) owner_.fail(to_error(status, "read"));
    }

    const Database& owner_;
    leveldb::DB* db_;
    const leveldb::Snapshot* snapshot_;
    std::unique_ptr<leveldb::Iterator> it_;
};

// The batch laid over LevelDB: where both have a key the batch's is the newer one.
class Database::MergedCursor final : public Cursor {
  public:
    using Batch = std::map<std::string, std::optional<std::string>, std::less<>>;

    MergedCursor(const Database& owner, const Batch& batch)
        : level_(owner, false), batch_(batch), at_(batch.end()) {}

    void seek(std::string_view key) override {
        level_.seek(key);
        at_ = batch_.lower_bound(key);
        settle();
    }
    bool valid() const override { return at_ != batch_.end() || level_.valid(); }
    void next() override {
        if (in_batch_) {
            if (level_.valid() && level_.key() == at_->first) level_.next();
            ++at_;
        } else {
            level_.next();
        }
        settle();
    }
    std::string_view key() const override {
        return in_batch_ ? std::string_view(at_->first) : level_.key();
    }
    std::string_view value() const override {
        return in_batch_ ? std::string_view(*at_->second) : level_.value();
    }

  private:
    // Chooses the smaller side and steps over what the batch erased.
    void settle() {
        for (;;) {
            in_batch_ = at_ != batch_.end() && (!level_.valid() || at_->first <= level_.key());
            if (!in_batch_ || at_->second.has_value()) return;
            if (level_.valid() && level_.key() == at_->first) level_.next();
            ++at_;
        }
    }

    LevelCursor level_;
    const Batch& batch_;
    Batch::const_iterator at_;
    bool in_batch_ = false;
};

Database::Database(const Options& options)
    : options_(options),
      env_(std::make_unique<LogKeepingEnv>(options.env != nullptr ? options.env
                                                                  : leveldb::Env::Default())),
      filter_(const_cast<leveldb::FilterPolicy*>(leveldb::NewBloomFilterPolicy(10)),
              [](void* p) { delete static_cast<leveldb::FilterPolicy*>(p); }),
      cache_(leveldb::NewLRUCache(options.block_cache_bytes),
             [](void* p) { delete static_cast<leveldb::Cache*>(p); }) {
    on_failure = options.on_failure;
    if (on_failure) return;
    on_failure = [](const base::Error& error) {
        LOG_ERROR("kvstore", "the database failed, and what it holds is unknown: {}",
                  error.message);
        std::abort();
    };
}

Database::~Database() {
    before_waiting();
}

base::Result<std::unique_ptr<Database>> Database::open(const Options& options) {
    std::unique_ptr<Database> out(new Database(options));
    leveldb::Options o;
    o.create_if_missing = true;
    o.paranoid_checks = true;
    o.env = out->env_.get();
    o.write_buffer_size = options.write_buffer_bytes;
    o.block_cache = static_cast<leveldb::Cache*>(out->cache_.get());
    o.filter_policy = static_cast<leveldb::FilterPolicy*>(out->filter_.get());
    o.max_open_files = 256;
    leveldb::DB* db = nullptr;
    const auto status = leveldb::DB::Open(o, options.directory, &db);
    if (!status.ok()) return to_error(status, "open " + options.directory);
    out->db_.reset(db);
    return out;
}

void Database::fail(const base::Error& error) const {
    on_failure(error);
    CHECK(false, "on_failure returned");
}

std::optional<std::string> Database::get(std::string_view key) const {
    if (auto it = batch_.find(key); it != batch_.end()) return it->second;
    std::string value;
    const auto status = db_->Get(read_options(), slice(key), &value);
    if (status.IsNotFound()) return std::nullopt;
    if (!status.ok()) fail(to_error(status, "read"));
    return value;
}

void Database::put(std::string_view key, std::string_view value) {
    auto it = batch_.lower_bound(key);
    if (it != batch_.end() && it->first == key)
        it->second = std::string(value);
    else
        batch_.emplace_hint(it, std::string(key), std::string(value));
}

void Database::erase(std::string_view key) {
    auto it = batch_.lower_bound(key);
    if (it != batch_.end() && it->first == key)
        it->second.reset();
    else
        batch_.emplace_hint(it, std::string(key), std::nullopt);
}

namespace {
base::Histogram& commit_seconds() {
    static base::Histogram& h = base::metrics().histogram(
        "etcd_disk_backend_commit_duration_seconds",
        "How long LevelDB takes to write what a batch of the log changed (not synced).",
        {0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008,
         0.016,   0.032,    0.064,   0.128,  0.256,   0.512,  1.024, 2.048, 4.096, 8.192});
    return h;
}
}  // namespace

void Database::commit() {
    if (batch_.empty()) return;
    const auto began = std::chrono::steady_clock::now();
    leveldb::WriteBatch batch;
    for (const auto& [key, value] : batch_) {
        if (value)
            batch.Put(key, *value);
        else
            batch.Delete(key);
    }
    before_waiting();
    const auto status = db_->Write(leveldb::WriteOptions(), &batch);
    if (!status.ok()) fail(to_error(status, "write"));
    batch_.clear();
    commit_seconds().observe(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count());
}

base::Status Database::sync() {
    if (base::planted(base::PlantedBug::kCompactUnsynced)) return {};
    before_waiting();
    // A synced write syncs the logs before, then the current one up to and with itself; an empty
    // batch is enough to carry it.
    leveldb::WriteOptions options;
    options.sync = true;
    leveldb::WriteBatch empty;
    const auto status = db_->Write(options, &empty);
    if (!status.ok()) return to_error(status, "sync " + options_.directory);
    return {};
}

std::unique_ptr<Cursor> Database::cursor() const {
    if (batch_.empty()) return std::make_unique<LevelCursor>(*this, false);
    return std::make_unique<MergedCursor>(*this, batch_);
}

std::unique_ptr<Cursor> Database::snapshot_cursor() const {
    return std::make_unique<LevelCursor>(*this, true);
}

std::optional<std::string> Database::defragment(const std::string& begin, std::size_t bytes) const {
    std::optional<std::string> end;
    leveldb::ReadOptions options;
    options.fill_cache = false;
    std::unique_ptr<leveldb::Iterator> it(db_->NewIterator(options));
    std::size_t seen = 0;
    for (it->Seek(begin); it->Valid(); it->Next()) {
        if (seen >= bytes) {
            end = it->key().ToString();
            break;
        }
        seen += it->key().size() + it->value().size();
    }
    // What is damaged is found, and said, where it is read for an answer.
    if (!it->status().ok()) return std::nullopt;
    it.reset();
    const leveldb::Slice from(begin);
    const leveldb::Slice to = end ? leveldb::Slice(*end) : leveldb::Slice();
    before_waiting();
    db_->CompactRange(begin.empty() ? nullptr : &from, end ? &to : nullptr);
    return end;
}

std::int64_t Database::approximate_size() const {
    leveldb::Range all("", "\xFF\xFF\xFF\xFF");
    std::uint64_t size = 0;
    db_->GetApproximateSizes(&all, 1, &size);
    std::string memory;
    std::uint64_t in_memory = 0;
    if (db_->GetProperty("leveldb.approximate-memory-usage", &memory))
        in_memory = std::strtoull(memory.c_str(), nullptr, 10);
    // It counts the cache of blocks, too, which holds nothing that is not on disk.
    const auto cached = static_cast<leveldb::Cache*>(cache_.get())->TotalCharge();
    in_memory -= std::min<std::uint64_t>(in_memory, cached);
    return static_cast<std::int64_t>(size + in_memory);
}

}  // namespace kvstore
