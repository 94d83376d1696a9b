// Opening: what the log and the state machine hold is made to agree, and the core begins from it.

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/log.h"
#include "kvstore/replica/member_codec.h"
#include "kvstore/replica/replica_impl.h"

namespace kvstore {

using raft::Index;
using raft::Position;
using raft::Term;

base::Status Replica::Impl::open() {
    raft::WalRecovered recovered;
    raft::WalOptions wal_options{options.cluster_id, options.id, options.wal_segment_bytes};
    const auto kept = raft::decode_config_entry(machine.kept_membership());
    wal_options.fallback = kept ? kept->config : to_config(options.initial_members);
    TRY(wal, raft::Wal::open(*env.disk, std::move(wal_options), &recovered, [this] { ready(); }));
    if (recovered.torn_tail_cut) ++counters.torn_tails_cut;
    if (!recovered.damaged_vote.empty())
        LOG_WARN("replica", "one copy of the vote record was damaged, and is written again: {}",
                 recovered.damaged_vote);
    if (recovered.damaged_in)
        LOG_WARN("replica", "this member has no vote until the others have repaired it");
    const bool never_ran = recovered.log.last == Index(0) && recovered.hard.term == Term(0) &&
                           machine.applied().index == Index(0);
    if (never_ran && !options.initial_members.empty()) {
        bootstrap(&recovered);
    } else {
        TRY_VOID(reconcile(&recovered));
    }
    raft::CoreOptions core_options;
    core_options.id = options.id;
    core_options.heartbeat_ticks = ticks_of(options.heartbeat);
    core_options.election_ticks = ticks_of(options.election_min);
    core_options.disk_stall_ticks = ticks_of(options.disk_stall);
    core_options.priority = options.leader_priority;
    if (options.lease_reads) {
        const base::Millis lease = (options.election_min - 2 * options.tick) * 7 / 10;
        core_options.lease_ms =
            static_cast<std::uint64_t>(std::max<std::int64_t>(1, lease.count()));
        core_options.promise_ms = static_cast<std::uint64_t>(options.election_min.count());
    }
    core_options.max_message_bytes = options.max_message_bytes;
    core_options.seed = options.seed;
    const Position applied = machine.applied();
    applied_term = applied.term;
    core = std::make_unique<raft::Core>(core_options,
                                        raft::Recovered{recovered.hard, std::move(recovered.log),
                                                        std::max(recovered.commit, applied.index),
                                                        applied.index, recovered.damaged_in},
                                        *wal);
    env.disk->on_trouble([this](base::Status status) {
        storage_full = !status;
        for (const auto& f : storage_observers)
            f(status);
    });
    env.peers->start(this);
    update_peers();
    env.clock->every(options.tick, [this] { on_tick(); });
    return {};
}

// Every initial member writes the same first entry, which is therefore committed from the start.
void Replica::Impl::bootstrap(raft::WalRecovered* recovered) {
    const raft::Config config = to_config(options.initial_members);
    CHECK(config.find(options.id) != nullptr, "the initial members do not contain this one");
    raft::Entry first{Term(1), Index(1), raft::EntryType::kConfig,
                      std::make_shared<const std::string>(encode(raft::ConfigEntry{{}, config}))};
    recovered->hard = {Term(1), raft::kNobody};
    recovered->commit = Index(1);
    recovered->log.last = Index(1);
    recovered->log.term_starts = {{Index(1), Term(1)}};
    recovered->log.configs = {{Index(1), config}};
    ++opening_writes;
    wal->append(recovered->hard, {first}, Index(1), [this] { ready(); });
}

// Makes the log and the state machine agree where a crash came between the two, or damage.
base::Status Replica::Impl::reconcile(raft::WalRecovered* recovered) {
    const Position applied = machine.applied();
    const raft::RecoveredLog& log = recovered->log;
    if (applied.index < log.base.index)
        return rebuild_log(recovered,
                           fmt::format("the store's data ends at entry {}, but the log begins "
                                       "after {}: a part of it was lost",
                                       applied.index, log.base.index));
    Term logged = log.base.term;
    for (const Position& run : log.term_starts)
        if (run.index <= applied.index) logged = run.term;
    if (applied.index <= log.last && logged == applied.term) return {};
    // Either a snapshot was installed and the process died before the log was reset, or entries
    // that the others had on disk were applied here and our own disk lost them.
    if (recovered->intent && recovered->intent->first == applied) {
        restart_log(recovered, recovered->intent->second);
    } else if (recovered->damaged_in) {
        // What is intact of a damaged log may end before the state, or in entries that others
        // replaced later.
        return rebuild_log(recovered, recovered->damage);
    } else if (applied.index > log.last) {
        restart_log(recovered, log.configs.empty() ? log.base_config : log.configs.back().second);
    } else {
        return base::data_loss(fmt::format("entry {} was applied with term {} but logged with {}",
                                           applied.index, applied.term, logged));
    }
    return {};
}

// The log behind the state is lost: it begins anew where the state ends, and what the other members
// have beyond comes from them.
base::Status Replica::Impl::rebuild_log(raft::WalRecovered* recovered, const std::string& damage) {
    raft::Config config = recovered->log.configs.empty() ? recovered->log.base_config
                                                         : recovered->log.configs.back().second;
    // With no state the newest membership known is as good as any: it only says whom to talk to.
    if (machine.applied().index > Index(0)) {
        const auto kept = raft::decode_config_entry(machine.kept_membership());
        if (!kept) return base::data_loss(damage);
        config = kept->config;
    }
    const std::size_t others = config.voters() - (config.is_voter(options.id) ? 1 : 0);
    if (others == 0)
        return base::data_loss(damage +
                               ", and no other member can give it back: restore a snapshot");
    LOG_ERROR("replica", "{}; the rest comes from the other members", damage);
    if (!recovered->damaged_in) {
        recovered->damaged_in = recovered->hard.term;
        wal->note_damage(*recovered->damaged_in);
    }
    restart_log(recovered, std::move(config));
    return {};
}

void Replica::Impl::restart_log(raft::WalRecovered* recovered, raft::Config config) {
    const Position applied = machine.applied();
    LOG_INFO("replica", "the log ends at {}, the state at {}: going on from the state",
             recovered->log.last, applied.index);
    ++counters.states_ahead_of_log;
    ++opening_writes;
    wal->reset(applied, config, [this] { ready(); });
    recovered->log = raft::RecoveredLog{applied, std::move(config), applied.index, {}, {}};
    recovered->commit = applied.index;
}

void Replica::Impl::ready() {
    if (--opening_writes > 0) return;
    started = true;
    pump();
}

}  // namespace kvstore
