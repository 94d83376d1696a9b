#include "scheduler/scheduler.h"

#include <algorithm>

#include "api/elected.h"
#include "api/events.h"
#include "api/informer.h"
#include "api/status.h"
#include "api/util.h"
#include "base/log.h"
#include "base/metrics.h"
#include "scheduler/framework.h"
#include "scheduler/queue.h"

namespace scheduler {
namespace {

using api::core::Node;
using api::core::Pod;

Queue::Time steady_now() {
    return std::chrono::steady_clock::now();
}

api::EventRecorderOptions recorder_options(const SchedulerOptions& options) {
    api::EventRecorderOptions out;
    out.component = options.name;
    return out;
}

QueueOptions queue_options(const SchedulerOptions& options) {
    QueueOptions out;
    out.first_backoff = options.first_backoff;
    out.max_backoff = options.max_backoff;
    out.flush = options.flush;
    return out;
}

// One term of leadership: caches, queue and tasks are made anew.
class Term {
  public:
    Term(base::Loop& loop, const std::shared_ptr<api::Client>& client,
         const SchedulerOptions& options)
        : loop_(loop),
          client_(client),
          options_(options),
          informers_(loop, client),
          events_(loop, client, recorder_options(options)),
          tasks_(loop),
          timer_(loop),
          queue_(queue_options(options)),
          random_(base::entropy64()) {
        informers_.of<Node>().on_change(
            [this](const auto& before, const auto& now) { on_node(before, now); });
        informers_.of<Pod>().on_change(
            [this](const auto& before, const auto& now) { on_pod(before, now); });
    }

    void start() {
        events_.start();
        informers_.start();
        tasks_.spawn("scheduling", run());
    }

    base::Awaitable<void> stop() {
        stopping_ = true;
        timer_.cancel();
        wake();
        co_await tasks_.stop();
        co_await informers_.stop();
        co_await events_.stop();
    }

  private:
    bool is_mine(const Pod& pod) const {
        const auto& name = pod.spec().schedulername();
        return (name.empty() ? "default-scheduler" : name) == options_.name;
    }
    bool waits(const Pod& pod) const {
        const auto& phase = pod.status().phase();
        return pod.spec().nodename().empty() && is_mine(pod) && !api::is_deleting(pod) &&
               pod.spec().schedulinggates().empty() && phase != "Succeeded" && phase != "Failed";
    }

    void on_node(const api::ObjectPtr& before, const api::ObjectPtr& now) {
        if (now == nullptr) return cache_.remove_node(api::meta_of(*before).name());
        cache_.set_node(api::as<Node>(now));
        if (before == nullptr || may_make_room(api::as<Node>(*before), api::as<Node>(*now)))
            move_all();
    }
    // Heartbeats make no room.
    static bool may_make_room(const Node& before, const Node& now) {
        if (!api::same(before.spec(), now.spec())) return true;
        Node a = before;
        Node b = now;
        a.mutable_status()->clear_conditions();
        b.mutable_status()->clear_conditions();
        a.mutable_metadata()->clear_annotations();
        b.mutable_metadata()->clear_annotations();
        a.mutable_metadata()->clear_resourceversion();
        b.mutable_metadata()->clear_resourceversion();
        a.mutable_metadata()->clear_managedfields();
        b.mutable_metadata()->clear_managedfields();
        return !api::same(a, b);
    }

    void on_pod(const api::ObjectPtr& before, const api::ObjectPtr& now) {
        const std::string key = api::key_of(now != nullptr ? *now : *before);
        if (now == nullptr) {
            queue_.remove(key);
            cache_.remove_pod(key);
            if (!api::as<Pod>(*before).spec().nodename().empty()) move_all();
            return;
        }
        const auto pod = api::as<Pod>(now);
        cache_.set_pod(pod);
        if (waits(*pod) && !cache_.is_assumed(key)) {
            queue_.set(pod, steady_now());
            wake();
        } else if (!waits(*pod)) {
            queue_.remove(key);
            const auto& phase = pod->status().phase();
            if (phase == "Succeeded" || phase == "Failed") move_all();
        }
    }

    void move_all() {
        queue_.move_all(steady_now());
        wake();
    }
    void wake() {
        if (waiter_) std::exchange(waiter_, nullptr)(true);
    }

    base::Awaitable<void> wait_for_work() {
        if (const auto due = queue_.next_due()) {
            const auto wait = std::chrono::ceil<base::Millis>(*due - steady_now());
            timer_.after(std::max(wait, base::Millis(1)), [this] { wake(); });
        }
        auto wait = [this](base::UniqueFunction<void(bool)> resolve) {
            waiter_ = std::move(resolve);
        };
        co_await base::suspend<bool>(wait);
    }

    base::Awaitable<void> run() {
        const auto synced = co_await informers_.wait_synced();
        if (!synced) co_return;
        LOG_INFO("scheduler", "schedules on {} nodes", cache_.nodes().size());
        while (!stopping_) {
            PodPtr pod;
            if (writes_ < options_.parallel_binds) pod = queue_.pop(steady_now());
            if (pod == nullptr) {
                co_await wait_for_work();
                continue;
            }
            schedule(pod);
            // Let the loop take in what has changed.
            co_await boost::asio::post(loop_.context(), boost::asio::use_awaitable);
        }
    }

    void schedule(const PodPtr& pod) {
        const auto outcome = framework_.schedule(*pod, cache_.snapshot(), &random_);
        ++writes_;
        if (!outcome.node.empty()) {
            cache_.assume(pod, outcome.node);
            tasks_.spawn("bind", bind(pod, outcome.node));
        } else {
            queue_.failed(api::key_of(*pod), steady_now(), false);
            events_.warning(*pod, "FailedScheduling", outcome.message);
            tasks_.spawn("report", report(pod, "Unschedulable", outcome.message));
        }
    }

    void write_done() {
        if (writes_-- == options_.parallel_binds) wake();
    }

    base::Awaitable<void> bind(PodPtr pod, std::string node) {
        auto binding = std::make_shared<api::core::Binding>();
        const auto& m = pod->metadata();
        binding->mutable_metadata()->set_namespace_(m.namespace_());
        binding->mutable_metadata()->set_name(m.name());
        binding->mutable_metadata()->set_uid(m.uid());
        binding->mutable_target()->set_kind("Node");
        binding->mutable_target()->set_name(node);
        api::ObjectPtr object = std::move(binding);
        const auto bound =
            co_await client_->create_sub(api::resource_of<Pod>(), m.namespace_(), m.name(),
                                         std::string("binding"), std::move(object));
        write_done();
        const std::string key = api::key_of(*pod);
        if (bound) {
            queue_.remove(key);
            events_.normal(*pod, "Scheduled",
                           fmt::format("Successfully assigned {} to {}", key, node));
            co_return;
        }
        // Of a write that may have happened the watch tells; until then the room is given back.
        cache_.forget(key);
        LOG_DEBUG("scheduler", "binding {} to {} failed: {}", key, node, bound.error().to_string());
        if (api::is_not_found(bound.error())) {
            queue_.remove(key);
            co_return;
        }
        queue_.failed(key, steady_now(), true);
        events_.warning(*pod, "FailedScheduling", "binding rejected: " + bound.error().message);
        wake();
    }

    base::Awaitable<void> report(PodPtr pod, std::string reason, std::string message) {
        auto next = api::copy(*pod);
        auto* all = next->mutable_status()->mutable_conditions();
        auto it = std::find_if(all->begin(), all->end(),
                               [](const auto& c) { return c.type() == "PodScheduled"; });
        auto* condition = it == all->end() ? all->Add() : &*it;
        const bool told = condition->status() == "False" && condition->reason() == reason &&
                          condition->message() == message;
        if (!told) {
            if (condition->status() != "False")
                *condition->mutable_lasttransitiontime() = api::to_time(api::wall_now());
            condition->set_type("PodScheduled");
            condition->set_status("False");
            condition->set_reason(reason);
            condition->set_message(message);
            const auto written = co_await client_->update_status<Pod>(std::move(next));
            if (!written)
                LOG_DEBUG("scheduler", "the condition of {} could not be written: {}",
                          api::key_of(*pod), written.error().to_string());
        }
        write_done();
    }

    base::Loop& loop_;
    std::shared_ptr<api::Client> client_;
    SchedulerOptions options_;
    api::Informers informers_;
    api::EventRecorder events_;
    base::TaskGroup tasks_;
    base::Timer timer_;
    Cache cache_;
    Queue queue_;
    Framework framework_;
    base::Random random_;
    base::UniqueFunction<void(bool)> waiter_;
    int writes_ = 0;  // under way
    bool stopping_ = false;
};

}  // namespace

struct Scheduler::Impl {
    Impl(base::Loop& loop, std::shared_ptr<api::Client> client, SchedulerOptions o)
        : options(std::move(o)),
          term(loop, client, "kube-scheduler", options,
               [this, &loop, client] { return std::make_unique<Term>(loop, client, options); }) {}

    SchedulerOptions options;
    api::Elected<Term> term;
};

Scheduler::Scheduler(base::Loop& loop, std::shared_ptr<api::Client> client,
                     SchedulerOptions options)
    : impl_(std::make_unique<Impl>(loop, std::move(client), std::move(options))) {}
Scheduler::~Scheduler() = default;

void Scheduler::start() {
    impl_->term.start();
}
base::Awaitable<void> Scheduler::stop() {
    co_await impl_->term.stop();
}
bool Scheduler::leading() const {
    return impl_->term.leading();
}
std::string Scheduler::leader() const {
    return impl_->term.holder();
}

}  // namespace scheduler
