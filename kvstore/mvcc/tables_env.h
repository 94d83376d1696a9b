#pragma once
// TablesEnv: the file system as LevelDB is to see it here, and when its work on tables runs. Any
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
//
// All members fill their memtables at the same moment. Writing one out takes a core for 100 ms, and
// whoever waits for a majority then waits for that. So tables are written in slices with rests
// between them while there is time enough.

#include <leveldb/env.h>

#include <chrono>
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

    // Both are asked on LevelDB's thread, and may ask LevelDB.
    struct Policy {
        // What is scheduled waits unless there is a reason: a level has more than it should.
        std::function<bool()> too_much;
        // Others are at work, and nobody waits for what is written. Null: never.
        std::function<bool()> may_rest;
    };
    // From now on.
    void hold_back(Policy policy);
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

    class Table;

    static void run(void* env);
    void run_or_hold();
    void rest();
    bool ask(std::unique_lock<std::mutex>& lock, const std::function<bool()>& question);
    void count_unheld(int change);
    // Puts what waits back on LevelDB's thread.
    void release(std::unique_lock<std::mutex> lock);

    std::mutex mutex_;
    std::condition_variable asked_;
    Policy policy_;  // no too_much: nothing waits
    int unheld_ = 0;
    bool memtable_is_full_ = false;  // and to be written out
    // LevelDB schedules nothing before what it scheduled last has run.
    Work work_;
    bool waits_ = false;
    bool asks_ = false;                                    // one of the policy's questions
    std::chrono::steady_clock::time_point slice_began_{};  // of the table that is written
};

}  // namespace kvstore
