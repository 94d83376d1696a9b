#pragma once
// Machine: everything that the log's entries act on, in one place: the database, the MVCC store on
// it, the watchers and the lessor. It takes entries in order and gives each its answer; at the end
// of a batch it commits to LevelDB (the applied index in the same write) and tells the watchers.
// Store loop only; a command that deletes many keys is carried out by a store of its own on a fork
// of the database, off the loop.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "kvstore/auth/auth_state.h"
#include "kvstore/auth/tokens.h"
#include "kvstore/core/alarms.h"
#include "kvstore/core/lessor.h"
#include "kvstore/core/watch_hub.h"
#include "kvstore/mvcc/db.h"
#include "kvstore/mvcc/snapshot.h"
#include "kvstore/mvcc/store.h"
#include "kvstore/proto/command.pb.h"
#include "kvstore/replica/state_machine.h"

namespace kvstore {

using Response =
    std::variant<std::monostate, etcdserverpb::PutResponse, etcdserverpb::DeleteRangeResponse,
                 etcdserverpb::TxnResponse, etcdserverpb::CompactionResponse,
                 etcdserverpb::LeaseGrantResponse, etcdserverpb::LeaseRevokeResponse,
                 etcdserverpb::LeaseCheckpointResponse, etcdserverpb::AlarmResponse,
                 etcdserverpb::AuthEnableResponse>;  // the last: of every change of users and roles

// What a command answers, for the waiter on this member.
struct MachineOutput final : ApplyOutput {
    explicit MachineOutput(base::Result<Response> r) : response(std::move(r)) {}
    base::Result<Response> response;
};

// A store of one moment, on its own fork of the database.
struct StoreView {
    explicit StoreView(const Database& of) : database(of.fork()), store(*database) {}
    std::unique_ptr<Database> database;
    MvccStore store;
};

class Machine final : public StateMachine {
  public:
    struct Options {
        std::string directory;
        Database::Options database;  // its directory is set here
        // Milliseconds of a monotonic clock, for leases.
        std::function<std::int64_t()> now_ms;
        // Runs blocking work, then its second argument on the store loop. Null: both at once
        // (tests, simulator).
        std::function<void(base::UniqueFunction<void()> work, base::UniqueFunction<void()> then)>
            in_background;
        // The database failed, and what it holds is unknown. Must not return. Null: the process
        // ends.
        std::function<void(const base::Error&)> on_failure;
        // Commands that delete more keys are carried out in the background.
        std::size_t long_command_keys = 1000;
    };
    // Opens what is in the directory. A database that is damaged, or was found to be when it was
    // last in use, is set aside (DIRECTORY.damaged), and the machine begins empty: the replica gets
    // its content from the log or from the other members, or says that it cannot.
    static base::Result<std::unique_ptr<Machine>> open(Options options);

    MvccStore& store() { return *store_; }
    WatchHub& hub() { return *hub_; }
    Lessor& lessor() { return lessor_; }
    const auth::AuthState& auth() const { return auth_; }
    auth::TokenTable& tokens() { return tokens_; }
    const Alarms& alarms() const { return alarms_; }
    Database& database() { return *db_; }
    // Of this moment; readers may outlast its time in use.
    std::shared_ptr<const Database> shared_database() const { return db_; }
    // Runs `work` off the loop, then `then` on it; both at once where there is no other thread.
    void in_background(base::UniqueFunction<void()> work, base::UniqueFunction<void()> then);
    std::int64_t now_ms() const { return options_.now_ms(); }
    // Of a command that is not in the log yet: whether it should have an entry of its own.
    bool takes_long(const Command& command) const {
        return store_->deletes_more_than(command, options_.long_command_keys);
    }
    // While a command is carried out aside, or room is awaited, nothing else may write to the
    // store.
    bool busy() const { return busy_; }
    // The store as it stands, to be read on one other thread, or later.
    std::shared_ptr<const StoreView> view() const;

    // StateMachine
    bool has_room() override;
    void await_room(base::UniqueFunction<void()> done) override;
    bool takes_long(std::string_view payload) const override;
    void apply_aside(const ApplyContext& context, std::string_view payload,
                     base::UniqueFunction<void(ApplyResult)> done) override;
    ApplyResult apply(const ApplyContext& context, std::string_view payload) override;
    void end_of_batch(raft::Position upto) override;
    void keep_membership(std::string_view bytes) override;
    std::string kept_membership() const override;
    raft::Position applied() const override { return applied_; }
    void sync(base::UniqueFunction<void(base::Result<raft::Position>)> done) override;
    base::Result<std::unique_ptr<SnapshotReader>> open_snapshot() override;
    std::uint64_t snapshot_bytes() const override;
    base::Result<std::unique_ptr<SnapshotWriter>> begin_install(raft::Position position) override;

    // Seconds, as etcd limits them.
    static constexpr std::int64_t kMaxLeaseTtl = 9'000'000'000;

  private:
    class Reader;
    class Writer;
    struct Aside;

    explicit Machine(Options options);
    base::Status load();
    // Marks a new database with the format of its data; FailedPrecondition where it is another.
    base::Status check_format();
    base::Status set_damaged_aside(const std::string& damage) const;
    Files& files() const;
    std::string damage_mark() const { return options_.directory + "/damaged"; }
    // After an install: the new generation in the old one's place. Watchers read on from history.
    base::Status reload(raft::Position position);
    // Whether the command counts at all.
    base::Status admits(const Command& command, raft::Term term) const;
    base::Result<Response> run(const Command& command);
    // The part of `run` that the store alone does.
    static base::Result<Response> change(MvccStore& store, const Command& command);
    void finish_aside(Aside& aside);
    // Users, roles and tokens (kvstore/machine_auth.cc).
    base::Status load_auth();
    base::Result<Response> run_auth(const Command& command);

    Options options_;
    DatabaseDirectory directory_;
    // Shared with snapshot readers and a sync under way, which may outlast its time in use.
    std::shared_ptr<Database> db_;
    std::unique_ptr<MvccStore> store_;
    std::unique_ptr<WatchHub> hub_;
    Lessor lessor_;
    auth::AuthState auth_;
    auth::TokenTable tokens_;
    Alarms alarms_;
    std::vector<RevisionEventsPtr> events_;  // of the batch under way
    raft::Position applied_;
    bool busy_ = false;
    std::chrono::milliseconds pause_{0};                          // what has_room() found
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // what comes back later checks it
};

}  // namespace kvstore
