#include "test/sim/journal.h"

#include <fmt/format.h>

namespace sim {

namespace pb = etcdserverpb;

Journal::Mark Journal::mark(raft::Index index) const {
    auto it = marks_.upper_bound(index);
    return it == marks_.begin() ? Mark() : std::prev(it)->second;
}

const std::map<std::int64_t, std::int64_t>& Journal::leases_at(raft::Index index) const {
    static const std::map<std::int64_t, std::int64_t> kNone;
    auto it = leases_.upper_bound(index);
    return it == leases_.begin() ? kNone : std::prev(it)->second;
}

const Reference::Answer& Journal::applied(raft::Position at, std::size_t n,
                                          std::string_view payload) {
    static const Reference::Answer kNone;
    Entry& entry = entries_[at.index];
    if (n == 0 && entry.commands.empty()) entry.term = at.term;
    if (entry.term != at.term)
        return fail(fmt::format("entry {} is applied with terms {} and {}", at.index, entry.term,
                                at.term)),
               kNone;
    if (n < entry.commands.size()) {
        if (entry.commands[n].payload != payload)
            fail(fmt::format("entry {} holds another command {} here", at.index, n));
        return entry.commands[n].answer;
    }
    if (at.index < last_)
        return fail(fmt::format("entry {} has more commands here ({}) than elsewhere", at.index,
                                n + 1)),
               kNone;
    last_ = at.index;
    ++commands_;
    kvstore::Command command;
    if (!command.ParseFromArray(payload.data(), static_cast<int>(payload.size())))
        return fail(fmt::format("entry {} holds what is not a command", at.index)), kNone;
    entry.commands.push_back({std::string(payload), reference_.apply(command, at.term.value())});
    marks_[at.index] = {reference_.revision(), reference_.compacted()};
    if (leases_.empty() || leases_.rbegin()->second != reference_.leases())
        leases_[at.index] = reference_.leases();
    observer_(command, entry.commands.back().answer);
    return entry.commands.back().answer;
}

void Journal::ended(raft::Index index, std::size_t commands) {
    const auto it = entries_.find(index);
    const std::size_t known = it == entries_.end() ? 0 : it->second.commands.size();
    if (known != commands)
        fail(fmt::format("entry {} has {} commands here and {} elsewhere", index, commands, known));
}

void Journal::check_revisions(kvstore::Machine& machine, const std::string& where) {
    const raft::Index at = machine.applied().index;
    const Mark want = mark(at);
    const auto& store = machine.store();
    if (store.revision() != want.revision || store.compacted_revision() != want.compacted)
        fail(
            fmt::format("{} stands at revision {}, compacted {}, with entry {} applied, where "
                        "others had {} and {}",
                        where, store.revision(), store.compacted_revision(), at, want.revision,
                        want.compacted));
}

void Journal::check_content(kvstore::Machine& machine, const std::string& where) {
    check_revisions(machine, where);
    const raft::Index at = machine.applied().index;
    pb::RangeRequest all;
    all.set_key(std::string(1, '\0'));
    all.set_range_end(std::string(1, '\0'));
    const auto have = machine.store().range(all);
    const auto want = reference_.range(all, mark(at).revision, mark(at).compacted);
    if (!have || have->SerializeAsString() != want.bytes)
        fail(fmt::format("{} does not hold what entry {} left", where, at));
    std::map<std::int64_t, std::int64_t> leases;
    for (const auto id : machine.store().leases())
        leases[id] = machine.store().lease_ttl(id);
    if (leases != leases_at(at))
        fail(fmt::format("{} does not have the leases that entry {} left", where, at));
}

// ------------------------------------------------------------------ a member's machine

namespace {

// The answer as the Reference words it.
Reference::Answer answer_of(const kvstore::ApplyResult& result) {
    const auto* output = dynamic_cast<const kvstore::MachineOutput*>(result.get());
    if (output == nullptr) return {"no answer", {}};
    if (!output->response) return {output->response.error().message, {}};
    return std::visit(
        [](const auto& message) -> Reference::Answer {
            if constexpr (std::is_same_v<std::decay_t<decltype(message)>, std::monostate>)
                return {"an empty answer", {}};
            else
                return {{}, message.SerializeAsString()};
        },
        *output->response);
}

}  // namespace

kvstore::ApplyResult JournalledMachine::apply(const kvstore::ApplyContext& context,
                                              std::string_view payload) {
    if (entry_ != context.index) {
        if (entry_) journal_.ended(*entry_, count_);
        entry_ = context.index;
        count_ = 0;
    }
    const Reference::Answer& want =
        journal_.applied({context.index, context.term}, count_++, payload);
    auto result = machine_.apply(context, payload);
    check(context, result, want);
    return result;
}

void JournalledMachine::check(const kvstore::ApplyContext& context,
                              const kvstore::ApplyResult& result,
                              const Reference::Answer& want) const {
    if (!context.want_output) return;
    const Reference::Answer have = answer_of(result);
    if (have.error != want.error || have.bytes != want.bytes)
        journal_.fail(fmt::format("{} answers entry {} otherwise than it should: {}", name_,
                                  context.index, have.error.empty() ? "no error" : have.error));
}

void JournalledMachine::apply_aside(const kvstore::ApplyContext& context, std::string_view payload,
                                    base::UniqueFunction<void(kvstore::ApplyResult)> done) {
    const Reference::Answer want = journal_.applied({context.index, context.term}, 0, payload);
    journal_.ended(context.index, 1);
    machine_.apply_aside(context, payload,
                         [this, context, want, d = std::move(done)](auto result) mutable {
                             check(context, result, want);
                             journal_.check_revisions(machine_, name_);
                             d(std::move(result));
                         });
}

void JournalledMachine::end_of_batch(raft::Position upto) {
    if (entry_) journal_.ended(*entry_, count_);
    entry_.reset();
    machine_.end_of_batch(upto);
    journal_.check_revisions(machine_, name_);
}

class JournalledMachine::Writer final : public kvstore::SnapshotWriter {
  public:
    Writer(JournalledMachine& owner, std::unique_ptr<kvstore::SnapshotWriter> writer)
        : owner_(owner), writer_(std::move(writer)) {}
    base::Status write(std::string_view chunk) override { return writer_->write(chunk); }
    base::Status seal() override { return writer_->seal(); }
    base::Status finish() override {
        auto status = writer_->finish();
        if (status)
            owner_.journal_.check_content(owner_.machine_,
                                          owner_.name_ + " after it installed a snapshot");
        return status;
    }

  private:
    JournalledMachine& owner_;
    std::unique_ptr<kvstore::SnapshotWriter> writer_;
};

base::Result<std::unique_ptr<kvstore::SnapshotWriter>> JournalledMachine::begin_install(
    raft::Position position) {
    TRY(auto writer, machine_.begin_install(position));
    return std::unique_ptr<kvstore::SnapshotWriter>(
        std::make_unique<Writer>(*this, std::move(writer)));
}

}  // namespace sim
