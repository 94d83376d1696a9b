// Snapshot streams in and out, and dropping the log behind the state machine.

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/log.h"
#include "kvstore/replica/errors.h"
#include "kvstore/replica/replica_impl.h"

namespace kvstore {

using raft::Position;

// ------------------------------------------------------------------ out

void Replica::Impl::send_snapshot(raft::NodeId to) {
    auto reader = machine.open_snapshot();
    if (!reader) {
        LOG_WARN("replica", "cannot open a snapshot for {:x}: {}", to, reader.error().message);
        return later([this, to] { core->snapshot_finished(to, {}, false); });
    }
    const Position position = (*reader)->position();
    raft::Message head;
    head.type = raft::MessageType::kSnapshot;
    head.from = options.id;
    head.to = to;
    head.term = core->term();
    head.index = position.index;
    head.log_term = position.term;
    head.payload = std::make_shared<const std::string>(
        encode(raft::ConfigEntry{{}, core->log().config_at(position.index)}));
    LOG_INFO("replica", "streaming a snapshot at {} to {:x}", position.index, to);
    std::shared_ptr<SnapshotReader> shared = std::move(*reader);
    env.peers->send_snapshot(
        std::move(head),
        [shared, bytes = options.snapshot_chunk_bytes]() mutable { return shared->next(bytes); },
        [this, to, position, weak = std::weak_ptr<bool>(alive)](base::Status status) {
            if (weak.expired()) return;
            if (!status)
                LOG_WARN("replica", "the snapshot for {:x} failed: {}", to, status.error().message);
            if (status) ++counters.snapshots_sent;
            streams.erase(to);
            core->snapshot_finished(to, position, status.has_value());
            pump();
        });
    streams[to] = position;
}

// ------------------------------------------------------------------ in

base::Status Replica::Impl::on_snapshot_begin(const raft::Message& head) {
    if (!started || stopping || installing) return errors::stopped();
    if (head.term < core->term() || head.index <= core->log().commit())
        return base::Error(base::Code::kFailedPrecondition, "the snapshot is not needed");
    incoming.reset();
    TRY(auto writer, machine.begin_install({head.index, head.log_term}));
    incoming = Incoming{head, std::move(writer)};
    LOG_INFO("replica", "receiving a snapshot at {} from {:x}", head.index, head.from);
    return {};
}

base::Status Replica::Impl::on_snapshot_chunk(raft::NodeId from, std::string_view chunk) {
    if (!incoming || incoming->head.from != from || installing)
        return base::Error(base::Code::kAborted, "another snapshot took its place");
    return incoming->writer->write(chunk);
}

base::Status Replica::Impl::on_snapshot_end(raft::NodeId from) {
    if (!incoming || incoming->head.from != from || installing)
        return base::Error(base::Code::kAborted, "another snapshot took its place");
    // Nothing is given up for a copy that is not whole.
    if (auto sealed = incoming->writer->seal(); !sealed) {
        LOG_WARN("replica", "the snapshot from {:x} is refused: {}", from, sealed.error().message);
        incoming.reset();
        return sealed;
    }
    core->step(incoming->head);
    pump();
    if (!installing) incoming.reset();  // not needed after all
    return {};
}

void Replica::Impl::on_snapshot_aborted(raft::NodeId from) {
    if (incoming && incoming->head.from == from && !installing) incoming.reset();
}

// The log says first what is about to happen; then the state machine is replaced; then the log
// begins anew. Wherever a crash comes between, the next start finishes or forgets it.
void Replica::Impl::install(raft::Effects effects) {
    CHECK(incoming && incoming->head.index == effects.install->position.index);
    installing = true;
    if (effects.hard_state) wal->append(effects.hard_state, {}, raft::Index(0), nullptr);
    effects.hard_state.reset();
    const Position position = effects.install->position;
    const raft::Config config = effects.install->config;
    auto shared = std::make_shared<raft::Effects>(std::move(effects));
    wal->write_intent(position, config, [this, shared] { installed(std::move(*shared)); });
}

void Replica::Impl::installed(raft::Effects effects) {
    if (stopping) return;
    if (aside) {
        auto shared = std::make_shared<raft::Effects>(std::move(effects));
        ++counters.installs_waited;
        after_aside = [this, shared] { installed(std::move(*shared)); };
        return;
    }
    to_apply.clear();
    core->hold_committed(false);
    const Position position = effects.install->position;
    const base::Status status = incoming->writer->finish();
    CHECK(status.has_value(), "cannot install a complete snapshot: {}",
          status ? "" : status.error().to_string());
    incoming.reset();
    CHECK(machine.applied() == position);
    ++counters.snapshots_installed;
    LOG_INFO("replica", "installed a snapshot at {}", position.index);
    // Whether what we had sent is part of it cannot be told.
    for (auto& done : proposals.take_sent())
        done(errors::timeout_leader_failed());
    for (auto& done : take_changes([](const PendingChange& c) { return !c.waiting; }))
        done(errors::timeout_leader_failed());
    applied_term = std::max(applied_term, position.term);
    wal->reset(position, effects.install->config, nullptr);
    effects.install.reset();
    installing = false;
    wal->append(std::nullopt, effects.entries, core->log().commit(),
                [this, ticket = effects.ticket] { written(ticket); });
    apply(std::move(effects.committed));
    serve_reads();
    pump();
}

// ------------------------------------------------------------------ compaction

void Replica::Impl::maybe_compact() {
    if (syncing || installing || wal->bytes() <= options.compact_log_bytes) return;
    // Only for something: a sync makes a table of the little that may have come since the last one.
    if (!wal->can_compact(compaction_limit(machine.applied().index), core->log())) return;
    syncing = true;
    machine.sync([this, weak = std::weak_ptr<bool>(alive)](base::Result<Position> durable) {
        if (weak.expired()) return;
        syncing = false;
        if (stopping || installing) return;
        if (!durable) {
            LOG_ERROR("replica", "cannot sync the store: {}", durable.error().message);
            return;
        }
        const raft::Index limit = compaction_limit(durable->index);
        if (!wal->can_compact(limit, core->log())) return;
        core->compact(wal->compact(limit, core->log()));
        ++counters.compactions;
    });
}

raft::Index Replica::Impl::compaction_limit(raft::Index durable) const {
    raft::Index limit = std::min(durable, core->log().stable());
    limit = std::min(limit, core->emitted());
    // Members that are a little behind catch up from the log, unless it has grown far too long.
    const bool far_too_long = wal->bytes() > 2 * options.compact_log_bytes;
    if (!far_too_long) {
        const std::uint64_t keep = std::min(options.keep_entries, limit.value());
        limit = std::min(limit,
                         std::max(limit - keep, wal->before_last(options.compact_log_bytes / 2)));
    }
    // What is kept for others must not fill the leader's disk.
    if (wal->bytes() < env.disk->room()) {
        for (const auto& [to, position] : streams)
            limit = std::min(limit, position.index);
        // A member that follows gets no snapshot while the log is less: that of a large database
        // takes so long that another would be needed after it, and so on.
        if (core->is_leader() && wal->bytes() < machine.snapshot_bytes())
            for (const auto& [id, progress] : core->progress())
                if (id != options.id && progress.alive() &&
                    progress.has() >= core->log().base().index)
                    limit = std::min(limit, progress.has());
    }
    return limit;
}

}  // namespace kvstore
