// The pure half of the endpoints' controllers: from a Service and pods to what is written.

#include <algorithm>
#include <map>

#include "api/util.h"
#include "controllers/endpoints.h"
#include "controllers/pod_util.h"

namespace controllers {
namespace {

using api::core::Pod;
using api::core::Service;
using api::core::ServicePort;
using api::discovery::EndpointSlice;

// The number of a Service's target port on this pod; 0 when the pod has no port of that name.
int target_port(const ServicePort& port, const Pod& pod) {
    const auto& target = port.targetport();
    if (!port.has_targetport()) return port.port();
    if (target.type() == 0) return target.intval() != 0 ? target.intval() : port.port();
    const std::string protocol = port.protocol().empty() ? "TCP" : port.protocol();
    for (const auto& container : pod.spec().containers())
        for (const auto& candidate : container.ports())
            if (candidate.name() == target.strval() &&
                (candidate.protocol().empty() ? "TCP" : candidate.protocol()) == protocol)
                return candidate.containerport();
    return 0;
}

bool belongs(const Pod& pod) {
    return !pod.status().podip().empty() && !is_finished(pod);
}

void fill_target(const Pod& pod, api::core::ObjectReference* target) {
    target->set_kind("Pod");
    target->set_namespace_(pod.metadata().namespace_());
    target->set_name(pod.metadata().name());
    target->set_uid(pod.metadata().uid());
}

// The ports of one pod, in the order of the Service; what sets of pods have in common.
template <class Port>
std::vector<Port> ports_of(const Service& service, const Pod& pod) {
    std::vector<Port> out;
    for (const auto& port : service.spec().ports()) {
        const int number = target_port(port, pod);
        if (number == 0) continue;
        Port made;
        made.set_name(port.name());
        made.set_port(number);
        made.set_protocol(port.protocol().empty() ? "TCP" : port.protocol());
        if (port.has_appprotocol()) made.set_appprotocol(port.appprotocol());
        out.push_back(std::move(made));
    }
    return out;
}

template <class Port>
std::string signature(const std::vector<Port>& ports) {
    std::string out;
    for (const auto& port : ports)
        out += api::stable_bytes(port) + '\n';
    return out;
}

bool sets_hostname(const Service& service, const Pod& pod) {
    return !pod.spec().hostname().empty() && pod.spec().subdomain() == service.metadata().name();
}

}  // namespace

google::protobuf::RepeatedPtrField<api::core::EndpointSubset> subsets_of(const Service& service,
                                                                         const PodList& pods) {
    std::map<std::string, api::core::EndpointSubset> by_ports;
    int count = 0;
    for (const auto& pod : pods) {
        const bool all = service.spec().publishnotreadyaddresses();
        if (!belongs(*pod) || (api::is_deleting(*pod) && !all)) continue;
        const auto ports = ports_of<api::core::EndpointPort>(service, *pod);
        if (ports.empty() && !service.spec().ports().empty()) continue;
        if (++count > kMaxAddresses) break;
        auto& subset = by_ports[signature(ports)];
        if (subset.ports().empty())
            for (const auto& port : ports)
                *subset.add_ports() = port;
        auto* address =
            is_ready(*pod) || all ? subset.add_addresses() : subset.add_notreadyaddresses();
        address->set_ip(pod->status().podip());
        address->set_nodename(pod->spec().nodename());
        if (sets_hostname(service, *pod)) address->set_hostname(pod->spec().hostname());
        fill_target(*pod, address->mutable_targetref());
    }
    google::protobuf::RepeatedPtrField<api::core::EndpointSubset> out;
    for (auto& [ports, subset] : by_ports)
        *out.Add() = std::move(subset);
    return out;
}

std::vector<EndpointSlice> slices_of(const Service& service, const PodList& pods) {
    std::map<std::string, std::vector<EndpointSlice>> by_ports;
    for (const auto& pod : pods) {
        if (!belongs(*pod)) continue;
        const auto ports = ports_of<api::discovery::EndpointPort>(service, *pod);
        if (ports.empty() && !service.spec().ports().empty()) continue;
        auto& slices = by_ports[signature(ports)];
        if (slices.empty() || slices.back().endpoints_size() >= kMaxEndpointsPerSlice) {
            auto& fresh = slices.emplace_back();
            fresh.set_addresstype("IPv4");
            for (const auto& port : ports)
                *fresh.add_ports() = port;
        }
        auto* endpoint = slices.back().add_endpoints();
        endpoint->add_addresses(pod->status().podip());
        auto* conditions = endpoint->mutable_conditions();
        const bool serving = is_ready(*pod);
        const bool terminating = api::is_deleting(*pod);
        conditions->set_serving(serving);
        conditions->set_terminating(terminating);
        conditions->set_ready(service.spec().publishnotreadyaddresses() ||
                              (serving && !terminating));
        endpoint->set_nodename(pod->spec().nodename());
        if (sets_hostname(service, *pod)) endpoint->set_hostname(pod->spec().hostname());
        fill_target(*pod, endpoint->mutable_targetref());
    }
    std::vector<EndpointSlice> out;
    for (auto& [ports, slices] : by_ports)
        for (auto& slice : slices)
            out.push_back(std::move(slice));
    return out;
}

}  // namespace controllers
