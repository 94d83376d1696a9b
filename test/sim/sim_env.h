#pragma once
// SimEnv: leveldb::Env and kvstore::Files on a SimFs, for the life of one process. One thread: what
// LevelDB would do in the background waits in a queue, and runs from an event or, at the latest,
// when somebody is about to write (drain()), so that no writer ever waits for it.

#include <leveldb/env.h>

#include <deque>
#include <memory>

#include "kvstore/mvcc/files.h"
#include "test/sim/sim_fs.h"

namespace sim {

class SimEnv final : public leveldb::Env, public kvstore::Files {
  public:
    // `run_later` has its argument called in an event of this process.
    SimEnv(World& world, SimFs& fs, std::function<void(base::UniqueFunction<void()>)> run_later)
        : world_(world), fs_(fs), run_later_(std::move(run_later)) {}
    ~SimEnv() override;

    // Runs what waits.
    void drain();
    // The process has ended: nothing that its objects still do has an effect.
    void end() { ended_ = true; }

    // leveldb::Env
    leveldb::Status NewSequentialFile(const std::string& name,
                                      leveldb::SequentialFile** out) override;
    leveldb::Status NewRandomAccessFile(const std::string& name,
                                        leveldb::RandomAccessFile** out) override;
    leveldb::Status NewWritableFile(const std::string& name, leveldb::WritableFile** out) override;
    leveldb::Status NewAppendableFile(const std::string& name,
                                      leveldb::WritableFile** out) override;
    bool FileExists(const std::string& name) override;
    leveldb::Status GetChildren(const std::string& name, std::vector<std::string>* out) override;
    leveldb::Status RemoveFile(const std::string& name) override;
    leveldb::Status CreateDir(const std::string& name) override;
    leveldb::Status RemoveDir(const std::string& name) override;
    leveldb::Status GetFileSize(const std::string& name, std::uint64_t* size) override;
    leveldb::Status RenameFile(const std::string& from, const std::string& to) override;
    leveldb::Status LockFile(const std::string& name, leveldb::FileLock** lock) override;
    leveldb::Status UnlockFile(leveldb::FileLock* lock) override;
    void Schedule(void (*function)(void*), void* argument) override;
    void StartThread(void (*function)(void*), void* argument) override;
    leveldb::Status GetTestDirectory(std::string* path) override;
    leveldb::Status NewLogger(const std::string& name, leveldb::Logger** out) override;
    std::uint64_t NowMicros() override { return world_.now(); }
    void SleepForMicroseconds(int) override {}

    // kvstore::Files
    base::Result<std::string> read(const std::string& path) override;
    base::Status write_atomic(const std::string& path, std::string_view content) override;
    base::Status make_directories(const std::string& path) override;
    base::Result<std::vector<std::string>> directories_in(const std::string& path) override;
    base::Status remove_all(const std::string& path) override;
    base::Status rename(const std::string& from, const std::string& to) override;

  private:
    class Reader;
    class Writer;
    // What stands in the way of a change.
    leveldb::Status may_write(const std::string& name) const;

    World& world_;
    SimFs& fs_;
    std::function<void(base::UniqueFunction<void()>)> run_later_;
    bool ended_ = false;
    struct Work {
        void (*function)(void*);
        void* argument;
    };
    std::deque<Work> work_;
};

}  // namespace sim
