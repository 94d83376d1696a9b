#include "test/sim/cluster.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "raft/core/core.h"

namespace sim {

struct Cluster::SimClock final : kvstore::Clock {
    SimClock(Cluster& c, raft::NodeId i) : cluster(c), id(i) {
        // No two clocks run alike.
        drift_percent = cluster.world_.random.between(85, 115);
    }
    ~SimClock() override { cancel(); }
    base::Millis now() const override {
        return base::Millis(cluster.world_.now() * drift_percent / 100 / kMilli);
    }
    void every(base::Millis period, base::UniqueFunction<void()> f) override {
        tick = std::make_shared<base::UniqueFunction<void()>>(std::move(f));
        wait(static_cast<Micros>(period.count()) * kMilli * 100 / drift_percent);
    }
    void wait(Micros period) {
        cluster.world_.after(period, [this, period, weak = std::weak_ptr(tick)] {
            if (weak.expired()) return;
            cluster.at_node(id, [weak] {
                if (auto f = weak.lock()) (*f)();
            });
            if (!weak.expired()) wait(period);
        });
    }
    void cancel() override { tick.reset(); }
    void defer(base::UniqueFunction<void()> f) override {
        auto held = std::make_shared<base::UniqueFunction<void()>>(std::move(f));
        cluster.world_.after(cluster.world_.random.below(50),
                             [this, held, weak = std::weak_ptr(alive)] {
                                 if (weak.expired()) return;
                                 cluster.at_node(id, [held] { (*held)(); });
                             });
    }

    Cluster& cluster;
    raft::NodeId id;
    std::uint64_t drift_percent = 100;
    std::shared_ptr<base::UniqueFunction<void()>> tick;
    std::shared_ptr<bool> alive = std::make_shared<bool>(true);
};

Cluster::Cluster(World& world, std::size_t members) : world_(world), net_(world) {
    net_.run_at = [this](raft::NodeId id, base::UniqueFunction<void()> f) {
        at_node(id, std::move(f));
    };
    max_load_ = 1 + world_.random.below(8);
    lease_reads_ = world_.random.chance(1, 3);
    with_damage_ = members >= 3 && world_.random.chance(1, 3);
    for (std::size_t i = 0; i < members; ++i) {
        auto node = std::make_unique<Node>();
        node->id = raft::NodeId(++last_id_);
        node->initial = true;
        node->disk = std::make_unique<SimDisk>(world_);
        initial_.push_back({node->id, fmt::format("m{}", last_id_), {}, {}, false});
        nodes_[node->id] = std::move(node);
    }
}

Cluster::~Cluster() {
    faults_ = false;
    for (auto& [id, node] : nodes_)
        node->replica.reset();
}

void Cluster::fail(std::string why) {
    if (!failure_) failure_ = std::move(why);
}

// An event at a member: dropped when its process is gone, late while it is paused.
void Cluster::at_node(raft::NodeId id, base::UniqueFunction<void()> f) {
    const auto it = nodes_.find(id);
    if (it == nodes_.end() || !it->second->up()) return;
    Node& node = *it->second;
    if (node.paused_until <= world_.now()) return f();
    auto held = std::make_shared<base::UniqueFunction<void()>>(std::move(f));
    world_.after(node.paused_until - world_.now() + 1, [this, id, held, process = node.process] {
        const auto again = nodes_.find(id);
        if (again != nodes_.end() && again->second->process == process)
            at_node(id, std::move(*held));
    });
}

void Cluster::start(Node& node) {
    CHECK(!node.up());
    ++node.process;
    node.paused_until = 0;
    world_.trace(fmt::format("start {}", node.id));
    node.clock = std::make_unique<SimClock>(*this, node.id);
    node.endpoint = std::make_unique<SimNet::Endpoint>(net_, node.id);
    node.machine = std::make_unique<MapMachine>(
        world_, node.machine_disk, [this, &node](std::uint64_t operation, std::uint64_t write) {
            applied(node, operation, write);
        });
    kvstore::ReplicaOptions options;
    options.id = node.id;
    options.cluster_id = 7;
    options.lease_reads = lease_reads_;
    options.leader_priority = static_cast<std::uint32_t>(node.id.value() % 3);
    if (node.initial) options.initial_members = initial_;
    options.tick = base::Millis(50);
    options.seed = world_.random.next();
    options.wal_segment_bytes = 2048;
    options.compact_log_bytes = 6144;
    options.keep_entries = world_.random.below(10);
    options.snapshot_chunk_bytes = 200;
    options.request_timeout = base::Millis(3000);
    auto replica = kvstore::Replica::open(options, *node.machine,
                                          {node.clock.get(), node.disk.get(), node.endpoint.get()});
    if (!replica)
        return fail(
            fmt::format("member {} does not start: {}", node.id, replica.error().to_string()));
    node.replica = std::move(*replica);
}

void Cluster::collect(Node& node) {
    const raft::Counters& c = node.replica->core().counters();
    World::cover("campaigns", c.campaigns);
    World::cover("elections won", c.elections_won);
    World::cover("appends rejected", c.append_rejected);
    World::cover("log suffixes replaced", c.truncations);
    World::cover("leaders that lost their quorum", c.quorum_lost);
    World::cover("snapshots installed", c.snapshots_installed);
    World::cover("leader transfers", c.transfers);
    World::cover("linearizable reads", c.reads);
    World::cover("linearizable reads under a lease", c.lease_reads);
    World::cover("transfers by priority", c.priority_transfers);
    World::cover("entries applied before the own disk had them", c.early_commits);
    if (node.replica->core().log().base().index > raft::Index(0)) World::cover("logs compacted");
    const kvstore::ReplicaCounters& r = node.replica->counters();
    World::cover("torn tails cut", r.torn_tails_cut);
    World::cover("proposals sent again", r.proposals_repeated);
    World::cover("states ahead of their log", r.states_ahead_of_log);
    World::cover("members repaired", c.repairs);
    World::cover("log compactions", r.compactions);
    if (c.malformed > 0)
        fail(fmt::format("member {} called {} messages malformed", node.id, c.malformed));
}

void Cluster::crash(Node& node) {
    if (!node.up()) return;
    world_.trace(fmt::format("crash {}", node.id));
    World::cover("crashes");
    collect(node);
    node.disk->crash();
    MapMachine::crash(world_, &node.machine_disk);
    node.replica.reset();
    node.machine.reset();
    node.endpoint.reset();
    node.clock.reset();
}

Cluster::Node* Cluster::pick(bool up) {
    std::vector<Node*> some;
    for (auto& [id, node] : nodes_)
        if (node->up() == up && !node->removed) some.push_back(node.get());
    return some.empty() ? nullptr : some[world_.random.below(some.size())];
}

Cluster::Node* Cluster::leader() {
    for (auto& [id, node] : nodes_)
        if (node->up() && node->replica->is_leader()) return node.get();
    return nullptr;
}

bool Cluster::run_until(Micros end) {
    while (!failure_ && world_.now() < end) {
        if (!world_.step()) return true;
        judge();
    }
    return !failure_;
}

std::optional<std::string> Cluster::run(Micros duration) {
    for (auto& [id, node] : nodes_)
        start(*node);
    client_loop();
    fault_loop();
    if (!run_until(duration)) return failure_;

    // Liveness: everything heals, nothing new breaks; all must agree soon.
    world_.trace("heal");
    faults_ = false;
    net_.heal();
    net_.set_chances(0, 0, 200, 2000);
    // Members that were removed without our hearing of it stay down.
    for (auto& [id, node] : nodes_) {
        node->paused_until = 0;
        node->disk->set_speed(100, 2000);
        if (!node->up() && !node->removed) start(*node);
    }
    if (!run_until(world_.now() + 4 * kSecond)) return failure_;
    final_writes();
    const Micros limit = world_.now() + 20 * kSecond;
    while (!failure_ && !converged()) {
        if (world_.now() > limit) {
            std::string state = fmt::format(" ({} answers missing, {} operations)", final_pending_,
                                            operations_.size() - 1);
            for (auto& [id, node] : nodes_)
                if (node->up())
                    state += fmt::format(
                        "; {}: {} term {} leader {} applied {} commit {} last {} members {}", id,
                        raft::role_name(node->replica->role()), node->replica->term(),
                        node->replica->leader(), node->replica->applied_index(),
                        node->replica->committed_index(), node->replica->core().log().last_index(),
                        node->replica->members().size());
            fail("no convergence after healing" + state);
            break;
        }
        run_until(world_.now() + 100 * kMilli);
    }
    for (auto& [id, node] : nodes_)
        if (node->up()) collect(*node);
    world_.trace(fmt::format("end, {} operations", operations_.size() - 1));
    return failure_;
}

}  // namespace sim
