// TaintToleration: taints with NoSchedule and NoExecute keep out pods that do not tolerate them;
// the fewer untolerated PreferNoSchedule taints, the better.

#include <algorithm>

#include "scheduler/plugins/plugins.h"

namespace scheduler {

bool tolerates(const api::core::Toleration& toleration, const api::core::Taint& taint) {
    if (!toleration.effect().empty() && toleration.effect() != taint.effect()) return false;
    if (!toleration.key().empty() && toleration.key() != taint.key()) return false;
    if (toleration.operator_() == "Exists") return true;
    if (!toleration.operator_().empty() && toleration.operator_() != "Equal") return false;
    return !toleration.key().empty() && toleration.value() == taint.value();
}

bool tolerates(const api::core::Pod& pod, const api::core::Taint& taint) {
    const auto& all = pod.spec().tolerations();
    return std::any_of(all.begin(), all.end(),
                       [&](const auto& toleration) { return tolerates(toleration, taint); });
}

namespace {

class TaintToleration final : public FilterPlugin, public ScorePlugin {
  public:
    std::string_view name() const override { return "TaintToleration"; }
    int weight() const override { return 3; }

    Reasons filter(const api::core::Pod& pod, const CycleState&,
                   const NodeInfo& node) const override {
        for (const auto& taint : node.node().spec().taints())
            if (taint.effect() != "PreferNoSchedule" && !tolerates(pod, taint))
                return {"node(s) had untolerated taint(s)"};
        return {};
    }
    std::int64_t score(const api::core::Pod& pod, const CycleState&,
                       const NodeInfo& node) const override {
        const auto& taints = node.node().spec().taints();
        return std::count_if(taints.begin(), taints.end(), [&](const auto& taint) {
            return taint.effect() == "PreferNoSchedule" && !tolerates(pod, taint);
        });
    }
    void normalize(std::vector<std::int64_t>* scores) const override { scale_scores(scores, true); }
};

}  // namespace

std::unique_ptr<Plugin> make_taint_toleration() {
    return std::make_unique<TaintToleration>();
}

}  // namespace scheduler
