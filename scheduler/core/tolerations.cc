#include "scheduler/core/tolerations.h"

#include <algorithm>

#include "api/v1.h"

namespace scheduler {

bool tolerates(const api::core::Toleration& t, const api::core::Taint& taint) {
    if (!t.effect().empty() && t.effect() != taint.effect()) return false;
    if (!t.key().empty() && t.key() != taint.key()) return false;
    if (t.operator_() == "Exists") return true;
    // An empty operator is Equal; an empty key goes with Exists only.
    return !t.key().empty() && t.value() == taint.value();
}

bool tolerates(const api::core::PodSpec& pod, const api::core::Taint& taint) {
    return std::any_of(pod.tolerations().begin(), pod.tolerations().end(), [&](const auto& t) { return tolerates(t, taint); });
}

}  // namespace scheduler
