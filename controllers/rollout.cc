#include "controllers/rollout.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>

#include "api/quantity.h"
#include "api/util.h"

namespace controllers {

using api::apps::Deployment;
using api::apps::ReplicaSet;

int wanted(const Deployment& d) {
    return d.spec().has_replicas() ? d.spec().replicas() : 1;
}
int wanted(const ReplicaSet& rs) {
    return rs.spec().has_replicas() ? rs.spec().replicas() : 1;
}

int wanted(const ReplicaSets& sets) {
    int sum = 0;
    for (const auto& rs : sets)
        sum += wanted(*rs);
    return sum;
}
int actual(const ReplicaSets& sets) {
    int sum = 0;
    for (const auto& rs : sets)
        sum += rs->status().replicas();
    return sum;
}
int ready(const ReplicaSets& sets) {
    int sum = 0;
    for (const auto& rs : sets)
        sum += rs->status().readyreplicas();
    return sum;
}
int available(const ReplicaSets& sets) {
    int sum = 0;
    for (const auto& rs : sets)
        sum += rs->status().availablereplicas();
    return sum;
}

bool is_rolling(const Deployment& d) {
    return d.spec().strategy().type() != "Recreate";
}

namespace {

struct Bounds {
    int surge = 0;
    int unavailable = 0;
};

Bounds bounds_of(const Deployment& d) {
    Bounds out;
    if (!is_rolling(d)) return out;
    const auto& rolling = d.spec().strategy().rollingupdate();
    const auto resolve = [&](bool has, const api::IntOrString& value, bool up) {
        const auto amount = has ? value : api::int_or_string("25%");
        return std::max(0, api::scaled_value(amount, wanted(d), up).value_or(0));
    };
    out.surge = resolve(rolling.has_maxsurge(), rolling.maxsurge(), true);
    out.unavailable = resolve(rolling.has_maxunavailable(), rolling.maxunavailable(), false);
    // Neither more nor fewer pods: that would never move.
    if (out.surge == 0 && out.unavailable == 0) out.unavailable = 1;
    out.unavailable = std::min(out.unavailable, wanted(d));
    return out;
}

}  // namespace

int max_surge(const Deployment& d) {
    return bounds_of(d).surge;
}
int max_unavailable(const Deployment& d) {
    return bounds_of(d).unavailable;
}

std::string template_bytes(const api::core::PodTemplateSpec& pod_template) {
    api::core::PodTemplateSpec plain = pod_template;
    plain.mutable_metadata()->mutable_labels()->erase(kTemplateHash);
    return api::stable_bytes(plain);
}

std::string template_hash(const Deployment& d) {
    std::string bytes = template_bytes(d.spec().template_());
    if (d.status().has_collisioncount()) bytes += std::to_string(d.status().collisioncount());
    return api::safe_hash(bytes);
}

std::int64_t revision_of(const api::Message& object) {
    return std::strtoll(std::string(api::annotation(object, kRevision, "0")).c_str(), nullptr, 10);
}

void sort_by_age(ReplicaSets* sets) {
    std::sort(sets->begin(), sets->end(), [](const auto& a, const auto& b) {
        const auto at = api::from_time(a->metadata().creationtimestamp());
        const auto bt = api::from_time(b->metadata().creationtimestamp());
        return at != bt ? at < bt : a->metadata().name() < b->metadata().name();
    });
}

ReplicaSetPtr find_new(const Deployment& d, const ReplicaSets& sets) {
    const std::string want = template_bytes(d.spec().template_());
    ReplicaSets by_age = sets;
    sort_by_age(&by_age);
    for (const auto& rs : by_age)
        if (template_bytes(rs->spec().template_()) == want) return rs;
    return nullptr;
}

int new_replicas(const Deployment& d, const ReplicaSets& all, int current) {
    if (!is_rolling(d)) return wanted(d);
    if (current >= wanted(d)) return wanted(d);
    const int room = wanted(d) + max_surge(d) - wanted(all);
    return room <= 0 ? current : current + std::min(room, wanted(d) - current);
}

std::vector<Scaling> scale_down_old(const Deployment& d, const ReplicaSets& all,
                                    const ReplicaSets& old, const ReplicaSetPtr& fresh) {
    const int min_available = wanted(d) - max_unavailable(d);
    const int new_missing =
        fresh == nullptr ? 0 : std::max(0, wanted(*fresh) - fresh->status().availablereplicas());
    int budget = wanted(all) - min_available - new_missing;
    if (wanted(old) == 0 || budget <= 0) return {};
    ReplicaSets by_age = old;
    sort_by_age(&by_age);
    std::map<std::string, int> now;
    for (const auto& rs : by_age)
        now[rs->metadata().uid()] = wanted(*rs);
    // Pods that are not available serve nobody: they go first.
    for (const auto& rs : by_age) {
        int& replicas = now[rs->metadata().uid()];
        const int idle = replicas - rs->status().availablereplicas();
        const int take = std::max(0, std::min(budget, idle));
        replicas -= take;
        budget -= take;
    }
    int spare = available(all) - min_available;
    for (const auto& rs : by_age) {
        int& replicas = now[rs->metadata().uid()];
        const int take = std::max(0, std::min(replicas, spare));
        replicas -= take;
        spare -= take;
    }
    std::vector<Scaling> out;
    for (const auto& rs : by_age)
        if (now[rs->metadata().uid()] != wanted(*rs))
            out.push_back({rs, now[rs->metadata().uid()]});
    return out;
}

namespace {

int annotated(const ReplicaSet& rs, const char* name, int otherwise) {
    const auto text = api::annotation(rs, name);
    return text.empty() ? otherwise : std::atoi(std::string(text).c_str());
}

}  // namespace

std::vector<Scaling> scale_in_proportion(const Deployment& d, const ReplicaSets& all) {
    ReplicaSets active;
    for (const auto& rs : all)
        if (wanted(*rs) > 0) active.push_back(rs);
    const int allowed = wanted(d) > 0 ? wanted(d) + max_surge(d) : 0;
    int to_add = allowed - wanted(active);
    if (active.empty() || to_add == 0) return {};
    // The largest first; of equal ones the newer when growing, the older when shrinking.
    sort_by_age(&active);
    if (to_add > 0) std::reverse(active.begin(), active.end());
    std::stable_sort(active.begin(), active.end(),
                     [](const auto& a, const auto& b) { return wanted(*a) > wanted(*b); });
    std::vector<Scaling> out;
    int added = 0;
    for (const auto& rs : active) {
        const double before = annotated(*rs, kMaxReplicas, wanted(*rs));
        const double share = static_cast<double>(wanted(*rs)) * allowed / std::max(1.0, before);
        int change = static_cast<int>(std::lround(share)) - wanted(*rs);
        const int left = to_add - added;
        change = to_add > 0 ? std::clamp(change, 0, left) : std::clamp(change, left, 0);
        added += change;
        out.push_back({rs, wanted(*rs) + change});
    }
    // What rounding left over goes to the largest.
    out.front().replicas = std::max(0, out.front().replicas + to_add - added);
    return out;
}

bool is_scaling(const Deployment& d, const ReplicaSets& all) {
    return std::any_of(all.begin(), all.end(), [&](const auto& rs) {
        return wanted(*rs) > 0 && annotated(*rs, kDesiredReplicas, wanted(d)) != wanted(d);
    });
}

}  // namespace controllers
