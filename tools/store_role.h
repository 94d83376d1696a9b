#pragma once
// StoreRole: a member of the store as an object that a process starts and stops; it has a loop of
// its own. Used from the main thread.

#include <functional>
#include <memory>
#include <string>

#include "base/loop.h"
#include "kvstore/client.h"
#include "tools/config.h"

namespace tools {

class StoreRole {
  public:
    // Recovers, binds and serves.
    static base::Result<std::unique_ptr<StoreRole>> start(const Config& config);
    ~StoreRole();
    // For use on `home`. The role outlives it.
    std::shared_ptr<kvstore::Client> client(base::Loop& home);
    // Called once, on the store's loop, when the cluster has removed this member. To be set right
    // after start().
    void on_removed(std::function<void()> f);
    void stop();

  private:
    struct Impl;
    explicit StoreRole(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace tools
