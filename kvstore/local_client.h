#pragma once
// LocalClient: the store of this process. Calls are posted to the store's loop and answered on the
// caller's; nothing is serialized on the way.

#include <memory>

#include "kvstore/client.h"

namespace kvstore {

class Node;

// `home` is the loop that the client is used on; `store` the node's. Both, and the node, outlive
// the client's last call.
std::shared_ptr<Client> make_local_client(base::Loop& home, base::Loop& store, Node& node);

}  // namespace kvstore
