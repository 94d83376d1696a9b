#include "scheduler/scheduler.h"

#include <fmt/format.h>

#include <set>

#include "api/events.h"
#include "api/informer.h"
#include "api/leader_election.h"
#include "api/status.h"
#include "api/util.h"
#include "api/workqueue.h"
#include "base/log.h"
#include "base/random.h"
#include "scheduler/core/framework.h"

namespace scheduler {

namespace core = api::core;

// Lives while this master leads: informers, the cache of nodes, the queues.
struct Session {
    Session(base::Loop& l, std::shared_ptr<api::Client> c, const SchedulerOptions& o, api::EventRecorder& e)
        : loop(l), client(std::move(c)), options(o), events(e), pods(l, client, api::resource_of<core::Pod>()), nodes(l, client, api::resource_of<core::Node>()),
          tasks(l), flush(l), random(base::entropy64()) {}

    void start() {
        pods.on_change([this](const api::ObjectPtr& before, const api::ObjectPtr& now) { on_pod(before, now); });
        nodes.on_change([this](const api::ObjectPtr& before, const api::ObjectPtr& now) { on_node(before, now); });
        pods.start();
        nodes.start();
        flush.every(options.flush, [this] { retry_unschedulable(); });
        tasks.spawn("scheduler", run(this));
    }

    base::Awaitable<void> stop() {
        stopping = true;
        flush.cancel();
        wake();
        co_await pods.stop();
        co_await nodes.stop();
        co_await tasks.stop();
    }

    bool mine(const core::Pod& pod) const {
        return pod.spec().nodename().empty() && pod.spec().schedulername() == options.name && !api::is_deleting(pod) && pod.spec().schedulinggates().empty() &&
               pod.status().phase() != "Succeeded" && pod.status().phase() != "Failed";
    }
    static bool occupies(const core::Pod& pod) {
        return !pod.spec().nodename().empty() && pod.status().phase() != "Succeeded" && pod.status().phase() != "Failed";
    }

    void place(const std::string& key, std::shared_ptr<PodInfo> info, const std::string& node) {
        unplace(key);
        cache[node].add(*info);
        placed[key] = {node, std::move(info)};
    }
    // True when it had a place.
    bool unplace(const std::string& key) {
        const auto it = placed.find(key);
        if (it == placed.end()) return false;
        const auto at = cache.find(it->second.first);
        at->second.remove(*it->second.second);
        if (!at->second.node && at->second.pods == 0) cache.erase(at);
        placed.erase(it);
        return true;
    }

    void on_pod(const api::ObjectPtr& before, const api::ObjectPtr& now) {
        const auto& any = api::as<core::Pod>(now ? *now : *before);
        const std::string key = api::key_of(any);
        if (!now || !occupies(any)) {
            const bool freed = !assumed.contains(key) && unplace(key);
            if (!now) {
                if (assumed.erase(key) > 0) unplace(key);
                forget(key);
            }
            if (freed) retry_unschedulable();
        } else {
            assumed.erase(key);
            forget(key);
            place(key, std::make_shared<PodInfo>(api::as<core::Pod>(now)), any.spec().nodename());
        }
        if (now && mine(any) && !assumed.contains(key)) {
            // A status that only this scheduler wrote is no reason to try again at once.
            const bool changed = !before || !api::same(api::as<core::Pod>(*before).spec(), any.spec());
            if (changed || (!unschedulable.contains(key) && !waiting.contains(key))) enqueue(key, any);
        }
    }

    void on_node(const api::ObjectPtr& before, const api::ObjectPtr& now) {
        const auto& name = api::meta_of(now ? *now : *before).name();
        if (!now) {
            auto& info = cache[name];
            info.set_node(nullptr);
            if (info.pods == 0) cache.erase(name);
            return;
        }
        const auto node = api::as<core::Node>(now);
        cache[name].set_node(node);
        // Heartbeats change nothing that a pod waits for.
        if (before && api::same(api::as<core::Node>(*before).spec(), node->spec()) && labels_same(*before, *now) && allocatable_same(api::as<core::Node>(*before), *node)) return;
        retry_unschedulable();
    }
    static bool labels_same(const api::Message& a, const api::Message& b) {
        const auto& x = api::meta_of(a).labels();
        const auto& y = api::meta_of(b).labels();
        return std::map<std::string, std::string>(x.begin(), x.end()) == std::map<std::string, std::string>(y.begin(), y.end());
    }
    static bool allocatable_same(const core::Node& a, const core::Node& b) {
        NodeInfo x, y;
        x.set_node(std::make_shared<core::Node>(a));
        y.set_node(std::make_shared<core::Node>(b));
        return x.allocatable == y.allocatable;
    }

    // The active queue: priority first, then who came first.
    void enqueue(const std::string& key, const core::Pod& pod) {
        unschedulable.erase(key);
        if (waiting.contains(key)) return;
        const Entry entry{-static_cast<std::int64_t>(pod.spec().priority()), next_sequence++, key};
        waiting.emplace(key, entry);
        active.insert(entry);
        wake();
    }
    void forget(const std::string& key) {
        failures.erase(key);
        unschedulable.erase(key);
        const auto it = waiting.find(key);
        if (it == waiting.end()) return;
        active.erase(it->second);
        waiting.erase(it);
    }
    void retry_unschedulable() {
        for (const auto& key : std::set<std::string>(unschedulable)) {
            const auto pod = pods.get_as<core::Pod>(key);
            if (pod && mine(*pod)) back_off(key);
        }
        unschedulable.clear();
    }
    // Tried again once its time has come: 1 s, 2 s, 4 s, … after its last failure.
    void back_off(const std::string& key) {
        const int n = std::min(failures[key], 8);
        const auto delay = std::min(options.first_backoff * (1 << std::max(0, n - 1)), options.max_backoff);
        tasks.spawn("backoff", requeue_after(this, key, n == 0 ? base::Millis(0) : delay));
    }
    static base::Awaitable<void> requeue_after(Session* self, std::string key, base::Millis delay) {
        auto slept = co_await base::sleep_for(delay);
        if (!slept || self->stopping) co_return;
        const auto pod = self->pods.get_as<core::Pod>(key);
        if (pod && self->mine(*pod) && !self->assumed.contains(key)) self->enqueue(key, *pod);
    }

    void wake() {
        if (waiter) std::exchange(waiter, nullptr)(0);
    }

    static base::Awaitable<void> run(Session* self) {
        while (!self->stopping) {
            const bool synced = self->pods.has_synced() && self->nodes.has_synced();
            if (!synced) {
                if (auto slept = co_await base::sleep_for(base::Millis(20)); !slept) co_return;
                continue;
            }
            if (self->active.empty() || self->binding >= self->options.parallel_binds) {
                auto start = [self](base::UniqueFunction<void(int)> resolve) { self->waiter = std::move(resolve); };
                co_await base::suspend<int>(std::move(start));
                continue;
            }
            const Entry entry = *self->active.begin();
            self->active.erase(self->active.begin());
            self->waiting.erase(entry.key);
            const auto pod = self->pods.get_as<core::Pod>(entry.key);
            if (pod && self->mine(*pod) && !self->assumed.contains(entry.key)) self->schedule(entry.key, pod);
        }
    }

    void schedule(const std::string& key, api::Ptr<core::Pod> pod) {
        auto info = std::make_shared<PodInfo>(pod);
        const auto decision = framework.decide(*info, cache, random.next());
        if (decision.node.empty()) {
            ++failures[key];
            unschedulable.insert(key);
            events.warning(*pod, "FailedScheduling", decision.message);
            tasks.spawn("mark unschedulable", mark(this, pod, decision.message));
            return;
        }
        // Assumed there from now on, so that the next pod sees the room taken.
        assumed.insert(key);
        place(key, std::move(info), decision.node);
        ++binding;
        tasks.spawn("bind", bind(this, key, pod, decision.node));
    }

    static base::Awaitable<void> bind(Session* self, std::string key, api::Ptr<core::Pod> pod, std::string node) {
        auto request = std::make_shared<core::Binding>();
        request->mutable_metadata()->set_name(pod->metadata().name());
        request->mutable_metadata()->set_namespace_(pod->metadata().namespace_());
        request->mutable_metadata()->set_uid(pod->metadata().uid());
        request->mutable_target()->set_kind("Node");
        request->mutable_target()->set_name(node);
        api::ObjectPtr object = std::move(request);
        auto bound = co_await self->client->create_sub(api::resource_of<core::Pod>(), pod->metadata().namespace_(), pod->metadata().name(), std::string("binding"), std::move(object));
        --self->binding;
        self->wake();
        if (bound) {
            self->events.normal(*pod, "Scheduled", fmt::format("Successfully assigned {} to {}", key, node));
            self->failures.erase(key);
            co_return;
        }
        // If it is bound all the same, its informer will say so and place it again.
        if (self->assumed.erase(key) > 0) self->unplace(key);
        if (api::is_not_found(bound.error()) || self->stopping) co_return;
        LOG_DEBUG("scheduler", "binding {} to {} failed: {}", key, node, bound.error().message);
        ++self->failures[key];
        self->back_off(key);
    }

    // PodScheduled=False with the reason, where it does not say so already.
    static base::Awaitable<void> mark(Session* self, api::Ptr<core::Pod> pod, std::string message) {
        auto next = api::copy(*pod);
        auto* conditions = next->mutable_status()->mutable_conditions();
        core::PodCondition* condition = nullptr;
        for (auto& c : *conditions)
            if (c.type() == "PodScheduled") condition = &c;
        if (condition != nullptr && condition->status() == "False" && condition->message() == message) co_return;
        if (condition == nullptr) {
            condition = conditions->Add();
            condition->set_type("PodScheduled");
        }
        if (condition->status() != "False") *condition->mutable_lasttransitiontime() = api::to_time(api::wall_now());
        condition->set_status("False");
        condition->set_reason("Unschedulable");
        condition->set_message(message);
        auto updated = co_await self->client->update_status<core::Pod>(next);
        if (!updated) LOG_DEBUG("scheduler", "pod {}: {}", api::key_of(*pod), updated.error().message);
    }

    struct Entry {
        std::int64_t negative_priority;
        std::uint64_t sequence;
        std::string key;
        friend auto operator<=>(const Entry&, const Entry&) = default;
    };

    base::Loop& loop;
    std::shared_ptr<api::Client> client;
    const SchedulerOptions& options;
    api::EventRecorder& events;
    api::Informer pods;
    api::Informer nodes;
    base::TaskGroup tasks;
    base::Timer flush;
    base::Random random;
    Framework framework = Framework::make_default();
    std::map<std::string, NodeInfo> cache;
    std::map<std::string, std::pair<std::string, std::shared_ptr<PodInfo>>> placed;  // by pod: where it counts
    std::set<std::string> assumed;                                                   // placed, but not seen bound yet
    std::set<Entry> active;
    std::map<std::string, Entry> waiting;  // what is in `active`
    std::set<std::string> unschedulable;
    std::map<std::string, int> failures;
    std::uint64_t next_sequence = 0;
    int binding = 0;
    base::UniqueFunction<void(int)> waiter;
    bool stopping = false;
};

struct Scheduler::Impl {
    Impl(base::Loop& l, std::shared_ptr<api::Client> c, SchedulerOptions o)
        : loop(l), client(std::move(c)), options(std::move(o)), events(l, client, recorder_options()) {
        api::LeaderElectionOptions election;
        election.name = "kube-scheduler";
        election.identity = options.identity;
        election.lease = options.lease;
        election.renew_deadline = options.renew_deadline;
        election.retry = options.retry;
        elector = std::make_unique<api::LeaderElector>(
            loop, client, std::move(election),
            [this] {
                session = std::make_unique<Session>(loop, client, options, events);
                session->start();
            },
            [this] { return end_session(this); });
    }
    static api::EventRecorderOptions recorder_options() {
        api::EventRecorderOptions out;
        out.component = "default-scheduler";
        return out;
    }
    static base::Awaitable<void> end_session(Impl* self) {
        if (!self->session) co_return;
        co_await self->session->stop();
        self->session.reset();
    }

    base::Loop& loop;
    std::shared_ptr<api::Client> client;
    SchedulerOptions options;
    api::EventRecorder events;
    std::unique_ptr<Session> session;
    std::unique_ptr<api::LeaderElector> elector;
};

Scheduler::Scheduler(base::Loop& loop, std::shared_ptr<api::Client> client, SchedulerOptions options)
    : impl_(std::make_unique<Impl>(loop, std::move(client), std::move(options))) {}
Scheduler::~Scheduler() = default;

void Scheduler::start() {
    impl_->events.start();
    impl_->elector->start();
}

base::Awaitable<void> Scheduler::stop() {
    co_await impl_->elector->stop();
    co_await impl_->events.stop();
}

bool Scheduler::leading() const { return impl_->elector->leading(); }
std::string Scheduler::leader() const { return impl_->elector->holder(); }

}  // namespace scheduler
