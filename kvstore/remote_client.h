#pragma once
// RemoteClient: a store in another process, Coxswain's or etcd's, over etcd v3 gRPC. Goes on with
// the next endpoint when one fails. Reads are repeated while nothing answers, writes never once
// they may have arrived.

#include <memory>
#include <vector>

#include "kvstore/client.h"
#include "net/client.h"

namespace kvstore {

struct RemoteClientOptions {
    std::vector<net::Endpoint> endpoints;
    std::optional<net::ClientTls> tls;
    base::Millis timeout{8000};  // of a call
};

// Used on `loop`, and destroyed there.
std::shared_ptr<Client> make_remote_client(base::Loop& loop, RemoteClientOptions options);

}  // namespace kvstore
