#pragma once
// StoreMetrics: one member's state under the names that etcd gives it, where the meaning is the
// same, so that dashboards made for etcd show it. The values are copied into the process's registry
// every second and when the page is asked for: other loops may render it, too. Store loop only.

#include <memory>

#include "base/loop.h"

namespace kvstore {

class Node;

class StoreMetrics {
  public:
    // `node` outlives it.
    StoreMetrics(base::Loop& loop, Node& node);
    ~StoreMetrics();
    StoreMetrics(const StoreMetrics&) = delete;
    StoreMetrics& operator=(const StoreMetrics&) = delete;

    void refresh();
    // A stream of watches was opened, or ended (-1).
    static void count_watch_stream(int change);
    // The outcome of a request of /health, or of a check of /livez or /readyz.
    static void count_health(bool healthy);
    static void count_check(const char* type, const char* name, bool passed);

  private:
    struct Values;
    Node& node_;
    std::unique_ptr<Values> values_;
    std::shared_ptr<bool> alive_;
    base::Timer timer_;
};

}  // namespace kvstore
