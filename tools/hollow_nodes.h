#pragma once
// HollowNodes: simulated nodes. They register, renew their leases, bring the pods that are bound to
// them to Running by changes of state, and let go of pods that are deleted. One watch and one timer
// serve all of them. Lives on the given loop; the client belongs to the same loop.

#include <memory>
#include <string>

#include "api/client.h"

namespace tools {

struct HollowNodesOptions {
    int count = 1;
    std::string prefix = "hollow-node-";
    // From binding to Running.
    base::Millis start_delay{100};
    base::Millis lease_period{10 * 1000};
    // A deleted pod goes after its grace period or this, whichever is less.
    base::Millis max_grace{1000};
    // Writes under way at one time.
    int workers = 16;
};

class HollowNodes {
  public:
    // On the loop, or before the loop runs; so is start().
    HollowNodes(base::Loop& loop, std::shared_ptr<api::Client> client, HollowNodesOptions options);
    ~HollowNodes();

    void start();
    // Nodes stay registered. Await it before destruction.
    base::Awaitable<void> stop();
    // Nodes that are registered.
    int registered() const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace tools
