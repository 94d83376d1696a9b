#include "controllers/namespace.h"

#include <algorithm>

#include "api/proto/core_v1_config.pb.h"
#include "api/proto/core_v1_pod.pb.h"
#include "api/status.h"
#include "api/util.h"
#include "base/log.h"

namespace controllers {
namespace {

using api::core::Namespace;
constexpr const char* kFinalizer = "kubernetes";
constexpr base::Millis kAgain{250};

struct Condition {
    const char* type;
    const char* good_reason;
    const char* good_message;
    const char* bad_reason;
};
constexpr Condition kDeletion{"NamespaceDeletionContentFailure", "ContentDeleted",
                              "All content successfully deleted, may be waiting on finalization",
                              "ContentDeletionFailed"};
constexpr Condition kRemaining{"NamespaceContentRemaining", "ContentRemoved",
                               "All content successfully removed", "SomeResourcesRemain"};
constexpr Condition kFinalizers{"NamespaceFinalizersRemaining", "ContentHasNoFinalizers",
                                "All content-preserving finalizers finished",
                                "SomeFinalizersRemain"};

// True when it changed.
bool say(Namespace* ns, const Condition& what, const std::string& trouble) {
    auto* all = ns->mutable_status()->mutable_conditions();
    auto it = std::find_if(all->begin(), all->end(),
                           [&](const auto& condition) { return condition.type() == what.type; });
    auto* condition = it == all->end() ? all->Add() : &*it;
    const char* status = trouble.empty() ? "False" : "True";
    const std::string message = trouble.empty() ? what.good_message : trouble;
    if (condition->status() == status && condition->message() == message) return false;
    if (condition->status() != status)
        *condition->mutable_lasttransitiontime() = api::to_time(api::wall_now());
    condition->set_type(what.type);
    condition->set_status(status);
    condition->set_reason(trouble.empty() ? what.good_reason : what.bad_reason);
    condition->set_message(message);
    return true;
}

struct Left {
    std::string content;
    std::string finalizers;
    std::string failures;
    bool pods = false;
};

class Namespaces final : public api::Controller {
  public:
    Namespaces(base::Loop& loop, std::shared_ptr<api::Client> client, api::Informers& informers)
        : Controller("namespace-controller", loop, 5),
          client_(std::move(client)),
          namespaces_(informers.of<Namespace>()) {
        watch_own(namespaces_);
    }

  private:
    base::Task<void> reconcile(std::string key) override {
        auto ns = namespaces_.get_as<Namespace>(key);
        if (ns == nullptr || !api::is_deleting(*ns)) co_return base::Status();
        if (ns->status().phase() != "Terminating") {
            auto next = api::copy(*ns);
            next->mutable_status()->set_phase("Terminating");
            CO_TRY(ns, co_await client_->update_status<Namespace>(std::move(next)));
        }
        const auto& held = ns->spec().finalizers();
        if (std::find(held.begin(), held.end(), kFinalizer) == held.end()) co_return base::Status();
        CO_TRY(const Left left, co_await empty(key));
        CO_TRY(ns, co_await report(ns, left));
        if (!left.content.empty() || !left.failures.empty()) {
            queue().add_after(key, left.pods ? kAgain * 2 : kAgain);
            co_return base::Status();
        }
        auto next = api::copy(*ns);
        auto* finalizers = next->mutable_spec()->mutable_finalizers();
        finalizers->erase(std::remove(finalizers->begin(), finalizers->end(), kFinalizer),
                          finalizers->end());
        api::ObjectPtr plain = std::move(next);
        CO_TRY_VOID(co_await client_->update(api::resource_of<Namespace>(), std::move(plain),
                                             std::string("finalize")));
        co_return base::Status();
    }

    // Deletes what there is and answers what is left of it.
    base::Task<Left> empty(std::string name) {
        Left left;
        for (const auto& resource : api::all_resources()) {
            if (!resource.namespaced || resource.storage_prefix.empty() ||
                !resource.has_verb("list") || !resource.has_verb("delete"))
                continue;
            CO_TRY_VOID(co_await empty_of(name, &resource, &left));
        }
        co_return left;
    }

    base::Task<void> empty_of(std::string name, const api::ResourceInfo* resource, Left* left) {
        api::ListOptions which;
        auto found = co_await client_->list(*resource, name, which);
        if (!found) co_return found.error();
        if (found->items.empty()) co_return base::Status();
        const bool fresh = std::any_of(found->items.begin(), found->items.end(),
                                       [](const auto& item) { return !api::is_deleting(*item); });
        if (fresh) {
            api::DeleteOptions options;
            options.propagation_policy = "Background";
            base::Status removed;
            if (resource->has_verb("deletecollection"))
                removed = co_await client_->remove_all(*resource, name, which, std::move(options));
            else
                removed = co_await remove_each(resource, found->items);
            if (!removed && !api::is_not_found(removed.error()))
                left->failures += (left->failures.empty() ? "" : ", ") + removed.error().message;
            found = co_await client_->list(*resource, name, which);
            if (!found) co_return found.error();
        }
        if (found->items.empty()) co_return base::Status();
        left->pods = left->pods || resource->plural == "pods";
        left->content += (left->content.empty() ? "Some resources are remaining: " : ", ") +
                         fmt::format("{}. has {} resource instances", resource->qualified(),
                                     found->items.size());
        for (const auto& item : found->items)
            for (const auto& finalizer : api::meta_of(*item).finalizers())
                if (left->finalizers.find(finalizer) == std::string::npos)
                    left->finalizers +=
                        (left->finalizers.empty() ? "Some content in the namespace has finalizers "
                                                    "remaining: "
                                                  : ", ") +
                        finalizer;
        co_return base::Status();
    }

    base::Task<void> remove_each(const api::ResourceInfo* resource,
                                 std::vector<api::ObjectPtr> items) {
        for (const auto& item : items) {
            api::DeleteOptions options;
            const auto& m = api::meta_of(*item);
            auto removed =
                co_await client_->remove(*resource, m.namespace_(), m.name(), std::move(options));
            if (!removed && !api::is_not_found(removed.error())) co_return removed.error();
        }
        co_return base::Status();
    }

    base::Task<api::Ptr<Namespace>> report(api::Ptr<Namespace> ns, Left left) {
        auto next = api::copy(*ns);
        bool changed = say(next.get(), kDeletion, left.failures);
        changed = say(next.get(), kRemaining, left.content) || changed;
        changed = say(next.get(), kFinalizers, left.finalizers) || changed;
        if (!changed) co_return ns;
        CO_TRY(auto written, co_await client_->update_status<Namespace>(std::move(next)));
        co_return written;
    }

    std::shared_ptr<api::Client> client_;
    api::Informer& namespaces_;
};

}  // namespace

std::unique_ptr<api::Controller> make_namespace(base::Loop& loop,
                                                std::shared_ptr<api::Client> client,
                                                api::Informers& informers) {
    return std::make_unique<Namespaces>(loop, std::move(client), informers);
}

}  // namespace controllers
