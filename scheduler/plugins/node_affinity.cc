// NodeAffinity: spec.nodeSelector and the pod's node affinity, required and preferred.

#include <algorithm>
#include <charconv>

#include "scheduler/plugins/plugins.h"

namespace scheduler {
namespace {

using api::core::NodeSelectorRequirement;
using api::core::NodeSelectorTerm;
using Requirements = google::protobuf::RepeatedPtrField<NodeSelectorRequirement>;

bool as_number(const std::string& text, std::int64_t* out) {
    const auto end = text.data() + text.size();
    return !text.empty() && std::from_chars(text.data(), end, *out).ptr == end;
}

// `value` is null when the node has no such label.
bool matches(const NodeSelectorRequirement& requirement, const std::string* value) {
    const auto& values = requirement.values();
    const auto& op = requirement.operator_();
    const bool in =
        value != nullptr && std::find(values.begin(), values.end(), *value) != values.end();
    if (op == "In") return in;
    if (op == "NotIn") return !in;
    if (op == "Exists") return value != nullptr;
    if (op == "DoesNotExist") return value == nullptr;
    std::int64_t have = 0;
    std::int64_t bound = 0;
    if ((op != "Gt" && op != "Lt") || value == nullptr || values.size() != 1 ||
        !as_number(*value, &have) || !as_number(values[0], &bound))
        return false;
    return op == "Gt" ? have > bound : have < bound;
}

bool matches(const NodeSelectorTerm& term, const api::core::Node& node) {
    // A term that says nothing matches nothing.
    if (term.matchexpressions().empty() && term.matchfields().empty()) return false;
    const auto& labels = node.metadata().labels();
    for (const auto& requirement : term.matchexpressions()) {
        const auto it = labels.find(requirement.key());
        if (!matches(requirement, it == labels.end() ? nullptr : &it->second)) return false;
    }
    for (const auto& requirement : term.matchfields()) {
        const bool known = requirement.key() == "metadata.name";
        if (!matches(requirement, known ? &node.metadata().name() : nullptr)) return false;
    }
    return true;
}

class NodeAffinity final : public FilterPlugin, public ScorePlugin {
  public:
    std::string_view name() const override { return "NodeAffinity"; }
    int weight() const override { return 2; }

    Reasons filter(const api::core::Pod& pod, const CycleState&,
                   const NodeInfo& node) const override {
        const Reasons no = {"node(s) didn't match Pod's node affinity/selector"};
        const auto& labels = node.node().metadata().labels();
        for (const auto& [key, value] : pod.spec().nodeselector()) {
            const auto it = labels.find(key);
            if (it == labels.end() || it->second != value) return no;
        }
        const auto& affinity = pod.spec().affinity().nodeaffinity();
        if (!affinity.has_requiredduringschedulingignoredduringexecution()) return {};
        const auto& terms =
            affinity.requiredduringschedulingignoredduringexecution().nodeselectorterms();
        const bool any = std::any_of(terms.begin(), terms.end(),
                                     [&](const auto& term) { return matches(term, node.node()); });
        return any ? Reasons() : no;
    }
    std::int64_t score(const api::core::Pod& pod, const CycleState&,
                       const NodeInfo& node) const override {
        std::int64_t sum = 0;
        const auto& affinity = pod.spec().affinity().nodeaffinity();
        for (const auto& term : affinity.preferredduringschedulingignoredduringexecution())
            if (term.weight() != 0 && matches(term.preference(), node.node())) sum += term.weight();
        return sum;
    }
    void normalize(std::vector<std::int64_t>* scores) const override {
        scale_scores(scores, false);
    }
};

}  // namespace

std::unique_ptr<Plugin> make_node_affinity() {
    return std::make_unique<NodeAffinity>();
}

}  // namespace scheduler
