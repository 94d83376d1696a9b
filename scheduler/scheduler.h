#pragma once
// Scheduler: gives each pod a node. Active while it leads (Lease kube-system/kube-scheduler);
// losing the election stops scheduling, never the process. Lives on the given loop; the client
// belongs to the same loop.

#include <memory>
#include <string>

#include "api/client.h"

namespace scheduler {

struct SchedulerOptions {
    std::string identity;  // unique among the masters
    // Pods whose spec.schedulerName is this one.
    std::string name = "default-scheduler";
    base::Millis lease{15 * 1000};
    base::Millis renew_deadline{10 * 1000};
    base::Millis retry{2 * 1000};
    base::Millis first_backoff{1000};
    base::Millis max_backoff{10 * 1000};
    // Unschedulable pods are tried again at least so often.
    base::Millis flush{5 * 60 * 1000};
    // Bindings under way at one time.
    int parallel_binds = 64;
};

class Scheduler {
  public:
    // On the loop, or before the loop runs; so is start().
    Scheduler(base::Loop& loop, std::shared_ptr<api::Client> client, SchedulerOptions options);
    ~Scheduler();

    void start();
    // Stops scheduling and gives the lease back. Await it before destruction.
    base::Awaitable<void> stop();
    bool leading() const;
    std::string leader() const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace scheduler
