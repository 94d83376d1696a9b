#pragma once
// Manager: all controllers of a process, active while it leads (Lease
// kube-system/kube-controller-manager). Losing the election stops the controllers, never the
// process. Lives on the given loop; the client belongs to the same loop.

#include <memory>
#include <string>

#include "api/client.h"

namespace controllers {

struct ManagerOptions {
    std::string identity;  // unique among the masters
    base::Millis lease{15 * 1000};
    base::Millis renew_deadline{10 * 1000};
    base::Millis retry{2 * 1000};
    // A node whose lease was not renewed for so long counts as lost.
    base::Millis node_grace{40 * 1000};
};

class Manager {
  public:
    // On the loop, or before the loop runs; so is start().
    Manager(base::Loop& loop, std::shared_ptr<api::Client> client, ManagerOptions options);
    ~Manager();

    void start();
    // Stops the controllers and gives the lease back. Await it before destruction.
    base::Awaitable<void> stop();
    bool leading() const;
    // Who holds the lease, as last seen; "" when nobody.
    std::string leader() const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace controllers
