#pragma once
// Controller: the one shape of all of them. Informers' handlers put keys into the queue; workers
// take keys and reconcile; a failed key comes again after its backoff. What reconcile() needs it
// reads from informers' caches and writes through the client. Used on its loop. Owners stop() it
// and the informers before they destroy it.

#include <memory>
#include <string>

#include "api/client.h"
#include "api/informer.h"
#include "api/workqueue.h"

namespace api {

class Controller {
  public:
    Controller(std::string name, base::Loop& loop, int workers);
    virtual ~Controller();
    Controller(const Controller&) = delete;
    Controller& operator=(const Controller&) = delete;

    const std::string& name() const { return name_; }
    // When the informers have synced.
    virtual void start();
    virtual base::Awaitable<void> stop();
    WorkQueue& queue() { return queue_; }

  protected:
    // Brings the world of one key to where it should be. Called again after its backoff when it
    // fails; Conflict and NotFound are the ordinary course of events and not logged.
    virtual base::Task<void> reconcile(std::string key) = 0;

    // Enqueues the key of each changed object.
    void watch_own(Informer& informer);
    // Enqueues the controlling owner, of this kind, of each changed object. Owners have the
    // namespace of what they own.
    void watch_owned(Informer& informer, std::string_view owner_kind);

    base::Loop& loop_;
    base::TaskGroup tasks_;

  private:
    base::Awaitable<void> work();

    std::string name_;
    int workers_;
    WorkQueue queue_;
};

}  // namespace api
