#pragma once
// Making a client's connection: resolve, connect, TLS handshake, under one timeout. Loop's thread
// only. Private to net/.

#include <memory>

#include "base/function.h"
#include "net/transport.h"

namespace net {

// Base of what a failed call carries when the server surely has not seen it (maybe_processed()).
struct NotProcessed final : base::ErrorDetail {};
base::Error not_processed(base::Error error);

class ConnectAttempt {
  public:
    virtual ~ConnectAttempt() = default;
    // Drops `done` uncalled.
    virtual void cancel() = 0;
};

// `done` gets an open transport whose owner the caller must set in the call, or an error; not
// called inside connect(). `tls` may be null.
std::shared_ptr<ConnectAttempt> connect(
    base::Loop& loop, const Endpoint& endpoint, std::shared_ptr<TlsContext> tls,
    base::Millis timeout,
    base::UniqueFunction<void(base::Result<std::shared_ptr<Transport>>)> done);

}  // namespace net
