#pragma once
// Watchers: clients that watch keys at some member, go on at another when that one fails, and hold
// what they are told against the Reference. The guarantees of etcd's watch: ordered, unique, atomic
// (a revision is never split), reliable (nothing is left out), resumable, filters and previous
// values are right.

#include <memory>
#include <string>
#include <vector>

#include "kvstore/core/watch_hub.h"
#include "test/sim/world.h"

namespace sim {

class Cluster;
class Host;

class Watchers {
  public:
    explicit Watchers(Cluster& cluster);
    ~Watchers();
    void begin(std::size_t count);
    // A host's process has ended or is about to.
    void process_gone(const Host& host);
    // All have been told of everything.
    bool all_caught_up() const;
    std::string describe() const;

  private:
    class Watcher;
    void loop();
    Cluster& cluster_;
    std::vector<std::unique_ptr<Watcher>> watchers_;
};

}  // namespace sim
