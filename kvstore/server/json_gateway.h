#pragma once
// JsonGateway: the gRPC methods as JSON over plain HTTP, under the paths that etcd's gateway has:
// POST /v3/kv/range and so on. It puts an exchange of its own between the HTTP request and the gRPC
// method, which turns JSON into messages and back (proto3's JSON mapping with the fields' original
// names: 64-bit numbers are strings, bytes base64); so every method that the service has is served,
// and permissions are checked in the same place. The token comes in `authorization`; client
// certificates name nobody here, as in etcd. Store loop only.

#include <memory>

#include "base/coro.h"
#include "net/grpc.h"

namespace kvstore {

class JsonGateway {
  public:
    // All methods are in `service`, which outlives it.
    explicit JsonGateway(net::GrpcService& service, std::size_t max_body = std::size_t{4} << 20);
    // True for a path of the gateway.
    static bool serves(std::string_view path);
    base::Awaitable<void> serve(std::shared_ptr<net::Exchange> exchange);

  private:
    net::ServerHandlers methods_;
    std::size_t max_body_;
};

}  // namespace kvstore
