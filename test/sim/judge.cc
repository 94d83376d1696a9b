// The rules that hold after every step; see cluster.h.

#include <fmt/format.h>

#include "raft/core/core.h"
#include "test/sim/cluster.h"

namespace sim {

void Cluster::judge() {
    for (auto& [id, host] : hosts_) {
        if (!host->up()) continue;
        const raft::Core& core = host->replica().core();
        host->damaged = core.repairing();
        if (core.repairing() && !host->was_damaged)
            fail(fmt::format("member {} gives up its vote although nothing was damaged", id));
        const raft::Position applied = host->applied();
        const auto [it, first] =
            committed_.emplace(applied.index, Committed{applied.term, core.term()});
        if (!first && it->second.term != applied.term)
            fail(fmt::format("entry {} applied with terms {} and {}", applied.index,
                             it->second.term, applied.term));
        if (!core.is_leader()) continue;
        const auto [known, is_new] = leaders_.emplace(core.term(), id);
        if (known->second != id)
            fail(fmt::format("two leaders in term {}: {} and {}", core.term(), known->second, id));
        if (is_new) {
            world_.trace(fmt::format("member {} leads in term {}", id, core.term()));
            judge_leader(*host);
            storms_.elected(*host);
        }
    }
    if (world_.events_run() % 256 == 0) judge_matching();
}

// What was applied anywhere is in the log of every later leader.
void Cluster::judge_leader(const Host& host) {
    const raft::Log& log = host.replica().core().log();
    for (auto it = committed_.lower_bound(log.base().index); it != committed_.end(); ++it)
        if (log.term(it->first) != it->second.term && it->second.seen_in <= host.replica().term())
            return fail(fmt::format("leader {} of term {} lacks the committed entry {}", host.id(),
                                    host.replica().term(), it->first));
}

// Two logs that agree at one index agree at all before it.
void Cluster::judge_matching() {
    for (auto& [a, left] : hosts_) {
        for (auto& [b, right] : hosts_) {
            if (!left->up() || !right->up() || !(a < b)) continue;
            const raft::Log& x = left->replica().core().log();
            const raft::Log& y = right->replica().core().log();
            bool agreed = false;
            const raft::Index low = std::max(x.base().index, y.base().index);
            for (raft::Index i = std::min(x.last_index(), y.last_index());
                 i >= low && i > raft::Index(0); --i) {
                const bool same = x.term(i) == y.term(i);
                if (agreed && !same)
                    return fail(
                        fmt::format("logs of {} and {} agree after {} but not there", a, b, i));
                agreed = agreed || same;
            }
        }
    }
}

}  // namespace sim
