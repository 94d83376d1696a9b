#pragma once
// Garbage collection by ownerReferences: an object whose owners are all gone is deleted; an owner
// that is deleted in the foreground goes after those that block it; one that is orphaned leaves its
// dependents behind without reference. Watches every resource that can be deleted, but events.

#include <memory>

#include "api/controller.h"

namespace controllers {

std::unique_ptr<api::Controller> make_garbage_collector(base::Loop& loop,
                                                        std::shared_ptr<api::Client> client,
                                                        api::Informers& informers);

}  // namespace controllers
