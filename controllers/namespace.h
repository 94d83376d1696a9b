#pragma once
// Empties a namespace that is being deleted, of all resources that can be deleted, then lets go of
// it through the `finalize` subresource. Conditions of the namespace say what is left.

#include <memory>

#include "api/controller.h"

namespace controllers {

std::unique_ptr<api::Controller> make_namespace(base::Loop& loop,
                                                std::shared_ptr<api::Client> client,
                                                api::Informers& informers);

}  // namespace controllers
