#include "test/controllers/fixture.h"

namespace test {

using api::core::Pod;

Cluster::Cluster() {
    loop_.start();
    loop_.run_and_wait([this] {
        informers_ = std::make_unique<api::Informers>(loop_, client_);
        api::EventRecorderOptions options;
        options.component = "test";
        events_ = std::make_unique<api::EventRecorder>(loop_, client_, options);
        tasks_ = std::make_unique<base::TaskGroup>(loop_);
    });
}

Cluster::~Cluster() {
    loop_.run_and_wait([this] {
        controllers_.clear();
        informers_.reset();
        events_.reset();
        tasks_.reset();
    });
}

base::Awaitable<void> Cluster::start(std::vector<std::unique_ptr<api::Controller>> controllers) {
    controllers_ = std::move(controllers);
    events_->start();
    informers_->start();
    (void)co_await informers_->wait_synced();
    for (auto& controller : controllers_)
        controller->start();
}

base::Awaitable<void> Cluster::stop() {
    for (auto& controller : controllers_)
        co_await controller->stop();
    co_await informers_->stop();
    co_await events_->stop();
    co_await tasks_->stop();
}

void Cluster::run_kubelet() {
    tasks_->spawn("kubelet", kubelet());
}

base::Awaitable<void> Cluster::kubelet() {
    while (!tasks_->stopping()) {
        for (const auto& pod : fake_->all<Pod>()) {
            if (api::is_deleting(*pod))
                fake_->erase(api::resource_of<Pod>(), api::key_of(*pod));
            else if (pod->status().phase() == "Pending")
                set_ready(*pod);
        }
        (void)co_await base::sleep_for(base::Millis(3));
    }
}

std::vector<api::Ptr<Pod>> Cluster::pods(const std::string& app) const {
    std::vector<api::Ptr<Pod>> out;
    for (const auto& pod : fake_->all<Pod>())
        if (!api::is_deleting(*pod) && (app.empty() || api::label(*pod, "app") == app))
            out.push_back(pod);
    return out;
}

void Cluster::set_ready(const Pod& pod, bool ready) {
    auto next = api::copy(pod);
    auto* status = next->mutable_status();
    status->set_phase("Running");
    if (status->podip().empty()) status->set_podip("10.0.0." + pod.metadata().uid().substr(4));
    status->clear_conditions();
    auto* condition = status->add_conditions();
    condition->set_type("Ready");
    condition->set_status(ready ? "True" : "False");
    *condition->mutable_lasttransitiontime() = api::to_time(api::wall_now());
    fake_->put(next);
}

api::core::PodTemplateSpec Cluster::pod_template(const std::string& app, const std::string& image) {
    api::core::PodTemplateSpec out;
    (*out.mutable_metadata()->mutable_labels())["app"] = app;
    auto* container = out.mutable_spec()->add_containers();
    container->set_name("main");
    container->set_image(image);
    return out;
}

std::shared_ptr<api::apps::Deployment> Cluster::deployment(const std::string& name,
                                                           int replicas) const {
    auto out = std::make_shared<api::apps::Deployment>();
    out->mutable_metadata()->set_namespace_("default");
    out->mutable_metadata()->set_name(name);
    auto* spec = out->mutable_spec();
    spec->set_replicas(replicas);
    (*spec->mutable_selector()->mutable_matchlabels())["app"] = name;
    *spec->mutable_template_() = pod_template(name);
    spec->mutable_strategy()->set_type("RollingUpdate");
    spec->set_progressdeadlineseconds(600);
    spec->set_revisionhistorylimit(10);
    return out;
}

std::shared_ptr<api::apps::ReplicaSet> Cluster::replica_set(const std::string& name,
                                                            int replicas) const {
    auto out = std::make_shared<api::apps::ReplicaSet>();
    out->mutable_metadata()->set_namespace_("default");
    out->mutable_metadata()->set_name(name);
    out->mutable_spec()->set_replicas(replicas);
    (*out->mutable_spec()->mutable_selector()->mutable_matchlabels())["app"] = name;
    *out->mutable_spec()->mutable_template_() = pod_template(name);
    return out;
}

std::shared_ptr<api::core::Node> Cluster::node(const std::string& name, bool ready) const {
    auto out = std::make_shared<api::core::Node>();
    out->mutable_metadata()->set_name(name);
    auto* condition = out->mutable_status()->add_conditions();
    condition->set_type("Ready");
    condition->set_status(ready ? "True" : "False");
    return out;
}

}  // namespace test
