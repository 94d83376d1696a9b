#pragma once
// What a replica replicates: a deterministic state machine that is fed the same proposals in the
// same order on every member. The replica calls it on the store loop unless a method says
// otherwise; it never calls back into the replica from inside these methods.
//
// Durability: the Raft log is the durable truth. apply() and end_of_batch() need not sync, but what
// they write and the position given to end_of_batch() must reach the disk together (one LevelDB
// WriteBatch) and in order (after a crash the state is that of some earlier end_of_batch(), never a
// mixture). On restart the replica feeds again only what comes after applied().

#include <memory>
#include <string>
#include <string_view>

#include "base/function.h"
#include "base/result.h"
#include "raft/core/types.h"

namespace kvstore {

// What a proposal answers to whoever waits for it on this member: the state machine's own type,
// which the proposer casts back to.
class ApplyOutput {
  public:
    virtual ~ApplyOutput() = default;
};
using ApplyResult = std::unique_ptr<ApplyOutput>;

struct ApplyContext {
    raft::Index index;  // several proposals may share one (a log entry carries a batch)
    raft::Term term;
    // Somebody on this member waits for the answer; otherwise return null and save the work.
    bool want_output = false;
};

// A consistent copy of the whole state as a stream of bytes. Memory is bounded by a chunk. Used
// from one thread at a time, not always the store loop, while the store goes on applying. Destroyed
// on the store loop.
class SnapshotReader {
  public:
    virtual ~SnapshotReader() = default;
    // The position that the copy stands for: applied() at the moment of open_snapshot().
    virtual raft::Position position() const = 0;
    // The next chunk, at most `max_bytes`; empty at the end.
    virtual base::Result<std::string> next(std::size_t max_bytes) = 0;
};

// Takes such a stream in. Nothing of the current state changes before finish(); destroying the
// writer without finish() throws the partial copy away, and so does a restart.
class SnapshotWriter {
  public:
    virtual ~SnapshotWriter() = default;
    virtual base::Status write(std::string_view chunk) = 0;
    // Once all is written: whether it is a whole and undamaged copy, which is durable now.
    virtual base::Status seal() = 0;
    // Replaces the state by the sealed copy, whole or not at all even if the process dies in the
    // middle, durable when it returns. applied() is the snapshot's position from here on. The
    // process cannot go on after an error.
    virtual base::Status finish() = 0;
};

class StateMachine {
  public:
    virtual ~StateMachine() = default;

    // One proposal. What is wrong with a request is a part of its output, not a failure here: every
    // member must do the same. The caller's waiter gets the output after end_of_batch().
    virtual ApplyResult apply(const ApplyContext& context, std::string_view payload) = 0;

    // After one or more whole log entries: write out (the position `upto` in the same write), tell
    // watchers. Also called for entries without proposals, so that applied() moves on.
    virtual void end_of_batch(raft::Position upto) = 0;

    // False while a write would have to wait for the disk: nothing is applied then, and reads go
    // on.
    virtual bool has_room() { return true; }
    // Calls `done` on the store loop when it is time to ask has_room() again. Until then as with
    // apply_aside().
    virtual void await_room(base::UniqueFunction<void()> done) { done(); }

    // Whether apply() of the proposal would hold the store loop up for long.
    virtual bool takes_long(std::string_view /*payload*/) const { return false; }
    // Such a proposal, with an entry of its own, right after an end_of_batch(): instead of apply()
    // and end_of_batch() of that entry, off the store loop. Until `done` is called there with the
    // output, the state is what it was, and reads go on; nothing but open_snapshot(), sync() and
    // begin_install() is called here.
    virtual void apply_aside(const ApplyContext& /*context*/, std::string_view /*payload*/,
                             base::UniqueFunction<void(ApplyResult)> /*done*/) {}

    // The group's membership changed with this entry: to be kept like everything else that is
    // applied, snapshots included, so that the state can stand without the log before it. Opaque.
    virtual void keep_membership(std::string_view) {}
    // The newest that was kept; empty when there is none, or none is ever kept.
    virtual std::string kept_membership() const { return {}; }

    // The last position given to end_of_batch() or installed; {0,0} when new. Right after opening:
    // what the disk holds.
    virtual raft::Position applied() const = 0;

    // Makes everything applied so far durable, then calls `done` on the store loop with the
    // position that is durable now. May call it before returning. The log before that position may
    // then be dropped.
    virtual void sync(base::UniqueFunction<void(base::Result<raft::Position>)> done) = 0;

    virtual base::Result<std::unique_ptr<SnapshotReader>> open_snapshot() = 0;
    // How many bytes that would be, about.
    virtual std::uint64_t snapshot_bytes() const { return 0; }
    // A second install while one is open: the replica destroys the first before.
    virtual base::Result<std::unique_ptr<SnapshotWriter>> begin_install(
        raft::Position position) = 0;
};

}  // namespace kvstore
