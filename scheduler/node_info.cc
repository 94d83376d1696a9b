#include "scheduler/node_info.h"

#include <algorithm>

#include "api/quantity.h"

namespace scheduler {
namespace {

using api::core::Pod;
using Amounts = google::protobuf::Map<std::string, api::resource::Quantity>;

constexpr std::int64_t kDefaultMilliCpu = 100;
constexpr std::int64_t kDefaultMemory = 200LL * 1024 * 1024;

void put(const std::string& name, const api::Quantity& amount, Resources* out) {
    if (name == "cpu")
        out->milli_cpu += amount.milli_value();
    else if (name == "memory")
        out->memory += amount.value();
    else if (name == "ephemeral-storage")
        out->ephemeral_storage += amount.value();
    else if (name != "pods")
        out->others[name] += amount.value();
}

Resources read(const Amounts& amounts) {
    Resources out;
    for (const auto& [name, quantity] : amounts)
        put(name, api::Quantity::from(quantity), &out);
    return out;
}

Resources requests_of_container(const api::core::Container& container, bool scored) {
    const auto& asked = container.resources().requests();
    Resources out = read(asked);
    // What is only limited is asked for, too; the server defaults it so, but not in old objects.
    for (const auto& [name, limit] : container.resources().limits())
        if (!asked.contains(name)) put(name, api::Quantity::from(limit), &out);
    if (scored && out.milli_cpu == 0) out.milli_cpu = kDefaultMilliCpu;
    if (scored && out.memory == 0) out.memory = kDefaultMemory;
    return out;
}

void raise_to(Resources* a, const Resources& b) {
    a->milli_cpu = std::max(a->milli_cpu, b.milli_cpu);
    a->memory = std::max(a->memory, b.memory);
    a->ephemeral_storage = std::max(a->ephemeral_storage, b.ephemeral_storage);
    for (const auto& [name, amount] : b.others)
        a->others[name] = std::max(a->others[name], amount);
}

Resources total(const Pod& pod, bool scored) {
    Resources sum;
    for (const auto& container : pod.spec().containers())
        sum.add(requests_of_container(container, scored));
    Resources sidecars;
    Resources peak;
    for (const auto& container : pod.spec().initcontainers()) {
        Resources one = requests_of_container(container, scored);
        if (container.restartpolicy() == "Always") {
            sidecars.add(one);
            sum.add(one);
            raise_to(&peak, sidecars);
        } else {
            one.add(sidecars);
            raise_to(&peak, one);
        }
    }
    raise_to(&sum, peak);
    sum.add(read(pod.spec().overhead()));
    return sum;
}

}  // namespace

void Resources::add(const Resources& other, int sign) {
    milli_cpu += sign * other.milli_cpu;
    memory += sign * other.memory;
    ephemeral_storage += sign * other.ephemeral_storage;
    for (const auto& [name, amount] : other.others)
        others[name] += sign * amount;
}

Resources requests_of(const Pod& pod) {
    return total(pod, false);
}
Resources scored_requests_of(const Pod& pod) {
    return total(pod, true);
}

std::vector<HostPort> host_ports_of(const Pod& pod) {
    std::vector<HostPort> out;
    for (const auto& container : pod.spec().containers())
        for (const auto& port : container.ports())
            if (port.hostport() > 0)
                out.push_back({port.hostip().empty() ? "0.0.0.0" : port.hostip(),
                               port.protocol().empty() ? "TCP" : port.protocol(), port.hostport()});
    return out;
}

void NodeInfo::set_node(NodePtr node) {
    node_ = std::move(node);
    allocatable_ = Resources();
    max_pods_ = 0;
    if (node_ == nullptr) return;
    const auto& status = node_->status();
    const auto& amounts = status.allocatable().empty() ? status.capacity() : status.allocatable();
    allocatable_ = read(amounts);
    const auto pods = amounts.find("pods");
    if (pods != amounts.end())
        max_pods_ = static_cast<int>(api::Quantity::from(pods->second).value());
}

void NodeInfo::add(const Pod& pod) {
    requested_.add(requests_of(pod));
    scored_.add(scored_requests_of(pod));
    for (auto& port : host_ports_of(pod))
        ports_.insert(std::move(port));
    ++pods_;
}

void NodeInfo::remove(const Pod& pod) {
    requested_.add(requests_of(pod), -1);
    scored_.add(scored_requests_of(pod), -1);
    for (const auto& port : host_ports_of(pod)) {
        const auto it = ports_.find(port);
        if (it != ports_.end()) ports_.erase(it);
    }
    --pods_;
}

bool NodeInfo::port_taken(const HostPort& port) const {
    return std::any_of(ports_.begin(), ports_.end(), [&](const HostPort& taken) {
        return taken.port == port.port && taken.protocol == port.protocol &&
               (taken.ip == port.ip || taken.ip == "0.0.0.0" || port.ip == "0.0.0.0");
    });
}

void Cache::set_node(NodePtr node) {
    auto& info = nodes_[node->metadata().name()];
    info.set_node(std::move(node));
}

// Pods may still stand on it: the entry goes with the last of them.
void Cache::remove_node(const std::string& name) {
    const auto it = nodes_.find(name);
    if (it == nodes_.end()) return;
    it->second.set_node(nullptr);
    if (it->second.pods() == 0) nodes_.erase(it);
}

void Cache::place(const PodPtr& pod, const std::string& node) {
    const std::string key = api::key_of(*pod);
    remove_pod(key);
    nodes_[node].add(*pod);
    pods_[key] = {pod, node};
}

void Cache::set_pod(const PodPtr& pod) {
    const std::string key = api::key_of(*pod);
    const auto& phase = pod->status().phase();
    const bool finished = phase == "Succeeded" || phase == "Failed";
    if (pod->spec().nodename().empty() && !finished && is_assumed(key)) return;
    if (pod->spec().nodename().empty() || finished) return remove_pod(key);
    place(pod, pod->spec().nodename());
}

void Cache::remove_pod(const std::string& key) {
    assumed_.erase(key);
    const auto it = pods_.find(key);
    if (it == pods_.end()) return;
    const auto node = nodes_.find(it->second.node);
    node->second.remove(*it->second.pod);
    if (!node->second.has_node() && node->second.pods() == 0) nodes_.erase(node);
    pods_.erase(it);
}

void Cache::assume(const PodPtr& pod, const std::string& node) {
    place(pod, node);
    assumed_.insert(api::key_of(*pod));
}

void Cache::forget(const std::string& key) {
    if (is_assumed(key)) remove_pod(key);
}

std::vector<const NodeInfo*> Cache::snapshot() const {
    std::vector<const NodeInfo*> out;
    out.reserve(nodes_.size());
    for (const auto& [name, info] : nodes_)
        if (info.has_node()) out.push_back(&info);
    return out;
}

}  // namespace scheduler
