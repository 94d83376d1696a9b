#include "controllers/deployment_status.h"

#include <algorithm>
#include <limits>

namespace controllers {

using api::apps::Deployment;
using api::apps::DeploymentCondition;
using api::apps::DeploymentStatus;
using Wall = std::chrono::system_clock::time_point;

namespace {

bool has_deadline(const Deployment& d) {
    return d.spec().has_progressdeadlineseconds() &&
           d.spec().progressdeadlineseconds() != std::numeric_limits<std::int32_t>::max();
}

bool moved(const DeploymentStatus& was, const DeploymentStatus& now) {
    return now.updatedreplicas() > was.updatedreplicas() ||
           now.replicas() - now.updatedreplicas() < was.replicas() - was.updatedreplicas() ||
           now.readyreplicas() > was.readyreplicas() ||
           now.availablereplicas() > was.availablereplicas();
}

std::string about(const Deployment& d, const ReplicaSetPtr& fresh, std::string_view what) {
    return (fresh != nullptr ? "ReplicaSet \"" + fresh->metadata().name()
                             : "Deployment \"" + d.metadata().name()) +
           "\" " + std::string(what);
}

// Zero stays unset, as the JSON form has it.
void put(int value, void (DeploymentStatus::*set)(std::int32_t), void (DeploymentStatus::*clear)(),
         DeploymentStatus* status) {
    if (value == 0)
        (status->*clear)();
    else
        (status->*set)(value);
}

void remove_condition(DeploymentStatus* status, std::string_view type) {
    auto* all = status->mutable_conditions();
    for (int i = all->size() - 1; i >= 0; --i)
        if (all->Get(i).type() == type) all->DeleteSubrange(i, 1);
}

void say_progress(const Deployment& d, const ReplicaSetPtr& fresh, DeploymentStatus* status,
                  Wall now) {
    if (!has_deadline(d)) return remove_condition(status, "Progressing");
    const auto* current = condition_of(*status, "Progressing");
    const bool known = current != nullptr && current->reason() == "NewReplicaSetAvailable";
    if (known && status->replicas() == status->updatedreplicas()) return;
    if (is_complete(d, *status))
        return set_condition(status, "Progressing", "True", "NewReplicaSetAvailable",
                             about(d, fresh, "has successfully progressed."), now);
    if (moved(d.status(), *status)) {
        // Each step forward is a new start of the deadline.
        auto began = current != nullptr && current->status() == "True"
                         ? api::from_time(current->lasttransitiontime())
                         : now;
        remove_condition(status, "Progressing");
        set_condition(status, "Progressing", "True", "ReplicaSetUpdated",
                      about(d, fresh, "is progressing."), now);
        auto* made = status->mutable_conditions(status->conditions_size() - 1);
        *made->mutable_lasttransitiontime() = api::to_time(began);
        return;
    }
    // A new rollout has begun, and with it a new deadline.
    if (fresh != nullptr && (current == nullptr || known))
        return set_condition(status, "Progressing", "True", "NewReplicaSetCreated",
                             "Created new replica set \"" + fresh->metadata().name() + "\"", now);
    const auto deadline = deadline_of(d);
    if (deadline && now >= *deadline)
        set_condition(status, "Progressing", "False", "ProgressDeadlineExceeded",
                      about(d, fresh, "has timed out progressing."), now);
}

}  // namespace

const DeploymentCondition* condition_of(const DeploymentStatus& status, std::string_view type) {
    for (const auto& condition : status.conditions())
        if (condition.type() == type) return &condition;
    return nullptr;
}

void set_condition(DeploymentStatus* status, const char* type, const char* value,
                   const char* reason, std::string message, Wall now) {
    auto* all = status->mutable_conditions();
    const auto it = std::find_if(all->begin(), all->end(),
                                 [&](const auto& condition) { return condition.type() == type; });
    if (it != all->end() && it->status() == value && it->reason() == reason) return;
    auto* condition = it != all->end() ? &*it : all->Add();
    if (condition->status() != value) *condition->mutable_lasttransitiontime() = api::to_time(now);
    *condition->mutable_lastupdatetime() = api::to_time(now);
    condition->set_type(type);
    condition->set_status(value);
    condition->set_reason(reason);
    condition->set_message(std::move(message));
}

bool is_complete(const Deployment& d, const DeploymentStatus& status) {
    return status.updatedreplicas() == wanted(d) && status.replicas() == wanted(d) &&
           status.availablereplicas() == wanted(d) &&
           status.observedgeneration() >= d.metadata().generation();
}

std::optional<Wall> deadline_of(const Deployment& d) {
    if (!has_deadline(d) || d.spec().paused()) return std::nullopt;
    const auto* progress = condition_of(d.status(), "Progressing");
    if (progress == nullptr || progress->reason() == "NewReplicaSetAvailable" ||
        progress->reason() == "ProgressDeadlineExceeded" ||
        progress->reason() == "DeploymentPaused")
        return std::nullopt;
    return api::from_time(progress->lastupdatetime()) +
           std::chrono::seconds(d.spec().progressdeadlineseconds());
}

DeploymentStatus deployment_status(const Deployment& d, const ReplicaSets& all,
                                   const ReplicaSetPtr& fresh, Wall now) {
    DeploymentStatus out = d.status();
    out.set_observedgeneration(d.metadata().generation());
    using S = DeploymentStatus;
    put(actual(all), &S::set_replicas, &S::clear_replicas, &out);
    put(fresh == nullptr ? 0 : fresh->status().replicas(), &S::set_updatedreplicas,
        &S::clear_updatedreplicas, &out);
    put(ready(all), &S::set_readyreplicas, &S::clear_readyreplicas, &out);
    put(available(all), &S::set_availablereplicas, &S::clear_availablereplicas, &out);
    put(std::max(0, wanted(all) - available(all)), &S::set_unavailablereplicas,
        &S::clear_unavailablereplicas, &out);
    if (available(all) >= wanted(d) - max_unavailable(d))
        set_condition(&out, "Available", "True", "MinimumReplicasAvailable",
                      "Deployment has minimum availability.", now);
    else
        set_condition(&out, "Available", "False", "MinimumReplicasUnavailable",
                      "Deployment does not have minimum availability.", now);
    if (!d.spec().paused()) say_progress(d, fresh, &out, now);
    const api::apps::ReplicaSetCondition* failure = nullptr;
    for (const auto& rs : all)
        for (const auto& condition : rs->status().conditions())
            if (condition.type() == "ReplicaFailure") failure = &condition;
    if (failure != nullptr)
        set_condition(&out, "ReplicaFailure", failure->status().c_str(), failure->reason().c_str(),
                      failure->message(), now);
    else
        remove_condition(&out, "ReplicaFailure");
    return out;
}

}  // namespace controllers
