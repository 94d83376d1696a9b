#pragma once
// LeaderElector: one of many processes leads, agreed upon through a Lease. Never ends the process:
// who loses stops leading and goes on trying. Clocks of other machines do not matter: a lease has
// expired when it was not seen to change for its duration. Used on its loop.

#include <functional>
#include <memory>
#include <string>

#include "api/client.h"
#include "api/proto/coordination_v1.pb.h"

namespace api {

struct LeaderElectionOptions {
    std::string namespace_name = "kube-system";
    std::string name;
    std::string identity;
    base::Millis lease{15 * 1000};
    // Leading ends when the lease was not renewed for so long; less than `lease`.
    base::Millis renew_deadline{10 * 1000};
    base::Millis retry{2 * 1000};
};

class LeaderElector {
  public:
    // `started` is called when leading begins. `stopped` is awaited when it ends, before anything
    // else is tried; it must end within lease - renew_deadline.
    LeaderElector(base::Loop& loop, std::shared_ptr<Client> client, LeaderElectionOptions options,
                  std::function<void()> started, std::function<base::Awaitable<void>()> stopped);
    ~LeaderElector();

    void start();
    // Ends leading (stopped() is awaited) and gives the lease back.
    base::Awaitable<void> stop();
    bool leading() const { return leading_; }
    // Who holds the lease, as last seen; "" when nobody does.
    std::string holder() const;

  private:
    base::Awaitable<void> run();
    base::Task<bool> try_acquire_or_renew();
    base::Task<void> release();
    base::Awaitable<void> hand_over();
    void observe(Ptr<coordination::Lease> lease);
    bool held_by_other() const;
    std::shared_ptr<coordination::Lease> claim() const;
    base::Millis retry_delay();
    void became_leader();
    void lose(std::string_view why);

    base::Loop& loop_;
    std::shared_ptr<Client> client_;
    LeaderElectionOptions options_;
    std::function<void()> started_;
    std::function<base::Awaitable<void>()> stopped_;
    base::TaskGroup tasks_;
    base::Timer watchdog_;
    Ptr<coordination::Lease> observed_;
    base::SteadyTime observed_at_{};
    bool leading_ = false;
    bool handing_over_ = false;
};

}  // namespace api
