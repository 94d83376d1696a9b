#pragma once
// HTTP and gRPC clients on one loop: HTTP/1.1 with a small pool, HTTP/2 with many streams on one
// connection, TLS with ALPN. Everything is used on the loop's thread, from its coroutines. Each
// call has a deadline; a dead peer is noticed by PING (HTTP/2) or by the deadline.

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/coro.h"
#include "net/http.h"
#include "net/tls.h"

namespace net {

// True when a failed call may have been carried out by the server. False when it surely was not:
// nothing of the request had left, or the server said so (GOAWAY, REFUSED_STREAM): safe to send
// again whatever it does. Answers with a status from the server are "true".
bool maybe_processed(const base::Error& error);

enum class Protocol {
    kAuto,  // ALPN over TLS; HTTP/1.1 in clear text
    kHttp1,
    kHttp2,  // ALPN h2 over TLS; prior knowledge in clear text
};

struct ClientOptions {
    Endpoint endpoint;
    std::optional<ClientTls> tls;  // none: clear text
    Protocol protocol = Protocol::kAuto;
    std::string bearer_token;  // sent as "authorization: Bearer …" when not empty
    std::string user_agent = "coxswain";

    std::size_t max_connections = 8;  // HTTP/1.1; more calls wait for a free one
    std::size_t max_response_bytes = std::size_t{256} << 20;  // send(): ResourceExhausted above
    std::uint32_t stream_window = 4 << 20;
    std::uint32_t connection_window = 64 << 20;
    base::Millis connect_timeout{5'000};  // resolve, connect, TLS
    base::Millis idle_timeout{90'000};    // a pooled HTTP/1.1 connection
    base::Millis ping_interval{15'000};   // HTTP/2: PING when nothing was heard for so long; 0 off
    base::Millis ping_timeout{10'000};
};

// The response of an open request, its body read piece by piece. Dropping it cancels the request.
class ResponseStream {
  public:
    virtual ~ResponseStream() = default;
    ResponseStream(const ResponseStream&) = delete;
    ResponseStream& operator=(const ResponseStream&) = delete;

    virtual int status() const = 0;
    virtual const Headers& headers() const = 0;
    // Set after the end of the body.
    virtual const Headers& trailers() const = 0;
    // At least a byte; nullopt at the end. Unavailable when the connection broke, Cancelled after
    // cancel(). One reader at a time.
    virtual base::Task<std::optional<std::string>> read_some() = 0;
    virtual void cancel() = 0;

  protected:
    ResponseStream() = default;
};

class HttpClient {
  public:
    HttpClient(base::Loop& loop, ClientOptions options);
    // Fails what is under way with Cancelled.
    ~HttpClient();
    HttpClient(const HttpClient&) = delete;
    HttpClient& operator=(const HttpClient&) = delete;

    // A whole response, whatever its status. DeadlineExceeded, Unavailable (see
    // maybe_processed()). A request that surely was not processed because a kept connection had
    // gone stale is sent again once. `request.target` is the path; "host" is filled in.
    base::Task<Response> send(Request request, base::Millis deadline);
    // Returns once the response's headers are in; `deadline` is for these only.
    base::Task<std::shared_ptr<ResponseStream>> open(Request request, base::Millis deadline);
    // Fails what is under way with Cancelled and closes the connections. Later calls fail.
    void close();

  private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
};

struct GrpcChannelOptions {
    std::vector<Endpoint> endpoints;  // at least one; the next is tried when one fails
    std::optional<ClientTls> tls;
    std::string bearer_token;
    std::size_t max_message = std::size_t{64} << 20;  // of a response: ResourceExhausted above
    std::uint32_t stream_window = 4 << 20;
    std::uint32_t connection_window = 64 << 20;
    std::size_t max_queued_per_stream = std::size_t{16} << 20;
    base::Millis connect_timeout{2'000};
    base::Millis backoff_min{50};  // between rounds over all endpoints
    base::Millis backoff_max{3'000};
    base::Millis ping_interval{10'000};
    base::Millis ping_timeout{5'000};
};

// A call with a stream on either side. Dropping it cancels the call.
class GrpcClientStream {
  public:
    virtual ~GrpcClientStream() = default;
    GrpcClientStream(const GrpcClientStream&) = delete;
    GrpcClientStream& operator=(const GrpcClientStream&) = delete;

    // Queues a message; never suspends. ResourceExhausted over the queue's limit, Cancelled or
    // Unavailable when the call is over.
    virtual base::Status write(std::string_view message) = 0;
    // No more messages from this side.
    virtual void half_close() = 0;
    // The next message; nullopt when the call ended with OK; otherwise the call's status as the
    // error. One reader at a time.
    virtual base::Task<std::optional<std::string>> read() = 0;
    virtual void cancel() = 0;
    // Response metadata: headers once the first message or the end is in, trailers at the end.
    virtual const Headers& headers() const = 0;
    virtual const Headers& trailers() const = 0;

  protected:
    GrpcClientStream() = default;
};

// One HTTP/2 connection to one of several endpoints, made at the first call and again when it
// breaks, with backoff. Calls wait for it up to their deadline.
class GrpcChannel {
  public:
    GrpcChannel(base::Loop& loop, GrpcChannelOptions options);
    // Fails what is under way with Cancelled.
    ~GrpcChannel();
    GrpcChannel(const GrpcChannel&) = delete;
    GrpcChannel& operator=(const GrpcChannel&) = delete;

    // A unary call: the response's message, or the call's status as the error. Not sent again by
    // itself once it may have been processed.
    base::Task<std::string> call(std::string path, std::string message, base::Millis deadline,
                                 Headers metadata = {});
    // The same without a coroutine: `done` runs once, on the loop, never inside this call.
    void call_async(std::string path, std::string_view message, base::Millis deadline,
                    const Headers& metadata,
                    base::UniqueFunction<void(base::Result<std::string>)> done);
    // Waits for a connection, up to `connect_deadline`; the stream itself has no deadline.
    base::Task<std::shared_ptr<GrpcClientStream>> open(std::string path,
                                                       base::Millis connect_deadline,
                                                       Headers metadata = {});
    // Drops the present connection and goes on with the next endpoint (the present one answers,
    // but is of no use: not the leader, no quorum). Calls under way fail with Unavailable.
    void rotate();
    // Fails what is under way with Cancelled. Later calls fail.
    void close();
    bool connected() const;
    // The endpoint in use, or that is tried next.
    Endpoint endpoint() const;

  private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
};

}  // namespace net
