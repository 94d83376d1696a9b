#pragma once
// Which pods go first when there are too many. Pure.

#include <vector>

#include "controllers/pod_util.h"

namespace controllers {

struct RankedPod {
    api::Ptr<api::core::Pod> pod;
    // How many active pods of the same owner or its siblings stand on the same node.
    int neighbours = 0;
};

// The `count` pods that matter least: without a node before bound, Pending before Unknown before
// Running, not ready before ready, lower deletion cost, more neighbours, ready for less long, more
// restarts, younger. Ages count by their order of magnitude.
std::vector<api::Ptr<api::core::Pod>> pods_to_delete(std::vector<RankedPod> pods, std::size_t count,
                                                     WallTime now);

}  // namespace controllers
