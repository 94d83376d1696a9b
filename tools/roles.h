#pragma once
// The parts of a master as objects that a process starts and stops: each on a loop of its own. `coxswain server` runs
// all of them, `coxswain store` and the others one each. Used from the main thread.

#include <memory>
#include <string>

#include "api/client.h"
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
    void stop();

  private:
    struct Impl;
    explicit StoreRole(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

class ApiRole {
  public:
    // `store`: the one of this process, or null for the one at --store.
    static base::Result<std::unique_ptr<ApiRole>> start(const Config& config, StoreRole* store);
    ~ApiRole();
    // In process, acting as `system:<component>`. The role outlives it.
    std::shared_ptr<api::Client> client(const std::string& component);
    void stop();

  private:
    struct Impl;
    explicit ApiRole(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace tools
