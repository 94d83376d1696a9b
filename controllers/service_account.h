#pragma once
// Sees to a ServiceAccount `default` in every namespace that is not on its way out.

#include <memory>

#include "api/controller.h"

namespace controllers {

std::unique_ptr<api::Controller> make_service_account(base::Loop& loop,
                                                      std::shared_ptr<api::Client> client,
                                                      api::Informers& informers);

}  // namespace controllers
