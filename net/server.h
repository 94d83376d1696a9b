#pragma once
// An HTTP server on one loop: HTTP/1.1 and HTTP/2 on one port, with TLS (chosen by ALPN) or in
// clear text (HTTP/2 by prior knowledge, told apart by its preface). Everything here is used on the
// loop's thread only. Memory per connection is bounded: input by flow control and limits, output by
// the write limits. Bytes from the network never trip a CHECK.

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/coro.h"
#include "net/http.h"
#include "net/tls.h"

namespace net {

// HTTP/2 error codes that handlers use (RFC 9113 section 7).
enum class ResetCode : std::uint32_t {
    kNoError = 0,
    kInternalError = 2,
    kRefusedStream = 7,
    kCancel = 8,
    kEnhanceYourCalm = 11,
};

// One request and its response, alike on HTTP/1.1 and HTTP/2. Kept by shared_ptr; it outlives its
// connection, after which reading fails with Cancelled, writing does nothing, and closed() is true.
// Dropping the last reference of a coroutine handler without an answer gives 500 (or a reset once
// the response has begun).
class Exchange : public std::enable_shared_from_this<Exchange> {
  public:
    virtual ~Exchange() = default;
    Exchange(const Exchange&) = delete;
    Exchange& operator=(const Exchange&) = delete;

    // Made at the first call: the fast path that only needs a few fields uses the views below.
    virtual const Request& request() = 0;
    // Views into the exchange, no copy. `name` in lower case; "" when there is none.
    virtual std::string_view method() const = 0;
    virtual std::string_view target() const = 0;
    virtual std::string_view header(std::string_view name) const = 0;
    // Null without a client certificate.
    virtual const std::shared_ptr<const PeerIdentity>& peer() const = 0;

    // The rest of the request's body. ResourceExhausted over `limit` bytes (answer 413), Cancelled
    // when the client is gone.
    virtual base::Task<std::string> read_body(std::size_t limit) = 0;
    // Whatever has arrived, at least a byte; nullopt at the end of the body. Flow control lets the
    // client send more only as this is called.
    virtual base::Task<std::optional<std::string>> read_some() = 0;

    // The whole answer. Adds content-length; drops the body for HEAD, 204 and 304. Once only.
    virtual void respond(Response response) = 0;
    // Begins a streamed answer, then write()s and finish(). Without content-length it is chunked
    // on HTTP/1.1. Once only.
    virtual void start(int status, Headers headers) = 0;
    // Queues bytes and returns at once. ResourceExhausted, and nothing queued, when the stream's
    // or the connection's queue is over its limit: a slow reader; the caller cuts it off or waits
    // in drained(). Cancelled when closed.
    virtual base::Status write(SharedBytes bytes) = 0;
    base::Status write(std::string bytes) { return write(share(std::move(bytes))); }
    // Bytes of this exchange not yet handed to the socket.
    virtual std::size_t queued_bytes() const = 0;
    // Returns once fewer than `below` bytes are queued (at least 1 is taken); Cancelled when
    // closed.
    virtual base::Task<void> drained(std::size_t below) = 0;
    // Ends a started answer. Trailers go out on HTTP/2 and on chunked HTTP/1.1.
    virtual void finish(Headers trailers = {}) = 0;
    // A unary gRPC answer with status OK in one go: a framed message (net/grpc.h), whole or with
    // the rest of it in further pieces.
    virtual void respond_grpc(SharedBytes frame, std::vector<SharedBytes> rest = {}) = 0;
    // Gives up: RST_STREAM on HTTP/2, a closed connection on HTTP/1.1.
    virtual void reset(ResetCode code) = 0;

    // True once nothing more can be sent: answered in full, reset, or the client gone.
    virtual bool closed() const = 0;
    // True once respond() or start() was called.
    virtual bool started() const = 0;
    // Runs `f` once when the exchange ends before its answer was written in full (client gone,
    // stream reset, server stopped). Several may be set. At once when that has happened already.
    // Not run after a complete answer: what `f` holds is then dropped.
    virtual void on_close(base::UniqueFunction<void()> f) = 0;
    // Acts as though the client had gone, for a deadline that passed: pending and later reads fail
    // with `why` and on_close's functions run. Answering is still possible.
    virtual void interrupt(base::Error why) = 0;
    // The server is shutting down: long-running streams should end soon.
    virtual bool draining() const = 0;

  protected:
    Exchange() = default;
};

// What a server does with requests. The functions run on the loop.
struct ServerHandlers {
    // One coroutine a request, spawned when the headers are in. Ends up 404 when empty. Write it
    // as a plain lambda that calls a coroutine function, not as a capturing coroutine lambda.
    std::function<base::Awaitable<void>(std::shared_ptr<Exchange>)> on_exchange;

    // The fast path, without a coroutine. When the headers are in, `wants_whole_body` is asked
    // (none: never); true means that the server collects the body, up to whole_body_limit (over it:
    // 413, or grpc-status 8 for application/grpc), and calls `on_request` with it. `body` is valid
    // during the call; the answer may come during it or any time later on the loop.
    std::function<bool(const Exchange&)> wants_whole_body;
    std::function<void(const std::shared_ptr<Exchange>&, std::string_view body)> on_request;
    std::size_t whole_body_limit = std::size_t{4} << 20;
};

struct ServerOptions {
    std::string name = "http";          // in log lines
    std::string address = "127.0.0.1";  // an IP address; "::" and "0.0.0.0" are all of them
    std::uint16_t port = 0;             // 0: a free one, see Server::port()
    std::optional<ServerTls> tls;
    bool reuse_port = false;

    std::size_t max_connections = 20000;          // more are closed at accept
    std::size_t max_header_bytes = 64 << 10;      // 431 above
    std::uint32_t max_concurrent_streams = 1000;  // per HTTP/2 connection
    std::uint32_t stream_window = 1 << 20;        // bytes a client may send unread, per stream
    std::uint32_t connection_window = 8 << 20;    // and per connection
    std::size_t max_queued_per_stream = std::size_t{16} << 20;
    std::size_t max_queued_per_connection = std::size_t{64} << 20;

    base::Millis header_timeout{10'000};  // TLS handshake; first request; a request's header
    base::Millis idle_timeout{300'000};   // a connection without a request
    base::Millis stall_timeout{60'000};   // output is waiting and the peer takes none of it
    base::Millis ping_interval{30'000};   // HTTP/2 with streams: PING when nothing was heard; 0 off
    base::Millis ping_timeout{20'000};
};

struct ServerStats {
    std::size_t connections = 0;
    std::size_t active_exchanges = 0;
    std::uint64_t accepted = 0;
    std::uint64_t requests = 0;
    std::uint64_t bytes_in = 0;
    std::uint64_t bytes_out = 0;
};

class Server {
  public:
    Server(base::Loop& loop, ServerOptions options, ServerHandlers handlers);
    // CHECKs that stop() was awaited (or listen() never succeeded).
    ~Server();
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    // Binds and accepts; returns the bound port. Unavailable when the address is in use,
    // InvalidArgument for bad TLS files.
    base::Result<std::uint16_t> listen();
    std::uint16_t port() const;
    // Stops accepting, sends GOAWAY, lets running exchanges end for up to `drain`, closes all
    // connections, joins the handlers.
    base::Awaitable<void> stop(base::Millis drain);
    ServerStats stats() const;

  private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
};

}  // namespace net
