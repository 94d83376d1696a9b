#pragma once
// The framework: what a plugin is, and the cycle that runs them over nodes for one pod. Plugins are
// pure: they read the pod, the node and what their own pre-filter wrote, and answer. One thread.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "scheduler/node_info.h"

namespace scheduler {

// What a plugin computed once for the pod of a cycle.
struct PluginData {
    virtual ~PluginData() = default;
};

class CycleState {
  public:
    void put(std::string_view plugin, std::shared_ptr<const PluginData> data) {
        data_[plugin] = std::move(data);
    }
    // Null when the plugin wrote nothing.
    template <class T>
    const T* get(std::string_view plugin) const {
        const auto it = data_.find(plugin);
        return it == data_.end() ? nullptr : static_cast<const T*>(it->second.get());
    }

  private:
    std::map<std::string_view, std::shared_ptr<const PluginData>> data_;
};

// Why a node, or all of them, will not do, in upstream's words. Empty: it will.
using Reasons = std::vector<std::string>;

class Plugin {
  public:
    virtual ~Plugin() = default;
    virtual std::string_view name() const = 0;
};

class PreFilterPlugin : public virtual Plugin {
  public:
    // Reasons here reject the pod for all nodes.
    virtual Reasons pre_filter(const api::core::Pod& pod, CycleState* state) const = 0;
};

class FilterPlugin : public virtual Plugin {
  public:
    virtual Reasons filter(const api::core::Pod& pod, const CycleState& state,
                           const NodeInfo& node) const = 0;
};

inline constexpr std::int64_t kMaxScore = 100;

class ScorePlugin : public virtual Plugin {
  public:
    virtual int weight() const { return 1; }
    virtual std::int64_t score(const api::core::Pod& pod, const CycleState& state,
                               const NodeInfo& node) const = 0;
    // Brings the scores of all nodes to 0 … kMaxScore.
    virtual void normalize(std::vector<std::int64_t>*) const {}
};

// Scales to 0 … kMaxScore by the greatest; `reverse` makes the least the best.
void scale_scores(std::vector<std::int64_t>* scores, bool reverse);

class Framework {
  public:
    // The plugins of the default profile.
    Framework();
    ~Framework();

    struct Outcome {
        std::string node;          // "" when there is none
        std::string message;       // then: `0/3 nodes are available: …`
        std::size_t feasible = 0;  // of those that were looked at
    };
    // `random` chooses among the best.
    Outcome schedule(const api::core::Pod& pod, const std::vector<const NodeInfo*>& nodes,
                     base::Random* random);

  private:
    void add(std::unique_ptr<Plugin> plugin);
    std::string choose(const api::core::Pod& pod, const CycleState& state,
                       const std::vector<const NodeInfo*>& feasible, base::Random* random) const;

    std::vector<std::unique_ptr<Plugin>> plugins_;
    std::vector<PreFilterPlugin*> pre_filters_;
    std::vector<FilterPlugin*> filters_;
    std::vector<ScorePlugin*> scores_;
    std::size_t next_start_ = 0;
};

// How many feasible nodes are enough to choose among, of so many.
std::size_t enough_nodes(std::size_t all);

}  // namespace scheduler
