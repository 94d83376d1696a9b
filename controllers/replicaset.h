#pragma once
// The ReplicaSet and the ReplicationController controllers; controllers/replicas.h says what they
// do.

#include "controllers/replicas.h"

namespace controllers {

std::unique_ptr<api::Controller> make_replicaset(base::Loop& loop,
                                                 std::shared_ptr<api::Client> client,
                                                 api::Informers& informers,
                                                 api::EventRecorder& events);
std::unique_ptr<api::Controller> make_replicationcontroller(base::Loop& loop,
                                                            std::shared_ptr<api::Client> client,
                                                            api::Informers& informers,
                                                            api::EventRecorder& events);

}  // namespace controllers
