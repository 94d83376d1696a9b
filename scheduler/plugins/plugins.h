#pragma once
// The plugins, a file each. Names, reasons and weights are upstream's.

#include "scheduler/framework.h"

namespace scheduler {

std::unique_ptr<Plugin> make_node_unschedulable();
std::unique_ptr<Plugin> make_node_name();
std::unique_ptr<Plugin> make_taint_toleration();
std::unique_ptr<Plugin> make_node_affinity();
std::unique_ptr<Plugin> make_node_ports();
// NodeResourcesFit with LeastAllocated scores.
std::unique_ptr<Plugin> make_node_resources_fit();
std::unique_ptr<Plugin> make_balanced_allocation();

bool tolerates(const api::core::Toleration& toleration, const api::core::Taint& taint);
bool tolerates(const api::core::Pod& pod, const api::core::Taint& taint);

}  // namespace scheduler
