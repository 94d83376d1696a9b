#pragma once
// HttpClient: the Kubernetes API over HTTP(S), for parts of a master in processes of their own and
// for hollow nodes. Bodies are protobuf. HTTP/2 where TLS lets it be chosen, so that many watches
// share a connection.

#include <memory>
#include <string>

#include "api/client.h"
#include "net/client.h"

namespace api {

// Used on `loop`, and destroyed there. `timeout` is of a call; watches have none.
std::shared_ptr<Client> make_http_client(base::Loop& loop, net::ClientOptions options,
                                         base::Millis timeout = base::Millis(10'000));

}  // namespace api
