#include <algorithm>

#include "api/selector.h"
#include "scheduler/core/framework.h"

namespace scheduler {

namespace core = api::core;

namespace {

using Op = api::LabelRequirement::Op;

bool holds(const core::NodeSelectorRequirement& r, const std::string* value) {
    api::LabelRequirement requirement;
    requirement.key = r.key();
    requirement.values.assign(r.values().begin(), r.values().end());
    const auto& op = r.operator_();
    if (op == "In")
        requirement.op = Op::kIn;
    else if (op == "NotIn")
        requirement.op = Op::kNotIn;
    else if (op == "Exists")
        requirement.op = Op::kExists;
    else if (op == "DoesNotExist")
        requirement.op = Op::kDoesNotExist;
    else if (op == "Gt")
        requirement.op = Op::kGreater;
    else if (op == "Lt")
        requirement.op = Op::kLess;
    else
        return false;
    return requirement.matches(value);
}

// All of a term's requirements; an empty term matches nothing.
bool matches(const core::NodeSelectorTerm& term, const core::Node& node) {
    if (term.matchexpressions().empty() && term.matchfields().empty()) return false;
    const auto& labels = node.metadata().labels();
    const bool expressions = std::all_of(term.matchexpressions().begin(), term.matchexpressions().end(), [&](const auto& r) {
        const auto it = labels.find(r.key());
        return holds(r, it == labels.end() ? nullptr : &it->second);
    });
    return expressions && std::all_of(term.matchfields().begin(), term.matchfields().end(),
                                      [&](const auto& r) { return r.key() == "metadata.name" && holds(r, &node.metadata().name()); });
}

class NodeAffinity final : public Filter {
  public:
    std::vector<std::string> reject(const PodInfo& pod, const NodeInfo& node) const override {
        const auto& spec = pod.pod->spec();
        const auto& labels = node.node->metadata().labels();
        bool ok = std::all_of(spec.nodeselector().begin(), spec.nodeselector().end(), [&](const auto& wanted) {
            const auto it = labels.find(wanted.first);
            return it != labels.end() && it->second == wanted.second;
        });
        const auto& affinity = spec.affinity().nodeaffinity();
        if (ok && affinity.has_requiredduringschedulingignoredduringexecution()) {
            const auto& terms = affinity.requiredduringschedulingignoredduringexecution().nodeselectorterms();
            ok = std::any_of(terms.begin(), terms.end(), [&](const auto& term) { return matches(term, *node.node); });
        }
        if (ok) return {};
        return {"node(s) didn't match Pod's node affinity/selector"};
    }
};

class NodeAffinityScore final : public Score {
  public:
    std::int64_t score(const PodInfo& pod, const NodeInfo& node) const override {
        std::int64_t got = 0;
        std::int64_t all = 0;
        for (const auto& p : pod.pod->spec().affinity().nodeaffinity().preferredduringschedulingignoredduringexecution()) {
            all += p.weight();
            if (matches(p.preference(), *node.node)) got += p.weight();
        }
        return all == 0 ? 0 : got * 100 / all;
    }
};

}  // namespace

std::unique_ptr<Filter> make_node_affinity() { return std::make_unique<NodeAffinity>(); }
std::unique_ptr<Score> make_node_affinity_score() { return std::make_unique<NodeAffinityScore>(); }

}  // namespace scheduler
