#pragma once
// ControlRole: the controllers, the scheduler and hollow nodes as objects that a process starts and
// stops; they share a loop. Used from the main thread.

#include <memory>

#include "tools/api_role.h"
#include "tools/config.h"

namespace tools {

class ControlRole {
  public:
    struct Parts {
        bool controllers = false;
        bool scheduler = false;
        bool hollow_nodes = false;
    };
    // `api`: the API server of this process, or null for the one at --server.
    static base::Result<std::unique_ptr<ControlRole>> start(const Config& config, ApiRole* api,
                                                            Parts parts);
    ~ControlRole();
    void stop();

  private:
    struct Impl;
    explicit ControlRole(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace tools
