#pragma once
// A cluster in memory for controllers' tests: a FakeClient, informers, events, and a kubelet that
// makes pods ready.

#include "api/controller.h"
#include "api/events.h"
#include "api/fake_client.h"
#include "api/proto/apps_v1.pb.h"
#include "api/proto/core_v1_config.pb.h"
#include "api/proto/core_v1_node.pb.h"
#include "api/proto/core_v1_pod.pb.h"
#include "api/util.h"
#include "test/api/on_loop.h"

namespace test {

class Cluster : public ::testing::Test {
  protected:
    Cluster();
    ~Cluster() override;

    // Starts what was made with informers_ and waits for the caches.
    base::Awaitable<void> start(std::vector<std::unique_ptr<api::Controller>> controllers);
    // Pods come to Running and Ready, and those that are deleted go, from now on.
    void run_kubelet();
    base::Awaitable<void> stop();

    // Active pods with this label.
    std::vector<api::Ptr<api::core::Pod>> pods(const std::string& app = "") const;
    void set_ready(const api::core::Pod& pod, bool ready = true);
    static api::core::PodTemplateSpec pod_template(const std::string& app,
                                                   const std::string& image = "v1");
    std::shared_ptr<api::apps::Deployment> deployment(const std::string& name, int replicas) const;
    std::shared_ptr<api::apps::ReplicaSet> replica_set(const std::string& name, int replicas) const;
    std::shared_ptr<api::core::Node> node(const std::string& name, bool ready = true) const;

    base::Loop loop_{"test"};
    std::shared_ptr<api::FakeClient> fake_ = std::make_shared<api::FakeClient>();
    std::shared_ptr<api::Client> client_ = fake_;
    std::unique_ptr<api::Informers> informers_;
    std::unique_ptr<api::EventRecorder> events_;
    std::vector<std::unique_ptr<api::Controller>> controllers_;

  private:
    base::Awaitable<void> kubelet();
    std::unique_ptr<base::TaskGroup> tasks_;
};

}  // namespace test
