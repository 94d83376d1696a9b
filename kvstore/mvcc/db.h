#pragma once
// Database: LevelDB with a batch in front of it. Writes go to the batch, which reads see at once;
// commit() hands the whole batch to LevelDB, atomically, where it is durable only after sync() or
// once LevelDB has made tables of it: a crash leaves what some commit() left. One thread (the store
// loop) uses it; LevelDB's own thread compacts. Another thread may read snapshots, or have a front
// of its own (fork()).

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "kvstore/mvcc/pacer.h"

namespace leveldb {
class Env;
class Snapshot;
class WriteBatch;
}  // namespace leveldb

namespace kvstore {

class Files;

// Ordered walk over keys. Valid until the database is written to through the batch.
class Cursor {
  public:
    virtual ~Cursor() = default;
    virtual void seek(std::string_view key) = 0;
    virtual bool valid() const = 0;
    virtual void next() = 0;
    virtual std::string_view key() const = 0;
    virtual std::string_view value() const = 0;
    // What stands at any key, of the moment that the cursor sees. It stays where it is.
    virtual std::optional<std::string> get(std::string_view key) const = 0;
    // Another one of the same moment, nowhere yet. Outlived by this one.
    virtual std::unique_ptr<Cursor> twin() const = 0;
};

class Database {
  public:
    struct Options {
        std::string directory;
        // Neither is owned; null: the operating system's.
        leveldb::Env* env = nullptr;
        Files* files = nullptr;
        std::size_t write_buffer_bytes = 32 << 20;
        std::size_t block_cache_bytes = 32 << 20;
        std::size_t slice_bytes = 1 << 20;  // see write_in_slices()
        // Where LevelDB has no thread of its own (the simulator): runs what LevelDB has scheduled.
        // Called before whatever may wait for that.
        std::function<void()> run_scheduled;
        // What Database::on_failure is at first. Null: log and abort.
        std::function<void(const base::Error&)> on_failure;
    };

    // DataLoss when LevelDB finds damage; its message names the file.
    static base::Result<std::unique_ptr<Database>> open(const Options& options);
    ~Database();
    Database(const Database&) = delete;
    Database& operator=(const Database&) = delete;

    // What a failed read or write of LevelDB means for the caller: the process cannot go on with a
    // store that does not keep what it is given. DataLoss: the files are damaged. Any thread; must
    // not return.
    std::function<void(const base::Error&)> on_failure;

    std::optional<std::string> get(std::string_view key) const;
    void put(std::string_view key, std::string_view value);
    void erase(std::string_view key);
    // How long to wait before more is written, so that LevelDB's compaction keeps up: from a number
    // of uncompacted tables on, writes wait inside LevelDB, for seconds. Zero most of the time.
    std::chrono::milliseconds pause();
    // Waits so long, and for LevelDB to write a full memtable out; calls on_failure when it cannot.
    // Blocks; any thread, while the loop writes nothing.
    void make_room(std::chrono::milliseconds pause) const;

    // Everything put and erased since the last commit, in one atomic LevelDB write.
    void commit();
    bool has_uncommitted() const;
    // Makes all that was committed durable: LevelDB writes its memtable out. Blocks on the disk;
    // any thread.
    base::Status sync();

    // Another front of the same LevelDB, with an empty batch, for one other thread. It reads what
    // this one does, as committed now, and its own batch.
    std::unique_ptr<Database> fork() const;
    // Until thaw(), reads see nothing that is committed from now on: a fork writes. Nothing may be
    // written here meanwhile.
    void freeze();
    void thaw();

    // For a fork: from now on what is put and erased here goes to LevelDB as it gathers, in slices
    // that are cut at slice_boundary() and at commit(). Reads here go on without it, and cursors
    // stay valid. A crash may leave any number of the slices, first ones first.
    void write_in_slices();
    void slice_boundary();
    bool writes_in_slices() const { return in_slices_; }

    // Sees the batch as well.
    std::unique_ptr<Cursor> cursor() const;
    // Sees what was committed when it was made; may be used on another thread. Outlived by the
    // database.
    std::unique_ptr<Cursor> snapshot_cursor() const;

    // Rewrites about `bytes` of what is stored, beginning with the key `begin`, so that space that
    // was freed goes back to the file system. The key to go on from; nothing at the end. Blocks;
    // any thread, while the loop goes on.
    std::optional<std::string> defragment(const std::string& begin, std::size_t bytes) const;

    // Bytes on disk, about.
    std::int64_t approximate_size() const;

  private:
    class Batch;
    class Level;
    class LevelCursor;
    class MergedCursor;
    using Snapshot = std::shared_ptr<const leveldb::Snapshot>;

    explicit Database(std::shared_ptr<Level> level);
    void fail(const base::Error& error) const;
    // What reads see; never null.
    Snapshot snapshot() const;
    std::optional<std::string> get(std::string_view key, const leveldb::Snapshot* snapshot) const;
    Batch& batch();
    void write_out();

    std::shared_ptr<Level> level_;  // shared by all fronts
    Snapshot pinned_;               // what reads see; null: everything
    std::unique_ptr<Batch> batch_;  // null until something is written
    bool in_slices_ = false;
    Pacer pacer_;
    std::size_t unpaced_bytes_ = 0;             // written since it was last asked
    bool paused_ = false;                       // by what it then answered
    std::unique_ptr<leveldb::WriteBatch> out_;  // on its way to LevelDB; keeps its memory
};

}  // namespace kvstore
