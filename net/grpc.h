#pragma once
// gRPC over HTTP/2, the server's half (gRPC's PROTOCOL-HTTP2): a table of methods that becomes a
// server's handlers, beside other HTTP on the same port. Messages are bytes; encoding is the
// caller's. base::Code and gRPC's status codes are the same numbers. Loop's thread only.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/coro.h"
#include "net/server.h"

namespace net {

// A message with its 5-byte prefix. The second form writes the prefix into the first five bytes of
// `frame`, for senders who left room for it and serialized behind: no further copy.
std::string grpc_frame(std::string_view message);
inline constexpr std::size_t kGrpcPrefix = 5;
// `more`: bytes of the message that follow the frame in further pieces.
void grpc_fill_prefix(std::string* frame, std::size_t more = 0);
// Writes kGrpcPrefix bytes at `at`.
void grpc_write_prefix(char* at, std::size_t message_size);
// Takes a framed message off the front; nullopt when it is not complete yet. Unimplemented for a
// compressed one, ResourceExhausted for one of more than `limit` bytes.
base::Result<std::optional<std::string_view>> grpc_take_frame(std::string_view* bytes,
                                                              std::size_t limit);
// grpc-message's percent encoding.
std::string grpc_encode_message(std::string_view text);
std::string grpc_decode_message(std::string_view text);
// "100m" → 100 ms. nullopt when malformed.
std::optional<base::Millis> grpc_parse_timeout(std::string_view text);
std::string grpc_format_timeout(base::Millis timeout);

// Is told of every call, for metrics. Lives as long as the process.
class GrpcObserver {
  public:
    virtual ~GrpcObserver() = default;
    // A method was added; the number that it has below.
    virtual std::size_t add(std::string_view path) = 0;
    virtual void started(std::size_t method) = 0;
    // Once a call, also when the client went away (Cancelled). `code`: gRPC's number, 0 for OK.
    virtual void handled(std::size_t method, int code) = 0;
    // A message of so many bytes.
    virtual void received(std::size_t method, std::size_t bytes) = 0;
    virtual void sent(std::size_t method, std::size_t bytes) = 0;
};

// A call's line to the observer.
class GrpcWitness {
  public:
    GrpcWitness() = default;
    GrpcWitness(GrpcObserver* observer, std::size_t method) : observer_(observer), method_(method) {
        if (observer_ != nullptr) observer_->started(method_);
    }
    GrpcWitness(GrpcWitness&& other) noexcept
        : observer_(std::exchange(other.observer_, nullptr)), method_(other.method_) {}
    GrpcWitness& operator=(GrpcWitness&& other) noexcept {
        observer_ = std::exchange(other.observer_, nullptr);
        method_ = other.method_;
        return *this;
    }
    ~GrpcWitness() { handled(static_cast<int>(base::Code::kCancelled)); }
    void received(std::size_t bytes) {
        if (observer_ != nullptr) observer_->received(method_, bytes);
    }
    void sent(std::size_t bytes) {
        if (observer_ != nullptr) observer_->sent(method_, bytes);
    }
    void handled(int code) {
        if (auto* observer = std::exchange(observer_, nullptr)) observer->handled(method_, code);
    }

  private:
    GrpcObserver* observer_ = nullptr;
    std::size_t method_ = 0;
};

// A unary call. Answer once, during the handler or later; dropping it unanswered answers Internal.
class GrpcCall {
  public:
    explicit GrpcCall(std::shared_ptr<Exchange> exchange);
    ~GrpcCall();
    GrpcCall(const GrpcCall&) = delete;
    GrpcCall& operator=(const GrpcCall&) = delete;

    std::string_view path() const { return exchange_->target(); }
    // Request metadata; `name` in lower case; "" when there is none.
    std::string_view metadata(std::string_view name) const { return exchange_->header(name); }
    const std::shared_ptr<const PeerIdentity>& peer() const { return exchange_->peer(); }
    // From grpc-timeout. When it passes, the call is answered DeadlineExceeded and on_close runs.
    std::optional<base::SteadyTime> deadline() const { return deadline_; }

    void respond(std::string_view message);
    // `frame` begins with kGrpcPrefix bytes of room, see grpc_fill_prefix.
    void respond_frame(std::string frame);
    // The same with the rest of the message in further pieces.
    void respond_frame(std::string frame, std::vector<SharedBytes> rest);
    void fail(const base::Error& error);

    bool closed() const { return answered_ || exchange_->closed(); }
    // The client cancelled, its deadline passed or it is gone.
    void on_close(base::UniqueFunction<void()> f) { exchange_->on_close(std::move(f)); }
    Exchange& exchange() { return *exchange_; }

  private:
    friend class GrpcService;
    std::shared_ptr<Exchange> exchange_;
    std::optional<base::SteadyTime> deadline_;
    std::shared_ptr<void> alarm_;  // drops the deadline's timer
    GrpcWitness witness_;
    bool answered_ = false;
};

// A call with a stream on either side. Kept by shared_ptr; may be written to from outside the
// handler's coroutine. When the coroutine ends without finish() and nothing else holds the stream,
// the call ends with Internal.
class GrpcStream {
  public:
    GrpcStream(std::shared_ptr<Exchange> exchange, std::size_t max_message);
    ~GrpcStream();
    GrpcStream(const GrpcStream&) = delete;
    GrpcStream& operator=(const GrpcStream&) = delete;

    std::string_view path() const { return exchange_->target(); }
    std::string_view metadata(std::string_view name) const { return exchange_->header(name); }
    const std::shared_ptr<const PeerIdentity>& peer() const { return exchange_->peer(); }
    std::optional<base::SteadyTime> deadline() const { return deadline_; }

    // The next message; nullopt when the client has half-closed. Cancelled when it is gone,
    // Unimplemented for a compressed one, ResourceExhausted over the size limit. One reader.
    base::Task<std::optional<std::string>> read();
    // Sends the response headers without waiting for the first message.
    void send_headers(Headers metadata = {});
    // Queues a message; never suspends. Errors as Exchange::write.
    base::Status write(std::string_view message);
    // A message that is framed already (grpc_frame), shared by many streams.
    base::Status write_frame(SharedBytes frame);
    std::size_t queued_bytes() const { return exchange_->queued_bytes(); }
    base::Task<void> drained(std::size_t below) { return exchange_->drained(below); }
    // Ends the call; OK or an error. The first call counts.
    void finish(const base::Status& status = {});

    bool closed() const { return finished_ || exchange_->closed(); }
    bool draining() const { return exchange_->draining(); }
    void on_close(base::UniqueFunction<void()> f) { exchange_->on_close(std::move(f)); }

  private:
    friend class GrpcService;
    std::shared_ptr<Exchange> exchange_;
    std::size_t max_message_;
    std::string buffer_;
    std::size_t buffer_at_ = 0;  // bytes of buffer_ taken already
    std::optional<base::SteadyTime> deadline_;
    std::shared_ptr<void> alarm_;  // drops the deadline's timer
    GrpcWitness witness_;
    bool finished_ = false;
};

class GrpcService {
  public:
    using Unary = std::function<void(std::shared_ptr<GrpcCall>, std::string_view message)>;
    using Streaming = std::function<base::Awaitable<void>(std::shared_ptr<GrpcStream>)>;

    explicit GrpcService(base::Loop& loop, std::size_t max_message = std::size_t{4} << 20);
    ~GrpcService();
    GrpcService(const GrpcService&) = delete;
    GrpcService& operator=(const GrpcService&) = delete;

    // To be set before any method is added; null: nobody is told.
    void observe(GrpcObserver* observer);
    // `path`: "/etcdserverpb.KV/Range". `message` is valid during the call only. All methods are
    // added before handlers() is used.
    void unary(std::string path, Unary handler);
    void streaming(std::string path, Streaming handler);

    // The handlers for a Server: application/grpc requests go to the table (Unimplemented when the
    // path is not in it), everything else to `others`. This object must outlive the server.
    ServerHandlers handlers(ServerHandlers others = {});

  private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
};

}  // namespace net
