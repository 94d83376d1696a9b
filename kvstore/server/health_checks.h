#pragma once
// /health, /livez and /readyz as etcd answers them. Store loop only.

#include "base/coro.h"
#include "net/http.h"

namespace kvstore {

class Node;

// Whether `path` is one of them, or one of their single checks (/readyz/linearizable_read).
bool is_health_path(std::string_view path);
// `query`: what stands behind the question mark. A check that reads may wait for a leader, as long
// as a request does.
base::Awaitable<net::Response> answer_health(Node* node, std::string path, std::string query);

}  // namespace kvstore
