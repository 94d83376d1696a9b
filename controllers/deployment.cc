#include "controllers/deployment.h"

#include <algorithm>

#include "api/proto/apps_v1.pb.h"
#include "api/proto/core_v1_pod.pb.h"
#include "api/selector.h"
#include "api/status.h"
#include "api/util.h"
#include "controllers/deployment_status.h"
#include "controllers/pod_util.h"
#include "controllers/rollout.h"

namespace controllers {
namespace {

using api::apps::Deployment;
using api::apps::ReplicaSet;
constexpr int kWorkers = 5;

// Annotations of the Deployment that its ReplicaSets do not get.
bool is_own_annotation(const std::string& name) {
    return name == "kubectl.kubernetes.io/last-applied-configuration" || name == kRevision ||
           name == kRevisionHistory || name == kDesiredReplicas || name == kMaxReplicas ||
           name == "deprecated.deployment.rollback.to";
}

void annotate_sizes(const Deployment& d, ReplicaSet* rs) {
    auto& annotations = *rs->mutable_metadata()->mutable_annotations();
    annotations[kDesiredReplicas] = std::to_string(wanted(d));
    annotations[kMaxReplicas] = std::to_string(wanted(d) + max_surge(d));
}

// Gives the new ReplicaSet the Deployment's annotations and a revision above all others.
void annotate_new(const Deployment& d, std::int64_t revision, bool exists, ReplicaSet* rs) {
    auto& annotations = *rs->mutable_metadata()->mutable_annotations();
    for (const auto& [name, value] : d.metadata().annotations())
        if (!is_own_annotation(name)) annotations[name] = value;
    const auto old = revision_of(*rs);
    if (old < revision) {
        if (exists && old > 0) {
            std::string& history = annotations[kRevisionHistory];
            history += (history.empty() ? "" : ",") + std::to_string(old);
        }
        annotations[kRevision] = std::to_string(revision);
    }
    annotate_sizes(d, rs);
}

class Deployments final : public api::Controller {
  public:
    Deployments(base::Loop& loop, std::shared_ptr<api::Client> client, api::Informers& informers,
                api::EventRecorder& events)
        : Controller("deployment-controller", loop, kWorkers),
          client_(std::move(client)),
          deployments_(informers.of<Deployment>()),
          sets_(informers.of<ReplicaSet>()),
          pods_(informers.of<api::core::Pod>()),
          events_(events) {
        sets_.index_by_controller();
        pods_.index_by_controller();
        watch_own(deployments_);
        watch_owned(sets_, "Deployment");
        sets_.on_change([this](const auto&, const auto& now) { on_orphan(now); });
        pods_.on_change([this](const auto& before, const auto& now) {
            if (now == nullptr) on_pod_gone(*before);
        });
    }

  private:
    void on_orphan(const api::ObjectPtr& rs) {
        if (rs == nullptr || api::controller_of(*rs) != nullptr) return;
        const auto& m = api::meta_of(*rs);
        for (const auto& d : deployments_.in_namespace(m.namespace_())) {
            const auto selector =
                api::LabelSelector::from(api::as<Deployment>(d)->spec().selector());
            if (selector && !selector->empty() && selector->matches(m.labels()))
                queue().add(api::key_of(*d));
        }
    }
    // Recreate waits for the last old pod.
    void on_pod_gone(const api::Message& pod) {
        const auto* owner = api::controller_of(pod);
        if (owner == nullptr || owner->kind() != "ReplicaSet") return;
        const auto rs = sets_.get(api::key_of(api::meta_of(pod).namespace_(), owner->name()));
        const auto* above = rs == nullptr ? nullptr : api::controller_of(*rs);
        if (above != nullptr)
            queue().add(api::key_of(api::meta_of(pod).namespace_(), above->name()));
    }

    base::Task<void> reconcile(std::string key) override;
    base::Task<ReplicaSets> claim(DeploymentPtr d);
    base::Task<void> rolling(DeploymentPtr d, ReplicaSets all);
    base::Task<void> recreate(DeploymentPtr d, ReplicaSets all);
    base::Task<void> scale_only(DeploymentPtr d, ReplicaSets all);
    base::Task<ReplicaSetPtr> ensure_new(DeploymentPtr* d, ReplicaSets* all);
    base::Task<ReplicaSetPtr> create_new(DeploymentPtr d, std::int64_t revision, int replicas);
    base::Task<DeploymentPtr> say_revision(DeploymentPtr d, std::int64_t revision);
    base::Task<ReplicaSetPtr> scale(DeploymentPtr d, ReplicaSetPtr rs, int replicas);
    base::Task<void> clean_up(DeploymentPtr d, ReplicaSets old);
    base::Task<void> report(DeploymentPtr d, ReplicaSets all, ReplicaSetPtr fresh);
    bool old_pods_run(const ReplicaSets& old) const;

    std::shared_ptr<api::Client> client_;
    api::Informer& deployments_;
    api::Informer& sets_;
    api::Informer& pods_;
    api::EventRecorder& events_;
};

ReplicaSets without(const ReplicaSets& all, const ReplicaSetPtr& one) {
    ReplicaSets out;
    for (const auto& rs : all)
        if (one == nullptr || rs->metadata().uid() != one->metadata().uid()) out.push_back(rs);
    return out;
}

void replace(ReplicaSets* all, const ReplicaSetPtr& one) {
    *all = without(*all, one);
    all->push_back(one);
}

base::Task<void> Deployments::reconcile(std::string key) {
    auto d = deployments_.get_as<Deployment>(key);
    if (d == nullptr) co_return base::Status();
    CO_TRY(ReplicaSets all, co_await claim(d));
    if (api::is_deleting(*d)) co_return co_await report(d, all, find_new(*d, all));
    if (d->spec().paused() || is_scaling(*d, all)) co_return co_await scale_only(d, all);
    if (is_rolling(*d)) co_return co_await rolling(d, std::move(all));
    co_return co_await recreate(d, std::move(all));
}

base::Task<ReplicaSets> Deployments::claim(DeploymentPtr d) {
    CO_TRY(const auto selector, api::LabelSelector::from(d->spec().selector()));
    ReplicaSets out;
    ReplicaSets orphans;
    for (const auto& object : sets_.by_index(api::Informer::kByController, d->metadata().uid()))
        out.push_back(api::as<ReplicaSet>(object));
    if (!selector.empty() && !api::is_deleting(*d))
        for (const auto& object : sets_.in_namespace(d->metadata().namespace_()))
            if (api::controller_of(*object) == nullptr && !api::is_deleting(*object) &&
                selector.matches(api::meta_of(*object).labels()))
                orphans.push_back(api::as<ReplicaSet>(object));
    if (orphans.empty()) co_return out;
    const auto& m = d->metadata();
    CO_TRY(const auto now, co_await client_->get<Deployment>(m.namespace_(), m.name()));
    if (now->metadata().uid() != m.uid() || api::is_deleting(*now)) co_return out;
    for (const auto& rs : orphans) {
        auto next = api::copy(*rs);
        *next->mutable_metadata()->add_ownerreferences() = api::controller_ref(*d);
        CO_TRY(auto adopted, co_await client_->update<ReplicaSet>(std::move(next)));
        out.push_back(std::move(adopted));
    }
    co_return out;
}

base::Task<void> Deployments::rolling(DeploymentPtr d, ReplicaSets all) {
    CO_TRY(auto fresh, co_await ensure_new(&d, &all));
    const int up = new_replicas(*d, all, wanted(*fresh));
    if (up != wanted(*fresh)) {
        CO_TRY(fresh, co_await scale(d, fresh, up));
        replace(&all, fresh);
        co_return co_await report(d, all, fresh);
    }
    const auto down = scale_down_old(*d, all, without(all, fresh), fresh);
    for (const auto& step : down) {
        CO_TRY(auto scaled, co_await scale(d, step.set, step.replicas));
        replace(&all, scaled);
    }
    if (down.empty() && is_complete(*d, deployment_status(*d, all, fresh, api::wall_now())))
        CO_TRY_VOID(co_await clean_up(d, without(all, fresh)));
    co_return co_await report(d, all, fresh);
}

bool Deployments::old_pods_run(const ReplicaSets& old) const {
    for (const auto& rs : old)
        for (const auto& pod : pods_.by_index(api::Informer::kByController, rs->metadata().uid()))
            if (!is_finished(*api::as<api::core::Pod>(pod))) return true;
    return false;
}

base::Task<void> Deployments::recreate(DeploymentPtr d, ReplicaSets all) {
    auto fresh = find_new(*d, all);
    const auto old = without(all, fresh);
    bool scaled_down = false;
    for (const auto& rs : old) {
        if (wanted(*rs) == 0) continue;
        CO_TRY(auto scaled, co_await scale(d, rs, 0));
        replace(&all, scaled);
        scaled_down = true;
    }
    if (scaled_down || old_pods_run(old)) co_return co_await report(d, all, fresh);
    CO_TRY(fresh, co_await ensure_new(&d, &all));
    if (wanted(*fresh) != wanted(*d)) {
        CO_TRY(fresh, co_await scale(d, fresh, wanted(*d)));
        replace(&all, fresh);
    }
    if (is_complete(*d, deployment_status(*d, all, fresh, api::wall_now())))
        CO_TRY_VOID(co_await clean_up(d, without(all, fresh)));
    co_return co_await report(d, all, fresh);
}

// While paused, or when only the size has changed: no rollout, but the new size.
base::Task<void> Deployments::scale_only(DeploymentPtr d, ReplicaSets all) {
    auto fresh = find_new(*d, all);
    ReplicaSets active;
    for (const auto& rs : all)
        if (wanted(*rs) > 0) active.push_back(rs);
    std::vector<Scaling> steps;
    if (active.size() <= 1) {
        auto one = active.empty() ? fresh : active[0];
        if (one != nullptr) steps.push_back({one, wanted(*d)});
    } else if (fresh != nullptr && wanted(*fresh) == wanted(*d) &&
               fresh->status().availablereplicas() == wanted(*d)) {
        for (const auto& rs : without(active, fresh))
            steps.push_back({rs, 0});
    } else if (is_rolling(*d)) {
        steps = scale_in_proportion(*d, all);
        // Those of unchanged size must learn the new total, too.
        if (steps.empty())
            for (const auto& rs : active)
                steps.push_back({rs, wanted(*rs)});
    }
    for (const auto& step : steps) {
        CO_TRY(auto scaled, co_await scale(d, step.set, step.replicas));
        replace(&all, scaled);
        if (fresh != nullptr && scaled->metadata().uid() == fresh->metadata().uid()) fresh = scaled;
    }
    const auto* progress = condition_of(d->status(), "Progressing");
    const bool said = progress != nullptr && progress->reason() == "DeploymentPaused";
    if (d->spec().has_progressdeadlineseconds() && d->spec().paused() != said) {
        auto next = api::copy(*d);
        if (d->spec().paused())
            set_condition(next->mutable_status(), "Progressing", "Unknown", "DeploymentPaused",
                          "Deployment is paused", api::wall_now());
        else if (progress != nullptr)
            set_condition(next->mutable_status(), "Progressing", "Unknown", "DeploymentResumed",
                          "Deployment is resumed", api::wall_now());
        if (!api::same(*next, *d)) {
            CO_TRY(auto written, co_await client_->update_status<Deployment>(std::move(next)));
            d = std::move(written);
        }
    }
    co_return co_await report(d, all, fresh);
}

// Finds or makes the ReplicaSet of the present template, and sees to revisions.
base::Task<ReplicaSetPtr> Deployments::ensure_new(DeploymentPtr* d, ReplicaSets* all) {
    auto fresh = find_new(**d, *all);
    std::int64_t revision = 1;
    for (const auto& rs : without(*all, fresh))
        revision = std::max(revision, revision_of(*rs) + 1);
    if (fresh == nullptr) {
        const int replicas = new_replicas(**d, *all, 0);
        CO_TRY(fresh, co_await create_new(*d, revision, replicas));
    } else {
        auto next = api::copy(*fresh);
        annotate_new(**d, revision, true, next.get());
        if (next->spec().minreadyseconds() != (*d)->spec().minreadyseconds())
            next->mutable_spec()->set_minreadyseconds((*d)->spec().minreadyseconds());
        if (!api::same(*next, *fresh)) {
            CO_TRY(fresh, co_await client_->update<ReplicaSet>(std::move(next)));
        }
    }
    replace(all, fresh);
    CO_TRY(*d, co_await say_revision(*d, revision_of(*fresh)));
    co_return fresh;
}

base::Task<ReplicaSetPtr> Deployments::create_new(DeploymentPtr d, std::int64_t revision,
                                                  int replicas) {
    const std::string hash = template_hash(*d);
    auto rs = std::make_shared<ReplicaSet>();
    auto* m = rs->mutable_metadata();
    m->set_namespace_(d->metadata().namespace_());
    m->set_name(d->metadata().name() + "-" + hash);
    *m->add_ownerreferences() = api::controller_ref(*d);
    *rs->mutable_spec()->mutable_template_() = d->spec().template_();
    auto& labels = *rs->mutable_spec()->mutable_template_()->mutable_metadata()->mutable_labels();
    labels[kTemplateHash] = hash;
    *m->mutable_labels() = labels;
    *rs->mutable_spec()->mutable_selector() = d->spec().selector();
    (*rs->mutable_spec()->mutable_selector()->mutable_matchlabels())[kTemplateHash] = hash;
    if (d->spec().minreadyseconds() != 0)
        rs->mutable_spec()->set_minreadyseconds(d->spec().minreadyseconds());
    rs->mutable_spec()->set_replicas(replicas);
    annotate_new(*d, revision, false, rs.get());
    auto made = co_await client_->create<ReplicaSet>(rs);
    if (made) {
        if (replicas > 0)
            events_.normal(
                *d, "ScalingReplicaSet",
                fmt::format("Scaled up replica set {} from 0 to {}", m->name(), replicas));
        co_return *made;
    }
    if (!api::is_already_exists(made.error())) {
        events_.warning(*d, "ReplicaSetCreateError",
                        fmt::format("Failed to create new replica set \"{}\": {}", m->name(),
                                    made.error().message));
        co_return made.error();
    }
    CO_TRY(auto found, co_await client_->get<ReplicaSet>(m->namespace_(), m->name()));
    if (api::is_controlled_by(*found, d->metadata().uid()) &&
        template_bytes(found->spec().template_()) == template_bytes(d->spec().template_()))
        co_return found;
    // Another template has the same hash: the next one is salted.
    auto salted = api::copy(*d);
    salted->mutable_status()->set_collisioncount(d->status().collisioncount() + 1);
    CO_TRY_VOID(co_await client_->update_status<Deployment>(std::move(salted)));
    co_return made.error();
}

base::Task<DeploymentPtr> Deployments::say_revision(DeploymentPtr d, std::int64_t revision) {
    const std::string text = std::to_string(revision);
    if (api::annotation(*d, kRevision) == text) co_return d;
    auto next = api::copy(*d);
    (*next->mutable_metadata()->mutable_annotations())[kRevision] = text;
    CO_TRY(auto written, co_await client_->update<Deployment>(std::move(next)));
    co_return written;
}

base::Task<ReplicaSetPtr> Deployments::scale(DeploymentPtr d, ReplicaSetPtr rs, int replicas) {
    const int before = wanted(*rs);
    auto next = api::copy(*rs);
    next->mutable_spec()->set_replicas(replicas);
    annotate_sizes(*d, next.get());
    if (api::same(*next, *rs)) co_return rs;
    CO_TRY(auto written, co_await client_->update<ReplicaSet>(std::move(next)));
    if (before != replicas)
        events_.normal(
            *d, "ScalingReplicaSet",
            fmt::format("Scaled {} replica set {} from {} to {}", before < replicas ? "up" : "down",
                        rs->metadata().name(), before, replicas));
    co_return written;
}

base::Task<void> Deployments::clean_up(DeploymentPtr d, ReplicaSets old) {
    const int keep = d->spec().has_revisionhistorylimit() ? d->spec().revisionhistorylimit() : 10;
    std::erase_if(old, [](const auto& rs) { return api::is_deleting(*rs); });
    std::sort(old.begin(), old.end(),
              [](const auto& a, const auto& b) { return revision_of(*a) < revision_of(*b); });
    const int surplus = static_cast<int>(old.size()) - keep;
    for (int i = 0; i < surplus; ++i) {
        const auto& rs = *old[static_cast<std::size_t>(i)];
        if (rs.status().replicas() != 0 || wanted(rs) != 0 ||
            rs.metadata().generation() > rs.status().observedgeneration())
            continue;
        const auto removed =
            co_await client_->remove<ReplicaSet>(rs.metadata().namespace_(), rs.metadata().name());
        if (!removed && !api::is_not_found(removed.error())) co_return removed.error();
    }
    co_return base::Status();
}

base::Task<void> Deployments::report(DeploymentPtr d, ReplicaSets all, ReplicaSetPtr fresh) {
    auto next = api::copy(*d);
    *next->mutable_status() = deployment_status(*d, all, fresh, api::wall_now());
    if (const auto deadline = deadline_of(*next)) {
        const auto wait = std::chrono::ceil<base::Millis>(*deadline - api::wall_now());
        queue().add_after(api::key_of(*d), std::max(wait, base::Millis(0)) + base::Millis(1000));
    }
    if (api::equivalent(*next, *d)) co_return base::Status();
    CO_TRY_VOID(co_await client_->update_status<Deployment>(std::move(next)));
    co_return base::Status();
}

}  // namespace

std::unique_ptr<api::Controller> make_deployment(base::Loop& loop,
                                                 std::shared_ptr<api::Client> client,
                                                 api::Informers& informers,
                                                 api::EventRecorder& events) {
    return std::make_unique<Deployments>(loop, std::move(client), informers, events);
}

}  // namespace controllers
