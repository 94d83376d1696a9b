#pragma once
// ReplicaController: keeps as many pods of a template as its owner wants. The shared core of
// ReplicationController and ReplicaSet, which differ only in the type of the owner.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/controller.h"
#include "api/events.h"
#include "api/selector.h"
#include "controllers/expectations.h"
#include "controllers/pod_util.h"

namespace controllers {

struct ReplicaWish {
    int replicas = 1;
    std::chrono::seconds min_ready{0};
    api::LabelSelector selector;
    const api::core::PodTemplateSpec* pod_template = nullptr;  // the owner's
};

struct ReplicaStatus {
    int replicas = 0;
    int fully_labeled = 0;
    int ready = 0;
    int available = 0;
    // What the ReplicaFailure condition says; none without a reason.
    std::string failure_reason;
    std::string failure_message;
};

class ReplicaController : public api::Controller {
  public:
    ReplicaController(std::string name, const api::ResourceInfo& resource, base::Loop& loop,
                      std::shared_ptr<api::Client> client, api::Informers& informers,
                      api::EventRecorder& events);

  protected:
    base::Task<void> reconcile(std::string key) override;

    virtual base::Result<ReplicaWish> wish_of(const api::Message& owner) const = 0;
    // The owner with this status; its observedGeneration is the owner's generation.
    virtual std::shared_ptr<api::Message> with_status(const api::Message& owner,
                                                      const ReplicaStatus& status) const = 0;
    // Those whose pods count as neighbours: the owners of the same rollout, the owner included.
    virtual std::vector<api::ObjectPtr> siblings(const api::ObjectPtr& owner) const;

    api::Informer& owners_;

  private:
    using Pods = std::vector<api::Ptr<api::core::Pod>>;
    struct Failure {
        std::string reason;
        std::string message;
    };

    void on_pod(const api::ObjectPtr& before, const api::ObjectPtr& now);
    std::string owner_key(const api::Message& pod) const;
    void enqueue_matching(const api::Message& pod);

    base::Task<Pods> claim(api::ObjectPtr owner, api::LabelSelector selector);
    base::Task<void> adopt(api::ObjectPtr owner, api::Ptr<api::core::Pod> pod);
    base::Task<void> release(api::ObjectPtr owner, api::Ptr<api::core::Pod> pod);
    base::Task<void> manage(std::string key, api::ObjectPtr owner, ReplicaWish wish, Pods pods);
    base::Task<void> create_some(std::string key, api::ObjectPtr owner, ReplicaWish wish,
                                 int count);
    base::Task<void> create_one(std::string key, api::ObjectPtr owner,
                                const api::core::PodTemplateSpec* pod_template);
    base::Task<void> delete_some(std::string key, api::ObjectPtr owner, Pods pods,
                                 std::size_t count);
    base::Task<void> delete_one(std::string key, api::ObjectPtr owner,
                                api::Ptr<api::core::Pod> pod);
    base::Task<void> report(std::string key, api::ObjectPtr owner, ReplicaWish wish, Pods pods,
                            Failure failure);

    const api::ResourceInfo& resource_;
    std::shared_ptr<api::Client> client_;
    api::Informer& pods_;
    api::EventRecorder& events_;
    Expectations expectations_;
};

}  // namespace controllers
