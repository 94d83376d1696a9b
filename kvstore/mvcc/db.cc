#include "kvstore/mvcc/db.h"

#include <leveldb/cache.h>
#include <leveldb/db.h>
#include <leveldb/filter_policy.h>
#include <leveldb/options.h>
#include <leveldb/write_batch.h>

#include <algorithm>
#include <atomic>
#include <boost/unordered/unordered_flat_map.hpp>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <map>
#include <memory_resource>
#include <sstream>
#include <thread>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/metrics.h"
#include "base/planted.h"
#include "kvstore/mvcc/schema.h"
#include "kvstore/mvcc/tables_env.h"

namespace kvstore {
namespace {

leveldb::Slice slice(std::string_view s) {
    return {s.data(), s.size()};
}
std::string_view view(const leveldb::Slice& s) {
    return {s.data(), s.size()};
}

// What a batch on its way to LevelDB may keep for the next one.
constexpr std::size_t kKeptBytes = 4 << 20;
constexpr std::size_t kKeptEntries = 100'000;

// Four times what is LevelDB's own choice: fewer to look after where there are gigabytes.
constexpr std::size_t kTableBytes = 8 << 20;

// So much is written without a look at how LevelDB keeps up.
constexpr std::size_t kPacedBytes = 1 << 20;

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

}  // namespace

// What is not committed yet. Keys and values lie in an arena, which keeps its memory.
class Database::Batch {
  public:
    struct Entry {
        std::string_view key;
        std::optional<std::string_view> value;  // none: erased

        std::optional<std::string> get() const {
            return value ? std::optional<std::string>(*value) : std::nullopt;
        }
    };
    // Places in entries().
    using Sorted = std::pmr::map<std::string_view, std::size_t>;

    void set(std::string_view key, std::optional<std::string_view> value) {
        if (value) value = keep(*value);
        if (const auto it = index_.find(key); it != index_.end()) {
            entries_[it->second].value = value;
            return;
        }
        key = keep(key);
        index_.emplace(key, entries_.size());
        if (sorted_ != nullptr) sorted_->emplace(key, entries_.size());
        entries_.push_back({key, value});
    }
    // Null: it says nothing of the key.
    const Entry* find(std::string_view key) const {
        const auto it = index_.find(key);
        return it == index_.end() ? nullptr : &entries_[it->second];
    }
    // In the order in which they were first written to.
    const std::vector<Entry>& entries() const { return entries_; }
    // In the order of keys, for those who walk; kept so from then on.
    const Sorted& sorted() {
        if (sorted_ == nullptr) {
            // It goes with the arena.
            sorted_ = new (arena_.allocate(sizeof(Sorted), alignof(Sorted))) Sorted(&arena_);
            for (std::size_t i = 0; i < entries_.size(); ++i)
                sorted_->emplace(entries_[i].key, i);
        }
        return *sorted_;
    }
    void clear() {
        sorted_ = nullptr;
        index_.clear();
        entries_.clear();
        arena_.release();
    }

  private:
    std::string_view keep(std::string_view bytes) {
        if (bytes.empty()) return {};
        auto* to = static_cast<char*>(arena_.allocate(bytes.size(), 1));
        std::copy(bytes.begin(), bytes.end(), to);
        return {to, bytes.size()};
    }

    static constexpr std::size_t kArenaBytes = 1 << 20;
    std::unique_ptr<char[]> memory_ = std::make_unique_for_overwrite<char[]>(kArenaBytes);
    std::pmr::monotonic_buffer_resource arena_{memory_.get(), kArenaBytes};
    std::vector<Entry> entries_;
    boost::unordered_flat_map<std::string_view, std::size_t, std::hash<std::string_view>> index_;
    Sorted* sorted_ = nullptr;
};

// LevelDB and what it uses. Any thread.
class Database::Level {
  public:
    explicit Level(const Options& o)
        : options(o),
          env_(o.env != nullptr ? o.env : leveldb::Env::Default()),
          filter_(leveldb::NewBloomFilterPolicy(10)),
          cache_(leveldb::NewLRUCache(o.block_cache_bytes)) {}
    ~Level() {
        before_waiting();
        env_.let_go();
    }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

    base::Status open() {
        leveldb::Options o;
        o.create_if_missing = true;
        o.paranoid_checks = true;
        o.env = &env_;
        o.write_buffer_size = options.write_buffer_bytes;
        o.block_cache = cache_.get();
        o.filter_policy = filter_.get();
        o.max_open_files = 256;
        o.max_file_size = kTableBytes;
        leveldb::DB* db = nullptr;
        const auto status = leveldb::DB::Open(o, options.directory, &db);
        if (!status.ok()) return to_error(status, "open " + options.directory);
        db_.reset(db);
        // What everybody reads first: damage there is an error of the opening.
        std::string applied;
        const auto found = db_->Get(read_options(), slice(schema::kMetaApplied), &applied);
        if (!found.ok() && !found.IsNotFound()) return to_error(found, "open " + options.directory);
        // Simulated, it compacts whenever it is asked.
        if (!options.run_scheduled)
            env_.hold_back({[this] { return has_too_much(); }, [this] { return may_rest(); }});
        return {};
    }
    void before_waiting() const {
        if (options.run_scheduled) options.run_scheduled();
    }
    leveldb::DB& db() const { return *db_; }
    TablesEnv& env() { return env_; }
    std::size_t cached_bytes() const { return cache_->TotalCharge(); }
    // Tables that came from memtables and overlap.
    std::uint64_t uncompacted() const { return number("leveldb.num-files-at-level0"); }
    // Some level has more than it should, so that LevelDB would compact it.
    bool has_too_much() const {
        if (uncompacted() >= Pacer::kFewTables) return true;
        // A line for each level that has tables: the level, their number, their megabytes, …
        std::string text;
        db_->GetProperty("leveldb.stats", &text);
        std::istringstream lines(text);
        for (std::string line; std::getline(lines, line);) {
            std::istringstream in(line);
            int level = 0;
            double tables = 0;
            double megabytes = 0;
            if (in >> level >> tables >> megabytes && level > 0 &&
                megabytes >= std::pow(10.0, level))
                return true;
        }
        return false;
    }
    // Both memtables are, so that a write would wait.
    bool memory_is_full() const {
        return memory() > 2 * options.write_buffer_bytes - options.write_buffer_bytes / 8;
    }
    // What is written to tables need not be done soon, and somebody wrote since this was last
    // asked.
    bool may_rest() {
        return written.exchange(false) && memory() < options.write_buffer_bytes * 3 / 2 &&
               uncompacted() < Pacer::kManyTables;
    }
    // Of the memtables.
    std::uint64_t memory() const {
        const std::uint64_t all = number("leveldb.approximate-memory-usage");
        return all - std::min<std::uint64_t>(all, cached_bytes());
    }

    const Options options;
    std::atomic<bool> written = false;  // since may_rest() was last asked

  private:
    std::uint64_t number(const char* property) const {
        std::string text;
        return db_->GetProperty(property, &text) ? std::strtoull(text.c_str(), nullptr, 10) : 0;
    }

    TablesEnv env_;
    std::unique_ptr<const leveldb::FilterPolicy> filter_;
    std::unique_ptr<leveldb::Cache> cache_;
    std::unique_ptr<leveldb::DB> db_;
};

class Database::LevelCursor final : public Cursor {
  public:
    // `long_walk`: it must not push the working set out of the cache.
    LevelCursor(const Database& owner, Snapshot snapshot, bool long_walk)
        : owner_(owner), snapshot_(std::move(snapshot)) {
        leveldb::ReadOptions options = read_options();
        options.snapshot = snapshot_.get();
        options.fill_cache = !long_walk;
        it_.reset(owner.level_->db().NewIterator(options));
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
    std::optional<std::string> get(std::string_view key) const override {
        return owner_.get(key, snapshot_.get());
    }
    std::unique_ptr<Cursor> twin() const override {
        return std::make_unique<LevelCursor>(owner_, snapshot_, false);
    }
    const Snapshot& snapshot() const { return snapshot_; }

  private:
    // LevelDB's iterators step over a block that cannot be read: it must not look like nothing.
    void check() const {
        if (const auto status = it_->status(); !status.ok()) owner_.fail(to_error(status, "read"));
    }

    const Database& owner_;
    const Snapshot snapshot_;
    std::unique_ptr<leveldb::Iterator> it_;
};

// The batch laid over LevelDB: where both have a key the batch's is the newer one.
class Database::MergedCursor final : public Cursor {
  public:
    MergedCursor(const Database& owner, Snapshot snapshot, Batch& batch)
        : owner_(owner),
          level_(owner, std::move(snapshot), false),
          batch_(batch),
          sorted_(batch.sorted()),
          at_(sorted_.end()) {}

    void seek(std::string_view key) override {
        level_.seek(key);
        at_ = sorted_.lower_bound(key);
        settle();
    }
    bool valid() const override { return at_ != sorted_.end() || level_.valid(); }
    void next() override {
        if (in_batch_) {
            if (level_.valid() && level_.key() == at_->first) level_.next();
            ++at_;
        } else {
            level_.next();
        }
        settle();
    }
    std::string_view key() const override { return in_batch_ ? at_->first : level_.key(); }
    std::string_view value() const override {
        return in_batch_ ? *batch_.entries()[at_->second].value : level_.value();
    }
    std::optional<std::string> get(std::string_view key) const override {
        const auto* written = batch_.find(key);
        return written ? written->get() : level_.get(key);
    }
    std::unique_ptr<Cursor> twin() const override {
        return std::make_unique<MergedCursor>(owner_, level_.snapshot(), batch_);
    }

  private:
    // Chooses the smaller side and steps over what the batch erased.
    void settle() {
        for (;;) {
            in_batch_ = at_ != sorted_.end() && (!level_.valid() || at_->first <= level_.key());
            if (!in_batch_ || batch_.entries()[at_->second].value) return;
            if (level_.valid() && level_.key() == at_->first) level_.next();
            ++at_;
        }
    }

    const Database& owner_;
    LevelCursor level_;
    Batch& batch_;
    const Batch::Sorted& sorted_;
    Batch::Sorted::const_iterator at_;
    bool in_batch_ = false;
};

Database::Database(std::shared_ptr<Level> level)
    : level_(std::move(level)), out_(std::make_unique<leveldb::WriteBatch>()) {
    on_failure = level_->options.on_failure;
    if (on_failure) return;
    on_failure = [](const base::Error& error) {
        LOG_ERROR("kvstore", "the database failed, and what it holds is unknown: {}",
                  error.message);
        std::abort();
    };
}

Database::~Database() = default;

base::Result<std::unique_ptr<Database>> Database::open(const Options& options) {
    auto level = std::make_shared<Level>(options);
    TRY_VOID(level->open());
    return std::unique_ptr<Database>(new Database(std::move(level)));
}

std::unique_ptr<Database> Database::fork() const {
    std::unique_ptr<Database> out(new Database(level_));
    out->on_failure = on_failure;
    out->pinned_ = pinned_;
    out->freeze();
    return out;
}

void Database::freeze() {
    pinned_ = snapshot();
}

void Database::thaw() {
    pinned_.reset();
}

void Database::fail(const base::Error& error) const {
    on_failure(error);
    CHECK(false, "on_failure returned");
}

std::optional<std::string> Database::get(std::string_view key) const {
    if (const auto* written = batch_ ? batch_->find(key) : nullptr) return written->get();
    return get(key, pinned_.get());
}

Database::Snapshot Database::snapshot() const {
    if (pinned_) return pinned_;
    return {level_->db().GetSnapshot(), [level = level_](const leveldb::Snapshot* snapshot) {
                level->db().ReleaseSnapshot(snapshot);
            }};
}

std::optional<std::string> Database::get(std::string_view key,
                                         const leveldb::Snapshot* snapshot) const {
    std::string value;
    leveldb::ReadOptions options = read_options();
    options.snapshot = snapshot;
    const auto status = level_->db().Get(options, slice(key), &value);
    if (status.IsNotFound()) return std::nullopt;
    if (!status.ok()) fail(to_error(status, "read"));
    return value;
}

void Database::put(std::string_view key, std::string_view value) {
    if (in_slices_)
        out_->Put(slice(key), slice(value));
    else
        batch().set(key, value);
}

void Database::erase(std::string_view key) {
    if (in_slices_)
        out_->Delete(slice(key));
    else
        batch().set(key, std::nullopt);
}

bool Database::has_uncommitted() const {
    return batch_ && !batch_->entries().empty();
}

void Database::write_in_slices() {
    CHECK(pinned_ && !has_uncommitted());
    in_slices_ = true;
}

void Database::slice_boundary() {
    if (!in_slices_ || out_->ApproximateSize() < level_->options.slice_bytes) return;
    write_out();
    // Where crashes are simulated they are to find such a slice.
    if (level_->options.run_scheduled)
        if (const auto status = sync(); !status) fail(status.error());
}

Database::Batch& Database::batch() {
    if (!batch_) batch_ = std::make_unique<Batch>();
    return *batch_;
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
    if (in_slices_) return write_out();
    if (!has_uncommitted()) return;
    const auto began = std::chrono::steady_clock::now();
    for (const auto& [key, value] : batch_->entries()) {
        if (value)
            out_->Put(slice(key), slice(*value));
        else
            out_->Delete(slice(key));
    }
    if (batch_->entries().size() <= kKeptEntries)
        batch_->clear();
    else
        batch_.reset();
    write_out();
    commit_seconds().observe(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count());
}

void Database::write_out() {
    level_->before_waiting();
    level_->written = true;
    unpaced_bytes_ += out_->ApproximateSize();
    const auto status = level_->db().Write(leveldb::WriteOptions(), out_.get());
    if (!status.ok()) fail(to_error(status, "write"));
    if (out_->ApproximateSize() <= kKeptBytes)
        out_->Clear();
    else
        *out_ = leveldb::WriteBatch();
}

std::chrono::milliseconds Database::pause() {
    using std::chrono::milliseconds;
    // The simulator's LevelDB has compacted whenever it is asked.
    if ((unpaced_bytes_ < kPacedBytes && !paused_) || level_->options.run_scheduled)
        return milliseconds(0);
    auto pause = pacer_.pause(std::chrono::steady_clock::now(), std::exchange(unpaced_bytes_, 0),
                              level_->uncompacted());
    if (level_->memory_is_full()) pause = std::max(pause, milliseconds(1));
    paused_ = pause > milliseconds(0);
    return pause;
}

void Database::make_room(std::chrono::milliseconds pause) const {
    std::this_thread::sleep_for(pause);
    level_->before_waiting();
    // A write of no batch waits for the memtable that is being written out, and begins a new one.
    // Every write answers with what went wrong in the background, of which no waiting would tell.
    const bool next = level_->uncompacted() < Pacer::kMostTables && level_->memory_is_full();
    leveldb::WriteBatch empty;
    const auto status = level_->db().Write(leveldb::WriteOptions(), next ? nullptr : &empty);
    if (!status.ok()) fail(to_error(status, "write"));
}

base::Status Database::sync() {
    if (base::planted(base::PlantedBug::kCompactUnsynced)) return {};
    leveldb::DB& db = level_->db();
    leveldb::WriteBatch empty;
    if (level_->options.run_scheduled) {
        // A write of no batch begins a new memtable; the one before becomes a table.
        level_->before_waiting();
        (void)db.Write(leveldb::WriteOptions(), nullptr);
        level_->before_waiting();
    } else {
        // The same, and waits for it, while others go on writing. No table has such a key.
        const leveldb::Slice nowhere;
        const TablesEnv::Unheld unheld(level_->env());
        db.CompactRange(&nowhere, &nowhere);
    }
    // LevelDB answers every write with what went wrong in the background.
    const auto status = db.Write(leveldb::WriteOptions(), &empty);
    if (!status.ok()) return to_error(status, "sync " + level_->options.directory);
    return {};
}

std::unique_ptr<Cursor> Database::cursor() const {
    if (!has_uncommitted()) return std::make_unique<LevelCursor>(*this, snapshot(), false);
    return std::make_unique<MergedCursor>(*this, snapshot(), *batch_);
}

std::unique_ptr<Cursor> Database::snapshot_cursor() const {
    return std::make_unique<LevelCursor>(*this, snapshot(), true);
}

std::optional<std::string> Database::defragment(const std::string& begin, std::size_t bytes) const {
    std::optional<std::string> end;
    leveldb::ReadOptions options;
    options.fill_cache = false;
    std::unique_ptr<leveldb::Iterator> it(level_->db().NewIterator(options));
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
    level_->before_waiting();
    const TablesEnv::Unheld unheld(level_->env());
    level_->db().CompactRange(begin.empty() ? nullptr : &from, end ? &to : nullptr);
    return end;
}

std::int64_t Database::approximate_size() const {
    leveldb::Range all("", "\xFF\xFF\xFF\xFF");
    std::uint64_t size = 0;
    level_->db().GetApproximateSizes(&all, 1, &size);
    return static_cast<std::int64_t>(size + level_->memory());
}

}  // namespace kvstore
