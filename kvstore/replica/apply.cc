// What a replica does with committed entries.

#include <fmt/format.h>

#include "base/log.h"
#include "base/planted.h"
#include "kvstore/replica/errors.h"
#include "kvstore/replica/member_codec.h"
#include "kvstore/replica/replica_impl.h"

namespace kvstore {

void Replica::Impl::apply_entry(const raft::Entry& entry,
                                std::vector<Proposals::Finished>* finished) {
    const bool whole = Proposals::for_each(
        entry.data(), [&](raft::NodeId node, std::uint64_t sequence, std::string_view bytes) {
            const bool waits = proposals.waits(node, sequence);
            ApplyResult result = machine.apply({entry.index, entry.term, waits}, bytes);
            if (waits) finished->push_back({proposals.take(sequence), std::move(result)});
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

void Replica::Impl::apply(const std::vector<raft::Entry>& entries) {
    std::vector<Proposals::Finished> finished;
    bool new_term = false;
    for (const raft::Entry& entry : entries) {
        if (entry.term > applied_term) {
            applied_term = entry.term;
            new_term = true;
            counters.proposals_repeated += proposals.lost_before(entry.term);
            lost_changes_before(entry.term);
        }
        if (entry.type == raft::EntryType::kConfig) {
            apply_config(entry);
        } else if (entry.payload) {
            apply_entry(entry, &finished);
        }
    }
    const raft::Entry& last = entries.back();
    machine.end_of_batch({last.index, last.term});
    core->applied(last.index);
    for (auto& f : finished)
        f.done(std::move(f.result));
    if (new_term && proposals.has_unsent()) schedule_flush();
}

void Replica::Impl::serve_reads() {
    if (reads.size() == 0) return;
    const raft::Index applied = machine.applied().index;
    const bool early = base::planted(base::PlantedBug::kReadBeforeApplied);
    for (auto& done : reads.take_ready(early ? core->log().last_index() : applied))
        done(applied);
}

}  // namespace kvstore
