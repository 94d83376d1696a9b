// Defaults of core/v1 that depend on more than one field.

#include <algorithm>
#include <unordered_map>

#include "api/defaults_internal.h"
#include "api/proto/core_v1_config.pb.h"
#include "api/proto/core_v1_node.pb.h"
#include "api/proto/core_v1_pod.pb.h"
#include "api/proto/core_v1_replicationcontroller.pb.h"
#include "api/proto/core_v1_service.pb.h"
#include "api/quantity.h"
#include "api/v1.h"

namespace api::defaults {
namespace {

using google::protobuf::Message;
using Resources = google::protobuf::Map<std::string, resource::Quantity>;

template <class T>
T* as(Message* m) {
    return static_cast<T*>(m);
}

void copy_missing(const Resources& from, Resources* to) {
    for (const auto& [name, amount] : from)
        to->insert({name, amount});
}

// Whether an image is named without a tag and a digest, or by "latest".
bool is_latest(std::string_view image) {
    if (image.find('@') != std::string_view::npos) return false;
    const auto slash = image.rfind('/');
    const auto colon = image.rfind(':');
    const bool tagged =
        colon != std::string_view::npos && (slash == std::string_view::npos || colon > slash);
    return !tagged || image.substr(colon + 1) == "latest";
}

const char* pull_policy(const std::string& image) {
    return is_latest(image) ? "Always" : "IfNotPresent";
}

template <class C>
void container(Message* m) {
    auto* c = as<C>(m);
    if (c->imagepullpolicy().empty()) c->set_imagepullpolicy(pull_policy(c->image()));
}

void volume(Message* m) {
    auto* v = as<core::Volume>(m);
    auto* source = v->mutable_volumesource();
    if (source->ByteSizeLong() == 0) source->mutable_emptydir();
    if (source->has_image() && source->image().pullpolicy().empty())
        source->mutable_image()->set_pullpolicy(pull_policy(source->image().reference()));
}

bool is_pod_level(const std::string& name) {
    return name == "cpu" || name == "memory" || name.starts_with("hugepages-");
}

// What the containers of a pod ask for together: those that run side by side are added up; an init
// container that ends counts only where it asks for more than they do.
Resources effective_requests(const core::PodSpec& spec) {
    std::unordered_map<std::string, Quantity> sum;
    std::unordered_map<std::string, Quantity> init;
    std::unordered_map<std::string, Quantity> sidecars;
    for (const auto& c : spec.containers())
        for (const auto& [name, amount] : c.resources().requests())
            sum[name] += Quantity::from(amount);
    for (const auto& c : spec.initcontainers()) {
        const bool stays = c.restartpolicy() == "Always";
        for (const auto& [name, amount] : c.resources().requests()) {
            const Quantity asked = Quantity::from(amount);
            if (stays) sidecars[name] += asked;
            const Quantity with = stays ? sidecars[name] : sidecars[name] + asked;
            init[name] = std::max(init[name], with);
            if (stays) sum[name] += asked;
        }
    }
    Resources out;
    for (const auto& [name, amount] : sum)
        out[name] = std::max(amount, init[name]).to_message();
    for (const auto& [name, amount] : init)
        if (!out.contains(name) && !amount.is_zero()) out[name] = amount.to_message();
    return out;
}

void pod_level_resources(core::PodSpec* spec) {
    if (!spec->has_resources()) return;
    auto* resources = spec->mutable_resources();
    auto* limits = resources->mutable_limits();
    auto* requests = resources->mutable_requests();
    if (limits->empty() && requests->empty()) return;
    // Huge pages cannot be overcommitted: their limit is what the containers say.
    std::unordered_map<std::string, Quantity> huge;
    for (const auto& c : spec->containers())
        for (const auto& [name, amount] : c.resources().limits())
            if (name.starts_with("hugepages-")) huge[name] += Quantity::from(amount);
    for (const auto& [name, amount] : huge)
        if (!limits->contains(name) && !requests->contains(name))
            (*limits)[name] = amount.to_message();
    if (limits->empty()) return;
    for (const auto& [name, amount] : effective_requests(*spec))
        if (is_pod_level(name) && !name.starts_with("hugepages-")) requests->insert({name, amount});
    for (const auto& [name, amount] : *limits)
        if (is_pod_level(name)) requests->insert({name, amount});
}

template <class Containers>
void limits_are_requests(Containers* containers) {
    for (auto& c : *containers)
        if (!c.resources().limits().empty())
            copy_missing(c.resources().limits(), c.mutable_resources()->mutable_requests());
}

template <class Containers>
void host_ports(Containers* containers) {
    for (auto& c : *containers)
        for (auto& port : *c.mutable_ports())
            if (port.hostport() == 0) port.set_hostport(port.containerport());
}

void pod(Message* m) {
    auto* spec = as<core::Pod>(m)->mutable_spec();
    limits_are_requests(spec->mutable_containers());
    limits_are_requests(spec->mutable_initcontainers());
    pod_level_resources(spec);
    if (!spec->has_enableservicelinks()) spec->set_enableservicelinks(true);
    if (spec->hostnetwork()) {
        host_ports(spec->mutable_containers());
        host_ports(spec->mutable_initcontainers());
    }
}

void replication_controller(Message* m) {
    auto* rc = as<core::ReplicationController>(m);
    if (!rc->spec().has_template_()) return;
    const auto& labels = rc->spec().template_().metadata().labels();
    if (labels.empty()) return;
    if (rc->spec().selector().empty()) *rc->mutable_spec()->mutable_selector() = labels;
    if (rc->metadata().labels().empty()) *rc->mutable_metadata()->mutable_labels() = labels;
}

bool is_empty(const IntOrString& v) {
    return v.type() == 0 ? v.intval() == 0 : v.strval().empty();
}

void service(Message* m) {
    auto* object = as<core::Service>(m);
    auto* spec = object->mutable_spec();
    if (spec->sessionaffinity().empty()) spec->set_sessionaffinity("None");
    if (spec->type().empty()) spec->set_type("ClusterIP");
    if (spec->sessionaffinity() == "None") spec->clear_sessionaffinityconfig();
    if (spec->sessionaffinity() == "ClientIP") {
        auto* client = spec->mutable_sessionaffinityconfig()->mutable_clientip();
        if (!client->has_timeoutseconds()) client->set_timeoutseconds(10800);
    }
    for (auto& port : *spec->mutable_ports())
        if (is_empty(port.targetport())) *port.mutable_targetport() = int_or_string(port.port());
    const bool balanced = spec->type() == "LoadBalancer";
    const bool outside = balanced || spec->type() == "NodePort";
    const bool inside = spec->type() == "ClusterIP";
    if ((outside || (inside && spec->externalips_size() > 0)) &&
        spec->externaltrafficpolicy().empty())
        spec->set_externaltrafficpolicy("Cluster");
    if ((outside || inside) && !spec->has_internaltrafficpolicy())
        spec->set_internaltrafficpolicy("Cluster");
    if (!balanced) return;
    if (!spec->has_allocateloadbalancernodeports()) spec->set_allocateloadbalancernodeports(true);
    if (object->status().loadbalancer().ingress().empty()) return;
    for (auto& i : *object->mutable_status()->mutable_loadbalancer()->mutable_ingress())
        if (!i.ip().empty() && !i.has_ipmode()) i.set_ipmode("VIP");
}

void namespace_object(Message* m) {
    auto* meta = as<core::Namespace>(m)->mutable_metadata();
    if (!meta->name().empty())
        (*meta->mutable_labels())["kubernetes.io/metadata.name"] = meta->name();
}

void node_status(Message* m) {
    auto* status = as<core::NodeStatus>(m);
    if (status->allocatable().empty() && !status->capacity().empty())
        *status->mutable_allocatable() = status->capacity();
}

void limit_range_item(Message* m) {
    auto* item = as<core::LimitRangeItem>(m);
    if (item->type() != "Container") return;
    copy_missing(item->max(), item->mutable_default_());
    copy_missing(item->default_(), item->mutable_defaultrequest());
    copy_missing(item->min(), item->mutable_defaultrequest());
}

}  // namespace

Hook core_hook(std::string_view type) {
    static const std::unordered_map<std::string_view, Hook> kHooks = {
        {"core.v1.Container", container<core::Container>},
        {"core.v1.EphemeralContainerCommon", container<core::EphemeralContainerCommon>},
        {"core.v1.Volume", volume},
        {"core.v1.Pod", pod},
        {"core.v1.ReplicationController", replication_controller},
        {"core.v1.Service", service},
        {"core.v1.Namespace", namespace_object},
        {"core.v1.NodeStatus", node_status},
        {"core.v1.LimitRangeItem", limit_range_item},
    };
    const auto it = kHooks.find(type);
    return it == kHooks.end() ? nullptr : it->second;
}

}  // namespace api::defaults
