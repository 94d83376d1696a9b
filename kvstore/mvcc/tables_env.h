#pragma once
// TablesEnv: the file system as LevelDB is to see it here, and when its compactions run. Any
// thread.
//
// It has no write-ahead log, for the Raft log is one: what is not in a table yet is lost with the
// process, and applied again. Of the catalogue (MANIFEST) that a crash left it shows only what
// counts.
//
// LevelDB also compacts a table that some hundred reads went past to another one. Where keys are
// written in no order, and each write looks for what it replaces, that merges every new table with
// all that there is, as soon as it is written. Such compactions wait until there is another reason:
// a full memtable, or more tables or bytes in a level than there should be (LevelDB's doc/impl.md).

#include <leveldb/env.h>

#include <condition_variable>
#include <functional>
#include <mutex>

namespace kvstore {

class TablesEnv final : public leveldb::EnvWrapper {
  public:
    // `target`: not owned.
    explicit TablesEnv(leveldb::Env* target) : EnvWrapper(target) {}

    leveldb::Status NewWritableFile(const std::string& name, leveldb::WritableFile** out) override;
    leveldb::Status NewSequentialFile(const std::string& name,
                                      leveldb::SequentialFile** out) override;
    void Schedule(void (*function)(void*), void* argument) override;

    // From now on what is scheduled waits unless there is a reason: `too_much` tells whether a
    // level has more than it should. It is asked on LevelDB's thread and may ask LevelDB.
    void hold_back(std::function<bool()> too_much);
    // Nothing waits any more, and nobody is asked: before LevelDB is closed.
    void let_go();

    // While there is one, nothing waits: for compactions that are asked for.
    class Unheld {
      public:
        explicit Unheld(TablesEnv& env) : env_(env) { env_.count_unheld(1); }
        ~Unheld() { env_.count_unheld(-1); }
        Unheld(const Unheld&) = delete;
        Unheld& operator=(const Unheld&) = delete;

      private:
        TablesEnv& env_;
    };

  private:
    struct Work {
        void (*function)(void*) = nullptr;
        void* argument = nullptr;
    };

    static void run(void* env);
    void run_or_hold();
    void count_unheld(int change);
    // Puts what waits back on LevelDB's thread.
    void release(std::unique_lock<std::mutex> lock);

    std::mutex mutex_;
    std::condition_variable asked_;
    std::function<bool()> too_much_;  // null: nothing waits
    int unheld_ = 0;
    bool memtable_is_full_ = false;  // and to be written out
    // LevelDB schedules nothing before what it scheduled last has run.
    Work work_;
    bool waits_ = false;
    bool asks_ = false;  // whether there is too much
};

}  // namespace kvstore
