#include "scheduler/core/framework.h"

#include <fmt/format.h>

#include <algorithm>

#include "api/quantity.h"

namespace scheduler {

namespace core = api::core;

namespace {

std::int64_t amount(std::string_view name, const api::resource::Quantity& q) {
    const auto quantity = api::Quantity::from(q);
    return name == "cpu" ? quantity.milli_value() : quantity.value();
}

template <class Map>
void add_all(Resources* to, const Map& from, std::int64_t sign = 1) {
    for (const auto& [name, quantity] : from) (*to)[name] += sign * amount(name, quantity);
}

}  // namespace

Resources requests_of(const core::Pod& pod) {
    Resources out;
    for (const auto& c : pod.spec().containers()) add_all(&out, c.resources().requests());
    Resources restartable;
    for (const auto& c : pod.spec().initcontainers()) {
        // A sidecar goes on beside the others; an initial container is alone with the sidecars before it.
        if (c.restartpolicy() == "Always") {
            add_all(&restartable, c.resources().requests());
            add_all(&out, c.resources().requests());
            continue;
        }
        Resources alone = restartable;
        add_all(&alone, c.resources().requests());
        for (const auto& [name, n] : alone) out[name] = std::max(out[name], n);
    }
    add_all(&out, pod.spec().overhead());
    return out;
}

std::set<std::string> host_ports_of(const core::Pod& pod) {
    std::set<std::string> out;
    for (const auto& c : pod.spec().containers())
        for (const auto& p : c.ports())
            if (p.hostport() != 0) out.insert(fmt::format("{}/{}", p.protocol(), p.hostport()));
    return out;
}

PodInfo::PodInfo(api::Ptr<core::Pod> p) : pod(std::move(p)), requests(requests_of(*pod)), ports(host_ports_of(*pod)) {}

void NodeInfo::set_node(api::Ptr<core::Node> n) {
    node = std::move(n);
    allocatable.clear();
    if (node) add_all(&allocatable, node->status().allocatable());
}

void NodeInfo::add(const PodInfo& pod) {
    ++pods;
    for (const auto& [name, n] : pod.requests) requested[name] += n;
    for (const auto& p : pod.ports) ++ports[p];
}

void NodeInfo::remove(const PodInfo& pod) {
    --pods;
    for (const auto& [name, n] : pod.requests) requested[name] -= n;
    for (const auto& p : pod.ports)
        if (--ports[p] <= 0) ports.erase(p);
}

Framework Framework::make_default() {
    Framework out;
    out.filters.push_back(make_node_unschedulable());
    out.filters.push_back(make_node_name());
    out.filters.push_back(make_taint_toleration());
    out.filters.push_back(make_node_affinity());
    out.filters.push_back(make_node_ports());
    out.filters.push_back(make_node_resources_fit());
    out.scores.emplace_back(make_taint_score(), 3);
    out.scores.emplace_back(make_node_affinity_score(), 2);
    out.scores.emplace_back(make_least_allocated(), 1);
    out.scores.emplace_back(make_balanced_allocation(), 1);
    return out;
}

Framework::Decision Framework::decide(const PodInfo& pod, const std::map<std::string, NodeInfo>& nodes, std::uint64_t tie) const {
    std::map<std::string, int> reasons;
    std::vector<std::string> best;
    std::int64_t best_score = -1;
    std::size_t known = 0;
    for (const auto& [name, node] : nodes) {
        if (!node.node) continue;
        ++known;
        bool fits = true;
        for (const auto& filter : filters) {
            const auto why = filter->reject(pod, node);
            if (why.empty()) continue;
            for (const auto& reason : why) ++reasons[reason];
            fits = false;
            // One node counts with the first plug-in that has something against it.
            break;
        }
        if (!fits) continue;
        std::int64_t total = 0;
        for (const auto& [score, weight] : scores) total += weight * score->score(pod, node);
        if (total > best_score) best.clear();
        if (total >= best_score) {
            best_score = total;
            best.push_back(name);
        }
    }
    if (!best.empty()) return {best[tie % best.size()], ""};
    if (known == 0) return {"", "no nodes available to schedule pods"};
    std::vector<std::string> texts;
    for (const auto& [reason, n] : reasons) texts.push_back(fmt::format("{} {}", n, reason));
    std::sort(texts.begin(), texts.end());
    return {"", fmt::format("0/{} nodes are available: {}.", known, fmt::join(texts, ", "))};
}

}  // namespace scheduler
