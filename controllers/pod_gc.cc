#include "controllers/pod_gc.h"

#include <algorithm>

#include "api/proto/core_v1_node.pb.h"
#include "api/status.h"
#include "api/util.h"
#include "controllers/pod_util.h"

namespace controllers {
namespace {

using api::core::Node;
using api::core::Pod;

class PodGc final : public api::Controller {
  public:
    PodGc(base::Loop& loop, std::shared_ptr<api::Client> client, api::Informers& informers,
          base::Millis quarantine)
        : Controller("pod-garbage-collector", loop, 4),
          client_(std::move(client)),
          nodes_(informers.of<Node>()),
          pods_(informers.of<Pod>()),
          quarantine_(quarantine) {
        index_by_node(pods_);
        pods_.on_change([this](const auto&, const api::ObjectPtr& now) {
            if (now == nullptr) return;
            const auto& node = api::as<Pod>(*now).spec().nodename();
            if (node.empty() && api::is_deleting(*now)) queue().add(api::key_of(*now));
            if (!node.empty() && nodes_.get(node) == nullptr) enqueue(*now);
        });
        nodes_.on_change([this](const api::ObjectPtr& before, const api::ObjectPtr& now) {
            if (now != nullptr) return;
            for (const auto& pod : pods_.by_index(kByNode, api::meta_of(*before).name()))
                enqueue(*pod);
        });
    }

  private:
    void enqueue(const api::Message& pod) { queue().add_after(api::key_of(pod), quarantine_); }

    base::Task<void> reconcile(std::string key) override {
        const auto pod = pods_.get_as<Pod>(key);
        if (pod == nullptr) co_return base::Status();
        const std::string node = pod->spec().nodename();
        if (node.empty()) {
            if (!api::is_deleting(*pod)) co_return base::Status();
        } else {
            if (nodes_.get(node) != nullptr) co_return base::Status();
            const auto asked = co_await client_->get<Node>("", node);
            if (asked) co_return base::Status();
            if (!api::is_not_found(asked.error())) co_return asked.error();
            CO_TRY_VOID(co_await mark_failed(*pod));
        }
        api::DeleteOptions options;
        options.uid = pod->metadata().uid();
        options.grace_period_seconds = 0;
        const auto& m = pod->metadata();
        auto removed = co_await client_->remove<Pod>(m.namespace_(), m.name(), std::move(options));
        if (!removed && !api::is_not_found(removed.error())) co_return removed.error();
        co_return base::Status();
    }

    // So that who counts pods by phase, as a Job does, sees how this one ended.
    base::Task<void> mark_failed(const Pod& pod) {
        if (is_finished(pod)) co_return base::Status();
        auto next = api::copy(pod);
        next->mutable_status()->set_phase("Failed");
        auto* conditions = next->mutable_status()->mutable_conditions();
        auto condition = std::find_if(conditions->begin(), conditions->end(),
                                      [](const auto& c) { return c.type() == "DisruptionTarget"; });
        auto& target = condition == conditions->end() ? *conditions->Add() : *condition;
        target.set_type("DisruptionTarget");
        target.set_status("True");
        target.set_reason("DeletionByPodGC");
        target.set_message("PodGC: node no longer exists");
        *target.mutable_lasttransitiontime() = api::to_time(api::wall_now());
        const auto written = co_await client_->update_status<Pod>(std::move(next));
        if (!written) co_return written.error();
        co_return base::Status();
    }

    std::shared_ptr<api::Client> client_;
    api::Informer& nodes_;
    api::Informer& pods_;
    base::Millis quarantine_;
};

}  // namespace

std::unique_ptr<api::Controller> make_pod_gc(base::Loop& loop, std::shared_ptr<api::Client> client,
                                             api::Informers& informers, base::Millis quarantine) {
    return std::make_unique<PodGc>(loop, std::move(client), informers, quarantine);
}

}  // namespace controllers
