// The client's half of gRPC: calls on an HTTP/2 connection that is made again when it breaks.

#include <fmt/format.h>

#include <charconv>
#include <list>

#include "base/random.h"
#include "net/client_impl.h"
#include "net/deadlines.h"
#include "net/grpc.h"
#include "net/message_inbox.h"

namespace net {

using std::chrono::steady_clock;

namespace {

base::Code code_of_http(int status) {
    switch (status) {
        case 400:
            return base::Code::kInternal;
        case 401:
            return base::Code::kUnauthenticated;
        case 403:
            return base::Code::kPermissionDenied;
        case 404:
            return base::Code::kUnimplemented;
        case 429:
        case 502:
        case 503:
        case 504:
            return base::Code::kUnavailable;
        default:
            return base::Code::kUnknown;
    }
}

// The call's status from the fields that must carry it.
base::Status status_of(const Headers& fields, int http_status) {
    const std::string_view text = fields.get("grpc-status");
    if (text.empty()) {
        if (http_status != 200)
            return base::Error(code_of_http(http_status),
                               fmt::format("HTTP status {}", http_status));
        return base::internal_error("the server ended the call without a status");
    }
    int code = static_cast<int>(base::Code::kUnknown);
    std::from_chars(text.data(), text.data() + text.size(), code);
    if (code == 0) return {};
    if (code < 0 || code > static_cast<int>(base::Code::kUnauthenticated))
        code = static_cast<int>(base::Code::kUnknown);
    return base::Error(static_cast<base::Code>(code),
                       grpc_decode_message(fields.get("grpc-message")));
}

// What unary calls and streams share: status from headers and trailers.
class Call : public H2ClientStream {
  public:
    Call(std::string p, Headers m) : path(std::move(p)), metadata(std::move(m)) {}

    // The call is on a connection now; or it never will be.
    virtual void begin() = 0;
    virtual void fail(base::Error error) = 0;

    std::string path;
    Headers metadata;
    std::string timeout;  // grpc-timeout's value
    Headers head_fields;
    Headers trailer_fields;
    std::optional<Deadlines::Token> deadline;
    std::list<std::shared_ptr<Call>>::iterator waiting_place;
    bool waiting = false;

  protected:
    void on_head(int status, Headers headers) override {
        http_status_ = status;
        head_fields = std::move(headers);
    }
    base::Status final_status(const base::Status& transport, Headers trailers) {
        if (!transport) return transport;
        trailer_fields = std::move(trailers);
        return status_of(trailer_fields.has("grpc-status") ? trailer_fields : head_fields,
                         http_status_);
    }

  private:
    int http_status_ = 0;
};

class UnaryCall final : public Call {
  public:
    using Done = base::UniqueFunction<void(base::Result<std::string>)>;

    UnaryCall(std::string p, Headers m, SharedBytes frame, std::size_t limit, Done done)
        : Call(std::move(p), std::move(m)),
          frame_(std::move(frame)),
          limit_(limit),
          done_(std::move(done)) {}

    void begin() override {
        push_body(std::move(frame_));
        end_body(kNoTail);
    }
    void fail(base::Error error) override {
        if (!done_) return;
        auto keep = shared_from_this();
        auto done = std::move(done_);
        done_ = nullptr;
        if (on_over) on_over(*this);
        cancel_stream();
        done(std::move(error));
    }
    void on_chunk(std::string_view bytes) override {
        count_unread(bytes.size());
        taken(bytes.size());
        if (body_.size() + bytes.size() > limit_ + kGrpcPrefix)
            return fail({base::Code::kResourceExhausted,
                         fmt::format("a message is over the limit of {} bytes", limit_)});
        body_.append(bytes);
    }

    base::UniqueFunction<void(Call&)> on_over;

  private:
    void on_closed(base::Status status, Headers trailers) override {
        if (!done_) return;
        const base::Status final = final_status(status, std::move(trailers));
        if (!final) return fail(final.error());
        std::string_view rest = body_;
        auto message = grpc_take_frame(&rest, limit_);
        if (!message) return fail(message.error());
        if (!*message || !rest.empty())
            return fail(base::internal_error("the server's answer is not one message"));
        auto done = std::move(done_);
        done_ = nullptr;
        if (on_over) on_over(*this);
        body_.erase(0, kGrpcPrefix);
        done(std::move(body_));
    }

    SharedBytes frame_;
    std::string body_;
    std::size_t limit_;
    Done done_;
};

class StreamCall final : public Call {
  public:
    using Ready = base::UniqueFunction<void(base::Status)>;

    StreamCall(std::string p, Headers m, std::size_t limit, std::size_t queue_limit, Ready ready)
        : Call(std::move(p), std::move(m)),
          inbox_(limit, [this](std::size_t bytes) { taken(bytes); }),
          queue_limit_(queue_limit),
          ready_(std::move(ready)) {}

    void begin() override { tell_ready({}); }
    void fail(base::Error error) override {
        auto keep = shared_from_this();
        if (over_) return;
        over_ = true;
        inbox_.fail(error);
        cancel_stream();
        tell_ready(std::move(error));
    }
    void on_chunk(std::string_view bytes) override {
        count_unread(bytes.size());
        if (over_)
            taken(bytes.size());
        else
            inbox_.push(bytes);
    }

    base::Status write(std::string_view message) {
        if (over_ || half_closed_ || !stream_session())
            return base::cancelled("the call takes no more messages");
        if (stream_queued() + message.size() > queue_limit_)
            return base::Error(base::Code::kResourceExhausted, "the server reads too slowly");
        push_body(share(grpc_frame(message)));
        return {};
    }
    void half_close() {
        half_closed_ = true;
        end_body(kNoTail);
    }
    base::Task<std::optional<std::string>> read() {
        auto keep = shared_from_this();
        co_return co_await inbox_.take();
    }

  private:
    void on_closed(base::Status status, Headers trailers) override {
        if (over_) return;
        over_ = true;
        const base::Status final = final_status(status, std::move(trailers));
        if (final)
            inbox_.finish();
        else
            inbox_.fail(final.error());
    }
    void tell_ready(base::Status status) {
        if (!ready_) return;
        auto ready = std::move(ready_);
        ready_ = nullptr;
        ready(std::move(status));
    }

    MessageInbox inbox_;
    std::size_t queue_limit_;
    Ready ready_;
    bool over_ = false;
    bool half_closed_ = false;
};

class StreamHandle final : public GrpcClientStream {
  public:
    explicit StreamHandle(std::shared_ptr<StreamCall> call) : call_(std::move(call)) {}
    ~StreamHandle() override { cancel(); }

    base::Status write(std::string_view message) override { return call_->write(message); }
    void half_close() override { call_->half_close(); }
    base::Task<std::optional<std::string>> read() override { return call_->read(); }
    void cancel() override { call_->fail(base::cancelled("the call was cancelled")); }
    const Headers& headers() const override { return call_->head_fields; }
    const Headers& trailers() const override { return call_->trailer_fields; }

  private:
    std::shared_ptr<StreamCall> call_;
};

}  // namespace

struct GrpcChannel::Impl : std::enable_shared_from_this<GrpcChannel::Impl> {
    Impl(base::Loop& l, GrpcChannelOptions o)
        : loop(l),
          options(std::move(o)),
          deadlines(l),
          timer(l),
          backoff(l),
          random(base::entropy64()) {
        CHECK(!options.endpoints.empty());
    }

    void submit(const std::shared_ptr<Call>& call, base::Millis deadline);
    void start(const std::shared_ptr<Call>& call);
    void expire(Call& call);
    void pump();
    void connect_next();
    void connected(base::Result<std::shared_ptr<Transport>> result);
    void endpoint_failed(const base::Error& error);
    void connection_changed();
    void fail_waiting(const base::Error& error);
    void unlist(Call& call);
    void drop_connection(const base::Error& why);
    void close();

    base::Loop& loop;
    GrpcChannelOptions options;
    Deadlines deadlines;
    base::Timer timer;
    base::Timer backoff;
    base::Random random;
    std::shared_ptr<TlsContext> tls;
    std::shared_ptr<H2ClientConnection> connection;
    std::shared_ptr<ConnectAttempt> attempt;
    std::list<std::shared_ptr<Call>> waiting;
    std::size_t index = 0;     // the endpoint in use
    std::size_t failures = 0;  // endpoints that failed since one worked
    base::Error last_error = base::unavailable("not connected yet");
    bool backing_off = false;
    bool change_posted = false;
    bool ticking = false;
    bool closed = false;
};

void GrpcChannel::Impl::submit(const std::shared_ptr<Call>& call, base::Millis deadline) {
    std::weak_ptr<Call> weak = call;
    call->deadline = deadlines.add(steady_clock::now() + deadline, [this, weak] {
        if (auto late = weak.lock()) expire(*late);
    });
    call->waiting_place = waiting.insert(waiting.end(), call);
    call->waiting = true;
    pump();
}

void GrpcChannel::Impl::expire(Call& call) {
    const bool was_waiting = call.waiting;
    unlist(call);
    if (was_waiting)
        call.fail(not_processed(base::unavailable(
            fmt::format("no connection before the deadline: {}", last_error.message))));
    else
        call.fail(base::deadline_exceeded("the call's deadline has passed"));
}

void GrpcChannel::Impl::unlist(Call& call) {
    if (call.deadline) deadlines.drop(*call.deadline);
    call.deadline.reset();
    if (!call.waiting) return;
    call.waiting = false;
    waiting.erase(call.waiting_place);
}

void GrpcChannel::Impl::start(const std::shared_ptr<Call>& call) {
    const std::string authority = options.endpoints[index].to_string();
    const std::string bearer = "Bearer " + options.bearer_token;
    std::vector<nghttp2_nv> fields;
    fields.reserve(call->metadata.size() + 9);
    fields.push_back(h2_field(":method", "POST"));
    fields.push_back(h2_field(":scheme", tls ? "https" : "http"));
    fields.push_back(h2_field(":path", call->path));
    fields.push_back(h2_field(":authority", authority));
    fields.push_back(h2_field("content-type", "application/grpc"));
    fields.push_back(h2_field("te", "trailers"));
    fields.push_back(h2_field("user-agent", "coxswain"));
    if (!call->timeout.empty()) fields.push_back(h2_field("grpc-timeout", call->timeout));
    if (!options.bearer_token.empty() && !call->metadata.has("authorization"))
        fields.push_back(h2_field("authorization", bearer));
    for (const auto& [name, value] : call->metadata)
        fields.push_back(h2_field(name, value));
    if (const base::Status status = connection->submit(call, fields, true); !status) {
        unlist(*call);
        loop.post([call, error = status.error()] { call->fail(error); });
        return;
    }
    call->begin();
}

void GrpcChannel::Impl::pump() {
    if (closed) return;
    while (connection && connection->usable() && !waiting.empty()) {
        auto call = waiting.front();
        waiting.pop_front();
        call->waiting = false;
        start(call);
    }
    if (!waiting.empty() && !attempt && !backing_off) connect_next();
}

void GrpcChannel::Impl::connect_next() {
    if (options.tls && !tls) {
        auto made = TlsContext::for_client(*options.tls, {"h2"});
        if (!made) {
            loop.post([self = shared_from_this(), error = not_processed(made.error())] {
                self->fail_waiting(error);
            });
            return;
        }
        tls = std::move(made).value();
    }
    if (tls) tls->reload_if_changed();
    std::weak_ptr<Impl> weak = weak_from_this();
    attempt = connect(loop, options.endpoints[index], tls, options.connect_timeout,
                      [weak](base::Result<std::shared_ptr<Transport>> result) {
                          auto self = weak.lock();
                          if (self && !self->closed) return self->connected(std::move(result));
                          if (result) result.value()->abort();
                      });
}

void GrpcChannel::Impl::connected(base::Result<std::shared_ptr<Transport>> result) {
    attempt.reset();
    if (!result) return endpoint_failed(result.error());
    auto transport = std::move(result).value();
    if (tls && transport->alpn() != "h2") {
        transport->abort();
        return endpoint_failed(base::unavailable(
            fmt::format("{} does not speak HTTP/2", options.endpoints[index].to_string())));
    }
    H2ClientConnection::Options o;
    o.stream_window = options.stream_window;
    o.connection_window = options.connection_window;
    o.ping_interval = options.ping_interval;
    o.ping_timeout = options.ping_timeout;
    connection = std::make_shared<H2ClientConnection>(std::move(transport), o);
    std::weak_ptr<Impl> weak = weak_from_this();
    connection->begin([weak] {
        auto self = weak.lock();
        if (!self || self->change_posted) return;
        self->change_posted = true;
        self->loop.post([weak] {
            if (auto live = weak.lock()) live->connection_changed();
        });
    });
    if (!ticking) {
        ticking = true;
        timer.every(std::clamp(options.ping_timeout / 2, base::Millis(20), base::Millis(1000)),
                    [this] {
                        if (auto c = connection) c->tick(steady_clock::now());
                    });
    }
    pump();
}

void GrpcChannel::Impl::connection_changed() {
    change_posted = false;
    if (closed || !connection || connection->usable()) return;
    const bool heard = connection->heard();
    if (!connection->ended()) {
        connection->retire();
        last_error = base::unavailable("the server is shutting down");
    } else {
        last_error = connection->end_error();
    }
    connection.reset();
    if (heard) failures = 0;
    endpoint_failed(last_error);
}

// Goes on with the next endpoint; after a round over all of them, a pause.
void GrpcChannel::Impl::endpoint_failed(const base::Error& error) {
    last_error = error;
    index = (index + 1) % options.endpoints.size();
    ++failures;
    if (failures % options.endpoints.size() != 0) return pump();
    const std::size_t round = std::min<std::size_t>(failures / options.endpoints.size(), 10);
    auto wait = std::min(options.backoff_min * (1 << (round - 1)), options.backoff_max);
    wait = wait / 2 + base::Millis(random.below(static_cast<std::uint64_t>(wait.count() / 2 + 1)));
    backing_off = true;
    backoff.after(wait, [this] {
        auto self = shared_from_this();
        backing_off = false;
        pump();
    });
}

void GrpcChannel::Impl::fail_waiting(const base::Error& error) {
    while (!waiting.empty()) {
        auto call = waiting.front();
        unlist(*call);
        call->fail(error);
    }
}

void GrpcChannel::Impl::drop_connection(const base::Error& why) {
    if (attempt) attempt->cancel();
    attempt.reset();
    if (auto old = std::move(connection)) old->close(why);
    connection.reset();
}

void GrpcChannel::Impl::close() {
    if (closed) return;
    auto self = shared_from_this();
    closed = true;
    timer.cancel();
    backoff.cancel();
    const base::Error why = base::cancelled("the channel is closed");
    drop_connection(why);
    fail_waiting(not_processed(why));
    deadlines.clear();
}

GrpcChannel::GrpcChannel(base::Loop& loop, GrpcChannelOptions options)
    : impl_(std::make_shared<Impl>(loop, std::move(options))) {}
GrpcChannel::~GrpcChannel() {
    impl_->close();
}

void GrpcChannel::call_async(std::string path, std::string_view message, base::Millis deadline,
                             const Headers& metadata,
                             base::UniqueFunction<void(base::Result<std::string>)> done) {
    if (impl_->closed) {
        impl_->loop.post([done = std::move(done)]() mutable {
            done(not_processed(base::cancelled("the channel is closed")));
        });
        return;
    }
    auto call = std::make_shared<UnaryCall>(std::move(path), metadata, share(grpc_frame(message)),
                                            impl_->options.max_message, std::move(done));
    call->timeout = grpc_format_timeout(deadline);
    call->on_over = [weak = std::weak_ptr<Impl>(impl_)](Call& over) {
        if (auto impl = weak.lock()) impl->unlist(over);
    };
    impl_->submit(call, deadline);
}

base::Task<std::string> GrpcChannel::call(std::string path, std::string message,
                                          base::Millis deadline, Headers metadata) {
    auto impl = impl_;
    auto start = [&](base::UniqueFunction<void(base::Result<std::string>)> resolve) {
        call_async(std::move(path), message, deadline, metadata, std::move(resolve));
    };
    co_return co_await base::suspend<base::Result<std::string>>(std::move(start));
}

base::Task<std::shared_ptr<GrpcClientStream>> GrpcChannel::open(std::string path,
                                                                base::Millis connect_deadline,
                                                                Headers metadata) {
    auto impl = impl_;
    if (impl->closed) co_return not_processed(base::cancelled("the channel is closed"));
    std::shared_ptr<StreamCall> call;
    auto start = [&](base::UniqueFunction<void(base::Status)> resolve) {
        call = std::make_shared<StreamCall>(
            std::move(path), std::move(metadata), impl->options.max_message,
            impl->options.max_queued_per_stream, std::move(resolve));
        impl->submit(call, connect_deadline);
    };
    const base::Status status = co_await base::suspend<base::Status>(std::move(start));
    impl->unlist(*call);
    if (!status) co_return status.error();
    std::shared_ptr<GrpcClientStream> handle = std::make_shared<StreamHandle>(call);
    co_return handle;
}

void GrpcChannel::rotate() {
    if (impl_->closed) return;
    impl_->drop_connection(base::unavailable("the channel goes on with another endpoint"));
    impl_->index = (impl_->index + 1) % impl_->options.endpoints.size();
    impl_->pump();
}

void GrpcChannel::close() {
    impl_->close();
}
bool GrpcChannel::connected() const {
    return impl_->connection && impl_->connection->usable();
}
Endpoint GrpcChannel::endpoint() const {
    return impl_->options.endpoints[impl_->index];
}

}  // namespace net
