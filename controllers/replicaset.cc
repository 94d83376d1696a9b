#include "controllers/replicaset.h"

#include "api/proto/apps_v1.pb.h"
#include "api/proto/core_v1_replicationcontroller.pb.h"
#include "api/util.h"

namespace controllers {
namespace {

using api::apps::ReplicaSet;
using api::core::ReplicationController;

// Fills the fields that both kinds of status have.
template <class Status>
void fill(const ReplicaStatus& from, std::int64_t generation, Status* status) {
    const auto set = [](int now, bool has, int was) { return has ? now != was : now != 0; };
    status->set_replicas(from.replicas);
    if (set(from.fully_labeled, status->has_fullylabeledreplicas(), status->fullylabeledreplicas()))
        status->set_fullylabeledreplicas(from.fully_labeled);
    if (set(from.ready, status->has_readyreplicas(), status->readyreplicas()))
        status->set_readyreplicas(from.ready);
    if (set(from.available, status->has_availablereplicas(), status->availablereplicas()))
        status->set_availablereplicas(from.available);
    status->set_observedgeneration(generation);
    auto* conditions = status->mutable_conditions();
    int at = -1;
    for (int i = 0; i < conditions->size(); ++i)
        if (conditions->Get(i).type() == "ReplicaFailure") at = i;
    if (from.failure_reason.empty()) {
        if (at >= 0) conditions->DeleteSubrange(at, 1);
        return;
    }
    if (at >= 0 && conditions->Get(at).reason() == from.failure_reason) return;
    auto* condition = at >= 0 ? conditions->Mutable(at) : conditions->Add();
    condition->set_type("ReplicaFailure");
    condition->set_status("True");
    *condition->mutable_lasttransitiontime() = api::to_time(api::wall_now());
    condition->set_reason(from.failure_reason);
    condition->set_message(from.failure_message);
}

class ReplicaSets final : public ReplicaController {
  public:
    ReplicaSets(base::Loop& loop, std::shared_ptr<api::Client> client, api::Informers& informers,
                api::EventRecorder& events)
        : ReplicaController("replicaset-controller", api::resource_of<ReplicaSet>(), loop,
                            std::move(client), informers, events) {}

  private:
    base::Result<ReplicaWish> wish_of(const api::Message& owner) const override {
        const auto& spec = api::as<ReplicaSet>(owner).spec();
        ReplicaWish out;
        out.replicas = spec.has_replicas() ? spec.replicas() : 1;
        out.min_ready = std::chrono::seconds(spec.minreadyseconds());
        TRY(out.selector, api::LabelSelector::from(spec.selector()));
        out.pod_template = &spec.template_();
        return out;
    }
    std::shared_ptr<api::Message> with_status(const api::Message& owner,
                                              const ReplicaStatus& status) const override {
        auto out = api::copy(api::as<ReplicaSet>(owner));
        fill(status, out->metadata().generation(), out->mutable_status());
        return out;
    }
    std::vector<api::ObjectPtr> siblings(const api::ObjectPtr& owner) const override {
        const auto* controller = api::controller_of(*owner);
        if (controller == nullptr) return {owner};
        return owners_.by_index(api::Informer::kByController, controller->uid());
    }
};

class ReplicationControllers final : public ReplicaController {
  public:
    ReplicationControllers(base::Loop& loop, std::shared_ptr<api::Client> client,
                           api::Informers& informers, api::EventRecorder& events)
        : ReplicaController("replication-controller", api::resource_of<ReplicationController>(),
                            loop, std::move(client), informers, events) {}

  private:
    base::Result<ReplicaWish> wish_of(const api::Message& owner) const override {
        const auto& spec = api::as<ReplicationController>(owner).spec();
        ReplicaWish out;
        out.replicas = spec.has_replicas() ? spec.replicas() : 1;
        out.min_ready = std::chrono::seconds(spec.minreadyseconds());
        out.selector = api::LabelSelector::from_set(spec.selector());
        out.pod_template = &spec.template_();
        return out;
    }
    std::shared_ptr<api::Message> with_status(const api::Message& owner,
                                              const ReplicaStatus& status) const override {
        auto out = api::copy(api::as<ReplicationController>(owner));
        fill(status, out->metadata().generation(), out->mutable_status());
        return out;
    }
};

}  // namespace

std::unique_ptr<api::Controller> make_replicaset(base::Loop& loop,
                                                 std::shared_ptr<api::Client> client,
                                                 api::Informers& informers,
                                                 api::EventRecorder& events) {
    return std::make_unique<ReplicaSets>(loop, std::move(client), informers, events);
}

std::unique_ptr<api::Controller> make_replicationcontroller(base::Loop& loop,
                                                            std::shared_ptr<api::Client> client,
                                                            api::Informers& informers,
                                                            api::EventRecorder& events) {
    return std::make_unique<ReplicationControllers>(loop, std::move(client), informers, events);
}

}  // namespace controllers
