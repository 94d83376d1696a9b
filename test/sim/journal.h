#pragma once
// Journal: what was applied, in order, as the first member to apply it showed it; and
// JournalledMachine, the state machine of a member (the real kvstore::Machine) with the journal
// looking on. Every member must apply the same, answer the same and hold the same as the Reference.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kvstore/machine.h"
#include "kvstore/replica/state_machine.h"
#include "test/sim/reference.h"

namespace sim {

class Journal {
  public:
    using Fail = std::function<void(std::string)>;
    // Told of each command when it is applied for the first time.
    using Observer = std::function<void(const kvstore::Command&, const Reference::Answer&)>;
    Journal(Fail fail, Observer observer)
        : fail_(std::move(fail)), observer_(std::move(observer)) {}

    // A member applies the n-th command of an entry (from 0). What it must answer.
    const Reference::Answer& applied(raft::Position entry, std::size_t n, std::string_view payload);
    // A member has applied a whole entry, of `commands` commands.
    void ended(raft::Index entry, std::size_t commands);
    // Whether what a member holds is the state after some entry, not a mixture: `where` says whose.
    void check_content(kvstore::Machine& machine, const std::string& where);
    // The revisions that a member must stand at.
    void check_revisions(kvstore::Machine& machine, const std::string& where);

    const Reference& reference() const { return reference_; }
    raft::Index last() const { return last_; }
    std::size_t commands() const { return commands_; }
    // Of the state at an entry.
    std::int64_t compacted_at(raft::Index index) const { return mark(index).compacted; }
    const std::map<std::int64_t, std::int64_t>& leases_at(raft::Index index) const;

    void fail(std::string why) const { fail_(std::move(why)); }

  private:
    struct Command {
        std::string payload;
        Reference::Answer answer;
    };
    struct Entry {
        raft::Term term;
        std::vector<Command> commands;
    };
    struct Mark {
        std::int64_t revision = 1;
        std::int64_t compacted = 0;
    };
    Mark mark(raft::Index index) const;

    Fail fail_;
    Observer observer_;
    Reference reference_;
    std::map<raft::Index, Entry> entries_;
    std::map<raft::Index, Mark> marks_;
    std::map<raft::Index, std::map<std::int64_t, std::int64_t>> leases_;
    raft::Index last_;
    std::size_t commands_ = 0;
};

class JournalledMachine final : public kvstore::StateMachine {
  public:
    JournalledMachine(Journal& journal, kvstore::Machine& machine, std::string name)
        : journal_(journal), machine_(machine), name_(std::move(name)) {}

    kvstore::ApplyResult apply(const kvstore::ApplyContext& context,
                               std::string_view payload) override;
    // Now and then, so that what waits for room is seen.
    bool has_room() override { return machine_.has_room() && ++asked_ % 50 != 0; }
    void await_room(base::UniqueFunction<void()> done) override {
        machine_.await_room(std::move(done));
    }
    bool takes_long(std::string_view payload) const override {
        return machine_.takes_long(payload);
    }
    void apply_aside(const kvstore::ApplyContext& context, std::string_view payload,
                     base::UniqueFunction<void(kvstore::ApplyResult)> done) override;
    void end_of_batch(raft::Position upto) override;
    void keep_membership(std::string_view bytes) override { machine_.keep_membership(bytes); }
    std::string kept_membership() const override { return machine_.kept_membership(); }
    raft::Position applied() const override { return machine_.applied(); }
    void sync(base::UniqueFunction<void(base::Result<raft::Position>)> done) override {
        machine_.sync(std::move(done));
    }
    base::Result<std::unique_ptr<kvstore::SnapshotReader>> open_snapshot() override {
        return machine_.open_snapshot();
    }
    base::Result<std::unique_ptr<kvstore::SnapshotWriter>> begin_install(
        raft::Position position) override;

  private:
    class Writer;
    void check(const kvstore::ApplyContext& context, const kvstore::ApplyResult& result,
               const Reference::Answer& want) const;
    Journal& journal_;
    kvstore::Machine& machine_;
    int asked_ = 0;
    std::string name_;
    std::optional<raft::Index> entry_;  // being applied
    std::size_t count_ = 0;             // of its commands
};

}  // namespace sim
