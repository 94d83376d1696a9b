#pragma once
// ApiRole: an API server as an object that a process starts and stops; it has a loop of its own.
// Used from the main thread.

#include <memory>
#include <string>

#include "api/client.h"
#include "tools/config.h"
#include "tools/store_role.h"

namespace tools {

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
