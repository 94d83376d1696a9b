#include "scheduler/core/framework.h"
#include "scheduler/core/tolerations.h"

namespace scheduler {
namespace {

class TaintToleration final : public Filter {
  public:
    std::vector<std::string> reject(const PodInfo& pod, const NodeInfo& node) const override {
        for (const auto& taint : node.node->spec().taints()) {
            if (taint.effect() != "NoSchedule" && taint.effect() != "NoExecute") continue;
            if (!tolerates(pod.pod->spec(), taint)) return {"node(s) had untolerated taint {" + taint.key() + ": " + taint.value() + "}"};
        }
        return {};
    }
};

// Fewer taints that only ask to stay away are better.
class TaintScore final : public Score {
  public:
    std::int64_t score(const PodInfo& pod, const NodeInfo& node) const override {
        std::int64_t disliked = 0;
        for (const auto& taint : node.node->spec().taints())
            if (taint.effect() == "PreferNoSchedule" && !tolerates(pod.pod->spec(), taint)) ++disliked;
        return disliked == 0 ? 100 : 100 / (disliked + 1);
    }
};

}  // namespace

std::unique_ptr<Filter> make_taint_toleration() { return std::make_unique<TaintToleration>(); }
std::unique_ptr<Score> make_taint_score() { return std::make_unique<TaintScore>(); }

}  // namespace scheduler
