#include "tools/hollow_objects.h"

#include <fmt/format.h>

#include <algorithm>

namespace tools {
namespace {

using api::core::Node;
using api::core::Pod;

api::resource::Quantity quantity(const char* text) {
    api::resource::Quantity out;
    out.set_string(text);
    return out;
}

template <class Conditions>
auto* condition(Conditions* all, const char* type) {
    const auto it =
        std::find_if(all->begin(), all->end(), [&](const auto& c) { return c.type() == type; });
    auto* out = it == all->end() ? all->Add() : &*it;
    out->set_type(type);
    return out;
}

void set_node_condition(Node* node, const char* type, const char* status, const char* reason,
                        const char* message, WallTime now) {
    auto* c = condition(node->mutable_status()->mutable_conditions(), type);
    if (c->status() != status) *c->mutable_lasttransitiontime() = api::to_time(now);
    *c->mutable_lastheartbeattime() = api::to_time(now);
    c->set_status(status);
    c->set_reason(reason);
    c->set_message(message);
}

void set_pod_condition(Pod* pod, const char* type, WallTime now) {
    auto* c = condition(pod->mutable_status()->mutable_conditions(), type);
    if (c->status() == "True") return;
    c->set_status("True");
    c->clear_reason();
    c->clear_message();
    *c->mutable_lasttransitiontime() = api::to_time(now);
}

}  // namespace

std::string hollow_node_ip(int index) {
    const int n = index + 1;
    return fmt::format("172.{}.{}.{}", 16 + (n >> 16), (n >> 8) & 255, n & 255);
}

std::string hollow_pod_ip(std::uint32_t n) {
    return fmt::format("10.{}.{}.{}", (n >> 16) & 255, (n >> 8) & 255, n & 255);
}

Node hollow_node(const std::string& name) {
    Node node;
    auto* m = node.mutable_metadata();
    m->set_name(name);
    auto& labels = *m->mutable_labels();
    labels["kubernetes.io/hostname"] = name;
    labels["kubernetes.io/os"] = "linux";
    labels["kubernetes.io/arch"] = "amd64";
    labels["beta.kubernetes.io/os"] = "linux";
    labels["beta.kubernetes.io/arch"] = "amd64";
    labels["type"] = "hollow";
    node.mutable_spec()->set_providerid(fmt::format("hollow://{}", name));
    return node;
}

void set_node_status(Node* node, int index, WallTime now) {
    auto* status = node->mutable_status();
    for (auto* amounts : {status->mutable_capacity(), status->mutable_allocatable()}) {
        (*amounts)["cpu"] = quantity("32");
        (*amounts)["memory"] = quantity("256Gi");
        (*amounts)["ephemeral-storage"] = quantity("1Ti");
        (*amounts)["pods"] = quantity("110");
    }
    set_node_condition(node, "MemoryPressure", "False", "KubeletHasSufficientMemory",
                       "kubelet has sufficient memory available", now);
    set_node_condition(node, "DiskPressure", "False", "KubeletHasNoDiskPressure",
                       "kubelet has no disk pressure", now);
    set_node_condition(node, "PIDPressure", "False", "KubeletHasSufficientPID",
                       "kubelet has sufficient PID available", now);
    set_node_condition(node, "Ready", "True", "KubeletReady", "kubelet is posting ready status",
                       now);
    status->clear_addresses();
    auto* ip = status->add_addresses();
    ip->set_type("InternalIP");
    ip->set_address(hollow_node_ip(index));
    auto* host = status->add_addresses();
    host->set_type("Hostname");
    host->set_address(node->metadata().name());
    status->mutable_daemonendpoints()->mutable_kubeletendpoint()->set_port(10250);
    auto* info = status->mutable_nodeinfo();
    info->set_machineid(node->metadata().name());
    info->set_systemuuid(node->metadata().name());
    info->set_bootid(node->metadata().name());
    info->set_kernelversion("6.1.0-hollow");
    info->set_osimage("Coxswain hollow node");
    info->set_containerruntimeversion("hollow://1.0.0");
    info->set_kubeletversion("v1.35.0");
    info->set_kubeproxyversion("v1.35.0");
    info->set_operatingsystem("linux");
    info->set_architecture("amd64");
}

void renew_lease(api::coordination::Lease* lease, const Node& node, WallTime now) {
    auto* m = lease->mutable_metadata();
    const auto& name = node.metadata().name();
    if (m->name().empty()) {
        m->set_namespace_("kube-node-lease");
        m->set_name(name);
        auto* owner = m->add_ownerreferences();
        owner->set_apiversion("v1");
        owner->set_kind("Node");
        owner->set_name(name);
        owner->set_uid(node.metadata().uid());
    }
    lease->mutable_spec()->set_holderidentity(name);
    lease->mutable_spec()->set_leasedurationseconds(40);
    *lease->mutable_spec()->mutable_renewtime() = api::to_micro_time(now);
}

void set_running(Pod* pod, const std::string& pod_ip, const std::string& host_ip, WallTime now) {
    auto* status = pod->mutable_status();
    status->set_phase("Running");
    for (const char* type :
         {"PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"})
        set_pod_condition(pod, type, now);
    status->set_hostip(host_ip);
    status->clear_hostips();
    status->add_hostips()->set_ip(host_ip);
    if (status->podip().empty()) status->set_podip(pod_ip);
    status->clear_podips();
    status->add_podips()->set_ip(status->podip());
    if (!status->has_starttime()) *status->mutable_starttime() = api::to_time(now);
    const auto fill = [&](const auto& containers, auto* statuses, bool done) {
        if (statuses->size() == containers.size()) return;
        statuses->Clear();
        for (const auto& container : containers) {
            auto* s = statuses->Add();
            const std::string id =
                fmt::format("hollow://{}/{}", pod->metadata().uid(), container.name());
            s->set_name(container.name());
            s->set_image(container.image());
            s->set_imageid("hollow://" + container.image());
            s->set_containerid(id);
            s->set_restartcount(0);
            s->set_ready(true);
            s->set_started(!done);
            if (done) {
                auto* ended = s->mutable_state()->mutable_terminated();
                ended->set_exitcode(0);
                ended->set_reason("Completed");
                ended->set_containerid(id);
                *ended->mutable_startedat() = api::to_time(now);
                *ended->mutable_finishedat() = api::to_time(now);
            } else {
                *s->mutable_state()->mutable_running()->mutable_startedat() = api::to_time(now);
            }
        }
    };
    fill(pod->spec().initcontainers(), status->mutable_initcontainerstatuses(), true);
    fill(pod->spec().containers(), status->mutable_containerstatuses(), false);
}

}  // namespace tools
