#include "scheduler/framework.h"

#include <fmt/format.h>

#include <algorithm>

#include "scheduler/plugins/plugins.h"

namespace scheduler {

void scale_scores(std::vector<std::int64_t>* scores, bool reverse) {
    std::int64_t greatest = 0;
    for (const auto score : *scores)
        greatest = std::max(greatest, score);
    for (auto& score : *scores) {
        if (greatest > 0) score = score * kMaxScore / greatest;
        if (reverse) score = kMaxScore - score;
    }
}

std::size_t enough_nodes(std::size_t all) {
    constexpr std::size_t kLeast = 100;
    if (all < kLeast) return all;
    const std::size_t percent = std::max<std::size_t>(5, 50 - std::min<std::size_t>(45, all / 125));
    return std::max(kLeast, all * percent / 100);
}

Framework::Framework() {
    add(make_node_unschedulable());
    add(make_node_name());
    add(make_taint_toleration());
    add(make_node_affinity());
    add(make_node_ports());
    add(make_node_resources_fit());
    add(make_balanced_allocation());
}

Framework::~Framework() = default;

void Framework::add(std::unique_ptr<Plugin> plugin) {
    if (auto* p = dynamic_cast<PreFilterPlugin*>(plugin.get())) pre_filters_.push_back(p);
    if (auto* p = dynamic_cast<FilterPlugin*>(plugin.get())) filters_.push_back(p);
    if (auto* p = dynamic_cast<ScorePlugin*>(plugin.get())) scores_.push_back(p);
    plugins_.push_back(std::move(plugin));
}

namespace {

// `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable.`
std::string describe(std::size_t nodes, const std::map<std::string, int>& counts) {
    std::vector<std::string> parts;
    for (const auto& [reason, count] : counts)
        parts.push_back(fmt::format("{} {}", count, reason));
    std::sort(parts.begin(), parts.end());
    std::string out = fmt::format("0/{} nodes are available:", nodes);
    for (std::size_t i = 0; i < parts.size(); ++i)
        out += (i == 0 ? " " : ", ") + parts[i];
    return out + ".";
}

}  // namespace

Framework::Outcome Framework::schedule(const api::core::Pod& pod,
                                       const std::vector<const NodeInfo*>& nodes,
                                       base::Random* random) {
    Outcome out;
    if (nodes.empty()) {
        out.message = "no nodes available to schedule pods";
        return out;
    }
    CycleState state;
    std::map<std::string, int> counts;
    for (const auto* plugin : pre_filters_)
        for (const auto& reason : plugin->pre_filter(pod, &state))
            counts[reason] = static_cast<int>(nodes.size());
    if (!counts.empty()) {
        out.message = describe(nodes.size(), counts);
        return out;
    }
    // Each cycle begins where the last one ended, so that all nodes get their turn.
    const std::size_t enough = enough_nodes(nodes.size());
    std::vector<const NodeInfo*> feasible;
    std::size_t looked_at = 0;
    for (; looked_at < nodes.size() && feasible.size() < enough; ++looked_at) {
        const auto* node = nodes[(next_start_ + looked_at) % nodes.size()];
        Reasons reasons;
        for (const auto* plugin : filters_) {
            reasons = plugin->filter(pod, state, *node);
            if (!reasons.empty()) break;
        }
        for (const auto& reason : reasons)
            ++counts[reason];
        if (reasons.empty()) feasible.push_back(node);
    }
    next_start_ = (next_start_ + looked_at) % nodes.size();
    out.feasible = feasible.size();
    if (feasible.empty())
        out.message = describe(nodes.size(), counts);
    else
        out.node = choose(pod, state, feasible, random);
    return out;
}

std::string Framework::choose(const api::core::Pod& pod, const CycleState& state,
                              const std::vector<const NodeInfo*>& feasible,
                              base::Random* random) const {
    if (feasible.size() == 1) return feasible[0]->node().metadata().name();
    std::vector<std::int64_t> totals(feasible.size(), 0);
    for (const auto* plugin : scores_) {
        std::vector<std::int64_t> scores;
        scores.reserve(feasible.size());
        for (const auto* node : feasible)
            scores.push_back(plugin->score(pod, state, *node));
        plugin->normalize(&scores);
        for (std::size_t i = 0; i < scores.size(); ++i)
            totals[i] += scores[i] * plugin->weight();
    }
    const auto best = *std::max_element(totals.begin(), totals.end());
    std::vector<std::size_t> winners;
    for (std::size_t i = 0; i < totals.size(); ++i)
        if (totals[i] == best) winners.push_back(i);
    return feasible[winners[random->below(winners.size())]]->node().metadata().name();
}

}  // namespace scheduler
