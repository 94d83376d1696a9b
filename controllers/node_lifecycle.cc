#include "controllers/node_lifecycle.h"

#include <algorithm>
#include <map>

#include "api/proto/coordination_v1.pb.h"
#include "api/status.h"
#include "api/util.h"

namespace controllers {
namespace {

using api::coordination::Lease;
using api::core::Node;
using api::core::Pod;

struct ConditionTaint {
    const char* type;
    const char* status;
    const char* key;
    bool evicts;
};
constexpr ConditionTaint kTaints[] = {
    {"Ready", "False", "node.kubernetes.io/not-ready", true},
    {"Ready", "Unknown", "node.kubernetes.io/unreachable", true},
    {"MemoryPressure", "True", "node.kubernetes.io/memory-pressure", false},
    {"DiskPressure", "True", "node.kubernetes.io/disk-pressure", false},
    {"PIDPressure", "True", "node.kubernetes.io/pid-pressure", false},
    {"NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable", false},
};
constexpr const char* kUnschedulable = "node.kubernetes.io/unschedulable";

const api::core::NodeCondition* condition_of(const Node& node, std::string_view type) {
    for (const auto& condition : node.status().conditions())
        if (condition.type() == type) return &condition;
    return nullptr;
}

class NodeLifecycle final : public api::Controller {
  public:
    NodeLifecycle(base::Loop& loop, std::shared_ptr<api::Client> client, api::Informers& informers,
                  api::EventRecorder& events, base::Millis grace)
        : Controller("node-lifecycle-controller", loop, 8),
          client_(std::move(client)),
          nodes_(informers.of<Node>()),
          leases_(informers.of<Lease>()),
          pods_(informers.of<Pod>()),
          events_(events),
          grace_(grace) {
        index_by_node(pods_);
        watch_own(nodes_);
    }

  private:
    struct Health {
        std::string lease_version;
        std::int64_t heartbeat = 0;
        base::SteadyTime seen{};
    };

    base::Task<void> reconcile(std::string key) override {
        auto node = nodes_.get_as<Node>(key);
        if (node == nullptr) {
            health_.erase(key);
            co_return base::Status();
        }
        queue().add_after(key, std::clamp(grace_ / 8, base::Millis(50), base::Millis(5000)));
        if (is_silent(*node)) {
            CO_TRY(node, co_await mark_unknown(node));
        }
        auto tainted = api::copy(*node);
        if (set_condition_taints(tainted.get(), api::wall_now())) {
            CO_TRY_VOID(co_await client_->update<Node>(std::move(tainted)));
        }
        const auto* ready = condition_of(*node, "Ready");
        if (ready != nullptr && ready->status() != "True")
            co_return co_await mark_pods_not_ready(key);
        co_return base::Status();
    }

    // Whether it has said nothing for the grace period; notes what it has said.
    bool is_silent(const Node& node) {
        const auto now = std::chrono::steady_clock::now();
        auto [it, fresh] = health_.try_emplace(node.metadata().name());
        Health& health = it->second;
        const auto lease = leases_.get("kube-node-lease/" + node.metadata().name());
        const std::string version = lease == nullptr ? "" : api::meta_of(*lease).resourceversion();
        const auto* ready = condition_of(node, "Ready");
        const std::int64_t heartbeat = ready == nullptr ? 0 : ready->lastheartbeattime().seconds();
        if (fresh || version != health.lease_version || heartbeat != health.heartbeat) {
            health.lease_version = version;
            health.heartbeat = heartbeat;
            health.seen = now;
        }
        return now - health.seen > grace_;
    }

    base::Task<api::Ptr<Node>> mark_unknown(api::Ptr<Node> node) {
        auto next = api::copy(*node);
        const auto now = api::to_time(api::wall_now());
        for (const char* type : {"Ready", "MemoryPressure", "DiskPressure", "PIDPressure"}) {
            auto* all = next->mutable_status()->mutable_conditions();
            auto it = std::find_if(all->begin(), all->end(),
                                   [&](const auto& c) { return c.type() == type; });
            if (it != all->end() && it->status() == "Unknown") continue;
            const bool never = it == all->end();
            auto* condition = never ? all->Add() : &*it;
            condition->set_type(type);
            condition->set_status("Unknown");
            condition->set_reason(never ? "NodeStatusNeverUpdated" : "NodeStatusUnknown");
            condition->set_message(never ? "Kubelet never posted node status."
                                         : "Kubelet stopped posting node status.");
            *condition->mutable_lasttransitiontime() = now;
        }
        if (api::same(*next, *node)) co_return node;
        CO_TRY(auto written, co_await client_->update_status<Node>(std::move(next)));
        events_.normal(*written, "NodeNotReady",
                       "Node " + written->metadata().name() + " status is now: NodeNotReady");
        co_return written;
    }

    base::Task<void> mark_pods_not_ready(std::string node) {
        for (const auto& object : pods_.by_index(kByNode, node)) {
            const auto pod = api::as<Pod>(object);
            if (!is_ready(*pod)) continue;
            auto next = api::copy(*pod);
            for (auto& condition : *next->mutable_status()->mutable_conditions()) {
                if (condition.type() != "Ready") continue;
                condition.set_status("False");
                *condition.mutable_lasttransitiontime() = api::to_time(api::wall_now());
            }
            const auto written = co_await client_->update_status<Pod>(std::move(next));
            if (!written && !api::is_not_found(written.error())) co_return written.error();
            events_.warning(*pod, "NodeNotReady", "Node is not ready");
        }
        co_return base::Status();
    }

    std::shared_ptr<api::Client> client_;
    api::Informer& nodes_;
    api::Informer& leases_;
    api::Informer& pods_;
    api::EventRecorder& events_;
    base::Millis grace_;
    std::map<std::string, Health> health_;
};

class TaintEviction final : public api::Controller {
  public:
    TaintEviction(base::Loop& loop, std::shared_ptr<api::Client> client, api::Informers& informers,
                  api::EventRecorder& events)
        : Controller("taint-eviction-controller", loop, 8),
          client_(std::move(client)),
          nodes_(informers.of<Node>()),
          pods_(informers.of<Pod>()),
          events_(events) {
        index_by_node(pods_);
        pods_.on_change([this](const auto&, const auto& now) {
            if (now != nullptr && !api::as<Pod>(*now).spec().nodename().empty()) on_pod(*now);
        });
        nodes_.on_change([this](const api::ObjectPtr& before, const api::ObjectPtr& now) {
            on_node(before, now);
        });
    }

  private:
    static bool evicts(const api::ObjectPtr& node) {
        if (node == nullptr) return false;
        const auto& taints = api::as<Node>(*node).spec().taints();
        return std::any_of(taints.begin(), taints.end(),
                           [](const auto& taint) { return taint.effect() == "NoExecute"; });
    }
    void on_pod(const api::Message& pod) {
        const auto node = nodes_.get(api::as<Pod>(pod).spec().nodename());
        if (evicts(node)) queue().add(api::key_of(pod));
    }
    void on_node(const api::ObjectPtr& before, const api::ObjectPtr& now) {
        if (now == nullptr || !(evicts(before) || evicts(now))) return;
        for (const auto& pod : pods_.by_index(kByNode, api::meta_of(*now).name()))
            queue().add(api::key_of(*pod));
    }

    base::Task<void> reconcile(std::string key) override {
        const auto pod = pods_.get_as<Pod>(key);
        if (pod == nullptr || api::is_deleting(*pod)) co_return base::Status();
        const auto node = nodes_.get_as<Node>(pod->spec().nodename());
        if (node == nullptr) co_return base::Status();
        const auto now = api::wall_now();
        const auto due = eviction_time(*pod, *node, now);
        if (!due) co_return base::Status();
        if (*due > now) {
            queue().add_after(key, std::chrono::ceil<base::Millis>(*due - now));
            co_return base::Status();
        }
        events_.normal(*pod, "TaintManagerEviction", "Marking for deletion Pod " + key);
        api::DeleteOptions options;
        options.uid = pod->metadata().uid();
        const auto& m = pod->metadata();
        auto removed = co_await client_->remove<Pod>(m.namespace_(), m.name(), std::move(options));
        if (!removed && !api::is_not_found(removed.error())) co_return removed.error();
        co_return base::Status();
    }

    std::shared_ptr<api::Client> client_;
    api::Informer& nodes_;
    api::Informer& pods_;
    api::EventRecorder& events_;
};

}  // namespace

bool set_condition_taints(Node* node, WallTime now) {
    struct Wanted {
        std::string key;
        std::string effect;
        bool operator<(const Wanted& other) const {
            return std::tie(key, effect) < std::tie(other.key, other.effect);
        }
    };
    std::map<Wanted, bool> state;  // every taint of ours, and whether it should be
    for (const auto& rule : kTaints) {
        const auto* condition = condition_of(*node, rule.type);
        const bool on = condition != nullptr && condition->status() == rule.status;
        state[{rule.key, "NoSchedule"}] = on;
        if (rule.evicts) state[{rule.key, "NoExecute"}] = on;
    }
    state[{kUnschedulable, "NoSchedule"}] = node->spec().unschedulable();
    bool changed = false;
    auto* taints = node->mutable_spec()->mutable_taints();
    for (int i = taints->size() - 1; i >= 0; --i) {
        const auto it = state.find({taints->Get(i).key(), taints->Get(i).effect()});
        if (it == state.end()) continue;
        if (it->second) {
            it->second = false;  // is there already
        } else {
            taints->DeleteSubrange(i, 1);
            changed = true;
        }
    }
    for (const auto& [taint, on] : state) {
        if (!on) continue;
        auto* made = taints->Add();
        made->set_key(taint.key);
        made->set_effect(taint.effect);
        *made->mutable_timeadded() = api::to_time(now);
        changed = true;
    }
    return changed;
}

std::optional<WallTime> eviction_time(const Pod& pod, const Node& node, WallTime now) {
    std::optional<WallTime> out;
    const auto earlier = [&](WallTime t) { out = out ? std::min(*out, t) : t; };
    for (const auto& taint : node.spec().taints()) {
        if (taint.effect() != "NoExecute") continue;
        bool tolerated = false;
        std::optional<std::int64_t> least;
        for (const auto& toleration : pod.spec().tolerations()) {
            if (!tolerates(toleration, taint)) continue;
            tolerated = true;
            if (!toleration.has_tolerationseconds()) continue;
            const auto seconds = std::max<std::int64_t>(0, toleration.tolerationseconds());
            least = least ? std::min(*least, seconds) : seconds;
        }
        const auto since = taint.has_timeadded() ? api::from_time(taint.timeadded()) : now;
        if (!tolerated)
            earlier(now);
        else if (least)
            earlier(since + std::chrono::seconds(*least));
    }
    return out;
}

std::unique_ptr<api::Controller> make_node_lifecycle(base::Loop& loop,
                                                     std::shared_ptr<api::Client> client,
                                                     api::Informers& informers,
                                                     api::EventRecorder& events,
                                                     base::Millis grace) {
    return std::make_unique<NodeLifecycle>(loop, std::move(client), informers, events, grace);
}

std::unique_ptr<api::Controller> make_taint_eviction(base::Loop& loop,
                                                     std::shared_ptr<api::Client> client,
                                                     api::Informers& informers,
                                                     api::EventRecorder& events) {
    return std::make_unique<TaintEviction>(loop, std::move(client), informers, events);
}

}  // namespace controllers
