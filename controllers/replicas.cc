#include "controllers/replicas.h"

#include <algorithm>
#include <map>

#include "api/status.h"
#include "api/util.h"
#include "controllers/batch.h"
#include "controllers/pods_to_delete.h"

namespace controllers {
namespace {

using api::core::Pod;
constexpr int kWorkers = 5;
// Of one owner at one time.
constexpr int kBurst = 500;
constexpr std::string_view kOrphans = "orphans by namespace";

Expectations::Time steady_now() {
    return std::chrono::steady_clock::now();
}

bool has_labels(const Pod& pod, const api::Labels& wanted) {
    const auto& labels = pod.metadata().labels();
    return std::all_of(wanted.begin(), wanted.end(), [&](const auto& entry) {
        const auto it = labels.find(entry.first);
        return it != labels.end() && it->second == entry.second;
    });
}

}  // namespace

ReplicaController::ReplicaController(std::string name, const api::ResourceInfo& resource,
                                     base::Loop& loop, std::shared_ptr<api::Client> client,
                                     api::Informers& informers, api::EventRecorder& events)
    : Controller(std::move(name), loop, kWorkers),
      owners_(informers.of(resource)),
      resource_(resource),
      client_(std::move(client)),
      pods_(informers.of<Pod>()),
      events_(events) {
    owners_.index_by_controller();
    pods_.index_by_controller();
    pods_.add_index(kOrphans, [](const api::Message& pod) {
        return api::controller_of(pod) != nullptr
                   ? std::vector<std::string>()
                   : std::vector<std::string>{api::meta_of(pod).namespace_()};
    });
    watch_own(owners_);
    pods_.on_change([this](const auto& before, const auto& now) { on_pod(before, now); });
}

// "" when the pod's controller is not of this kind.
std::string ReplicaController::owner_key(const api::Message& pod) const {
    const auto* owner = api::controller_of(pod);
    if (owner == nullptr || owner->kind() != resource_.kind) return "";
    return api::key_of(api::meta_of(pod).namespace_(), owner->name());
}

void ReplicaController::enqueue_matching(const api::Message& pod) {
    const auto& m = api::meta_of(pod);
    if (m.labels().empty()) return;
    for (const auto& owner : owners_.in_namespace(m.namespace_())) {
        const auto wish = wish_of(*owner);
        if (wish && !wish->selector.empty() && wish->selector.matches(m.labels()))
            queue().add(api::key_of(*owner));
    }
}

void ReplicaController::on_pod(const api::ObjectPtr& before, const api::ObjectPtr& now) {
    const std::string was = before == nullptr ? "" : owner_key(*before);
    const std::string is = now == nullptr ? "" : owner_key(*now);
    if (before == nullptr && !is.empty()) expectations_.creation_observed(is);
    if (now == nullptr && !was.empty()) expectations_.deletion_observed(was, api::key_of(*before));
    if (!is.empty() && api::is_deleting(*now))
        expectations_.deletion_observed(is, api::key_of(*now));
    if (!was.empty()) queue().add(was);
    if (!is.empty() && is != was) queue().add(is);
    if (now != nullptr && api::controller_of(*now) == nullptr) enqueue_matching(*now);
}

std::vector<api::ObjectPtr> ReplicaController::siblings(const api::ObjectPtr& owner) const {
    return {owner};
}

base::Task<void> ReplicaController::reconcile(std::string key) {
    const auto owner = owners_.get(key);
    if (owner == nullptr) {
        expectations_.forget(key);
        co_return base::Status();
    }
    CO_TRY(ReplicaWish wish, wish_of(*owner));
    const bool may_act = expectations_.satisfied(key, steady_now()) && !api::is_deleting(*owner);
    CO_TRY(Pods pods, co_await claim(owner, wish.selector));
    base::Status managed;
    if (may_act) managed = co_await manage(key, owner, wish, pods);
    Failure failure;
    if (!managed && managed.error().code != base::Code::kCancelled) {
        failure.reason =
            static_cast<int>(pods.size()) < wish.replicas ? "FailedCreate" : "FailedDelete";
        failure.message = managed.error().message;
    }
    CO_TRY_VOID(co_await report(key, owner, wish, std::move(pods), std::move(failure)));
    co_return managed;
}

base::Task<ReplicaController::Pods> ReplicaController::claim(api::ObjectPtr owner,
                                                             api::LabelSelector selector) {
    const auto& m = api::meta_of(*owner);
    Pods mine;
    Pods strangers;
    Pods orphans;
    for (const auto& object : pods_.by_index(api::Informer::kByController, m.uid())) {
        const auto pod = api::as<Pod>(object);
        const bool fits = selector.matches(pod->metadata().labels());
        if (!fits && !api::is_deleting(*pod) && !api::is_deleting(*owner))
            strangers.push_back(pod);
        else if (fits && is_active(*pod))
            mine.push_back(pod);
    }
    if (!selector.empty() && !api::is_deleting(*owner))
        for (const auto& object : pods_.by_index(kOrphans, m.namespace_())) {
            const auto pod = api::as<Pod>(object);
            if (is_active(*pod) && selector.matches(pod->metadata().labels()))
                orphans.push_back(pod);
        }
    for (const auto& pod : strangers)
        CO_TRY_VOID(co_await release(owner, pod));
    if (orphans.empty()) co_return mine;
    // The cache may be old: an owner that was deleted meanwhile must not adopt.
    CO_TRY(const auto fresh, co_await client_->get(resource_, m.namespace_(), m.name()));
    if (api::meta_of(*fresh).uid() != m.uid() || api::is_deleting(*fresh)) co_return mine;
    for (const auto& pod : orphans) {
        const auto adopted = co_await adopt(owner, pod);
        if (adopted)
            mine.push_back(pod);
        else if (!api::is_not_found(adopted.error()))
            co_return adopted.error();
    }
    co_return mine;
}

base::Task<void> ReplicaController::adopt(api::ObjectPtr owner, api::Ptr<Pod> pod) {
    auto next = api::copy(*pod);
    *next->mutable_metadata()->add_ownerreferences() = api::controller_ref(*owner);
    CO_TRY_VOID(co_await client_->update<Pod>(std::move(next)));
    co_return base::Status();
}

base::Task<void> ReplicaController::release(api::ObjectPtr owner, api::Ptr<Pod> pod) {
    auto next = api::copy(*pod);
    auto* owners = next->mutable_metadata()->mutable_ownerreferences();
    const std::string& uid = api::meta_of(*owner).uid();
    for (int i = owners->size() - 1; i >= 0; --i)
        if (owners->Get(i).uid() == uid) owners->DeleteSubrange(i, 1);
    const auto released = co_await client_->update<Pod>(std::move(next));
    if (!released && !api::is_not_found(released.error())) co_return released.error();
    co_return base::Status();
}

base::Task<void> ReplicaController::manage(std::string key, api::ObjectPtr owner, ReplicaWish wish,
                                           Pods pods) {
    const int surplus = static_cast<int>(pods.size()) - wish.replicas;
    if (surplus < 0)
        co_return co_await create_some(std::move(key), std::move(owner), std::move(wish),
                                       std::min(-surplus, kBurst));
    if (surplus > 0)
        co_return co_await delete_some(std::move(key), std::move(owner), std::move(pods),
                                       static_cast<std::size_t>(std::min(surplus, kBurst)));
    co_return base::Status();
}

// One, then two, then four at a time: what fails for one (a quota, say) fails for all, and then few
// were tried.
base::Task<void> ReplicaController::create_some(std::string key, api::ObjectPtr owner,
                                                ReplicaWish wish, int count) {
    expectations_.expect_creations(key, count, steady_now());
    int left = count;
    for (int size = 1; left > 0; size *= 2) {
        std::vector<base::Task<void>> batch;
        for (int i = 0; i < std::min(size, left); ++i)
            batch.push_back(create_one(key, owner, wish.pod_template));
        left -= static_cast<int>(batch.size());
        auto results = co_await run_all(loop_, std::move(batch));
        for (auto& result : results) {
            if (result) continue;
            expectations_.creations_failed(key, left);
            co_return std::move(result).error();
        }
    }
    if (count == kBurst) queue().add(key);
    co_return base::Status();
}

base::Task<void> ReplicaController::create_one(std::string key, api::ObjectPtr owner,
                                               const api::core::PodTemplateSpec* pod_template) {
    auto made = co_await client_->create<Pod>(pod_from_template(*pod_template, *owner));
    if (made) {
        events_.normal(*owner, "SuccessfulCreate", "Created pod: " + (*made)->metadata().name());
        co_return base::Status();
    }
    expectations_.creations_failed(key, 1);
    events_.warning(*owner, "FailedCreate", "Error creating: " + made.error().message);
    co_return made.error();
}

base::Task<void> ReplicaController::delete_some(std::string key, api::ObjectPtr owner, Pods pods,
                                                std::size_t count) {
    std::map<std::string, int> on_node;
    for (const auto& sibling : siblings(owner))
        for (const auto& object :
             pods_.by_index(api::Informer::kByController, api::meta_of(*sibling).uid())) {
            const auto pod = api::as<Pod>(object);
            if (is_active(*pod)) ++on_node[pod->spec().nodename()];
        }
    std::vector<RankedPod> ranked;
    for (auto& pod : pods)
        ranked.push_back({pod, on_node[pod->spec().nodename()]});
    const auto victims = pods_to_delete(std::move(ranked), count, api::wall_now());
    std::set<std::string> keys;
    for (const auto& pod : victims)
        keys.insert(api::key_of(*pod));
    expectations_.expect_deletions(key, std::move(keys), steady_now());
    std::vector<base::Task<void>> batch;
    for (const auto& pod : victims)
        batch.push_back(delete_one(key, owner, pod));
    auto results = co_await run_all(loop_, std::move(batch));
    for (auto& result : results)
        if (!result) co_return std::move(result).error();
    co_return base::Status();
}

base::Task<void> ReplicaController::delete_one(std::string key, api::ObjectPtr owner,
                                               api::Ptr<Pod> pod) {
    api::DeleteOptions options;
    options.uid = pod->metadata().uid();
    const auto& m = pod->metadata();
    auto removed = co_await client_->remove<Pod>(m.namespace_(), m.name(), std::move(options));
    if (removed) {
        events_.normal(*owner, "SuccessfulDelete", "Deleted pod: " + m.name());
        co_return base::Status();
    }
    expectations_.deletion_observed(key, api::key_of(*pod));
    if (api::is_not_found(removed.error())) co_return base::Status();
    events_.warning(*owner, "FailedDelete", "Error deleting: " + removed.error().message);
    co_return removed.error();
}

base::Task<void> ReplicaController::report(std::string key, api::ObjectPtr owner, ReplicaWish wish,
                                           Pods pods, Failure failure) {
    ReplicaStatus status;
    const auto now = api::wall_now();
    for (const auto& pod : pods) {
        ++status.replicas;
        if (has_labels(*pod, wish.pod_template->metadata().labels())) ++status.fully_labeled;
        if (is_ready(*pod)) ++status.ready;
        if (is_available(*pod, wish.min_ready, now)) ++status.available;
    }
    status.failure_reason = std::move(failure.reason);
    status.failure_message = std::move(failure.message);
    if (status.ready > status.available)
        queue().add_after(key, std::min<base::Millis>(wish.min_ready, std::chrono::seconds(60)) +
                                   base::Millis(50));
    auto next = with_status(*owner, status);
    if (api::equivalent(*next, *owner)) co_return base::Status();
    api::ObjectPtr plain = std::move(next);
    CO_TRY_VOID(co_await client_->update(resource_, std::move(plain), std::string("status")));
    co_return base::Status();
}

}  // namespace controllers
