// What a replica does with committed entries.

#include <fmt/format.h>

#include "base/log.h"
#include "base/planted.h"
#include "kvstore/replica/errors.h"
#include "kvstore/replica/member_codec.h"
#include "kvstore/replica/replica_impl.h"

namespace kvstore {
namespace {
// Of entries that are written to the database in one batch, about.
constexpr std::size_t kBatchBytes = 4 << 20;
}  // namespace

void Replica::Impl::apply_entry(const raft::Entry& entry,
                                std::vector<Proposals::Finished>* finished) {
    const bool whole = Proposals::for_each(
        entry.data(), [&](raft::NodeId node, std::uint64_t sequence, std::string_view bytes) {
            const bool waits = proposals.waits(node, sequence);
            ApplyResult result = machine.apply({entry.index, entry.term, waits}, bytes);
            if (waits) finished->push_back({proposals.take(sequence), std::move(result)});
            return true;
        });
    // All members see the same bytes, so they skip the same part.
    if (!whole) LOG_ERROR("replica", "entry {} holds a malformed batch; skipped", entry.index);
}

void Replica::Impl::apply_config(const raft::Entry& entry) {
    machine.keep_membership(entry.data());
    const auto config = raft::decode_config_entry(entry.data());
    // A joint membership is half of a change: whoever waits for it is answered at its end.
    if (!config || config->config.joint() || config->request.node != options.id) return;
    const auto it = changes.find(config->request.sequence);
    if (it == changes.end()) return;
    MembersCallback done = std::move(it->second.done);
    changes.erase(it);
    // To be called when the batch is written; members as of this entry.
    later([done = std::move(done), list = to_members(config->config)]() mutable {
        done(std::move(list));
    });
}

// Whatever was proposed in earlier terms and is not applied until now never will be.
void Replica::Impl::note_term(const raft::Entry& entry) {
    if (entry.term <= applied_term) return;
    applied_term = entry.term;
    counters.proposals_repeated += proposals.lost_before(entry.term);
    lost_changes_before(entry.term);
}

// The proposal of an entry that is to be applied aside.
std::optional<Proposals::One> Replica::Impl::long_proposal(const raft::Entry& entry) const {
    if (entry.type != raft::EntryType::kData || !entry.payload) return std::nullopt;
    const auto one = Proposals::only_one(entry.data());
    return one && machine.takes_long(one->bytes) ? one : std::nullopt;
}

void Replica::Impl::apply(std::vector<raft::Entry> entries) {
    if (entries.empty()) return;
    CHECK(to_apply.empty());
    to_apply = std::move(entries);
    apply_from(0);
}

void Replica::Impl::apply_from(std::size_t first) {
    while (first < to_apply.size()) {
        if (!machine.has_room()) return await_room(first);
        if (const auto one = long_proposal(to_apply[first])) return apply_aside(first, *one);
        first = apply_batch(first);
    }
    to_apply.clear();
    core->hold_committed(false);
    if (proposals.has_unsent()) schedule_flush();
}

// Up to the end, to an entry that is to be applied aside, or to so many bytes. Where it got.
std::size_t Replica::Impl::apply_batch(std::size_t first) {
    std::vector<Proposals::Finished> finished;
    std::size_t i = first;
    std::size_t bytes = 0;
    do {
        const raft::Entry& entry = to_apply[i];
        note_term(entry);
        bytes += entry.cost();
        if (entry.type == raft::EntryType::kConfig) {
            apply_config(entry);
        } else if (entry.payload) {
            apply_entry(entry, &finished);
        }
    } while (++i < to_apply.size() && bytes < kBatchBytes && !long_proposal(to_apply[i]));
    const raft::Entry& last = to_apply[i - 1];
    machine.end_of_batch({last.index, last.term});
    core->applied(last.index);
    for (auto& f : finished)
        f.done(std::move(f.result));
    return i;
}

// The core goes on, and keeps what is committed meanwhile to itself.
void Replica::Impl::hold() {
    aside = true;
    core->hold_committed(true);
}

// Whether applying goes on: a snapshot takes the place of all this.
bool Replica::Impl::released() {
    aside = false;
    if (after_aside) {
        std::exchange(after_aside, nullptr)();
        return false;
    }
    return !installing;
}

void Replica::Impl::await_room(std::size_t first) {
    hold();
    ++counters.waits_for_room;
    machine.await_room([this, weak = std::weak_ptr<bool>(alive), first] {
        if (weak.expired() || stopping || !released()) return;
        apply_from(first);
        serve_reads();
        pump();
    });
}

void Replica::Impl::apply_aside(std::size_t i, const Proposals::One& proposal) {
    const raft::Entry& entry = to_apply[i];
    note_term(entry);
    hold();
    ++counters.applied_aside;
    machine.apply_aside(
        {entry.index, entry.term, proposals.waits(proposal.node, proposal.sequence)},
        proposal.bytes,
        [this, weak = std::weak_ptr<bool>(alive), i, index = entry.index, node = proposal.node,
         sequence = proposal.sequence](ApplyResult result) {
            if (weak.expired() || stopping) return;
            if (proposals.waits(node, sequence)) proposals.take(sequence)(std::move(result));
            if (!released()) return;
            core->applied(index);
            apply_from(i + 1);
            serve_reads();
            pump();
        });
}

void Replica::Impl::serve_reads() {
    if (reads.size() == 0) return;
    const raft::Index applied = machine.applied().index;
    const bool early = base::planted(base::PlantedBug::kReadBeforeApplied);
    for (auto& done : reads.take_ready(early ? core->log().last_index() : applied))
        done(applied);
}

}  // namespace kvstore
