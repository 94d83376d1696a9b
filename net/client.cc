#include "net/client.h"

#include <fmt/format.h>

#include <deque>

#include "net/client_impl.h"
#include "net/deadlines.h"

namespace net {

using std::chrono::steady_clock;

// ---- ClientCall

void ClientCall::got_head(int s, Headers h) {
    status = s;
    headers = std::move(h);
    head_done = true;
    wake();
}

void ClientCall::got_end(Headers t) {
    if (over) return;
    over = true;
    trailers = std::move(t);
    inbox.end();
    wake();
}

void ClientCall::fail(base::Error error) {
    if (over) return;
    over = true;
    failure = error;
    inbox.fail(std::move(error));
    wake();
}

void ClientCall::cancel(base::Error error) {
    if (over) return;
    auto self = shared_from_this();
    fail(std::move(error));
    auto hook = std::move(on_cancel);
    on_cancel = nullptr;
    if (hook) hook();
}

void ClientCall::wake() {
    if (!waiter_) return;
    auto waiter = std::move(waiter_);
    waiter_ = nullptr;
    waiter(true);
}

base::Awaitable<void> ClientCall::head() {
    auto self = shared_from_this();
    while (!head_done && !over) {
        auto start = [this](base::UniqueFunction<void(bool)> resolve) {
            waiter_ = std::move(resolve);
        };
        co_await base::suspend<bool>(std::move(start));
    }
}

base::Task<std::optional<std::string>> ClientCall::read() {
    auto self = shared_from_this();
    CO_TRY(auto piece, co_await inbox.take());
    if (piece && on_taken) on_taken(piece->size());
    co_return piece;
}

namespace {

class ResponseHandle final : public ResponseStream {
  public:
    explicit ResponseHandle(std::shared_ptr<ClientCall> call) : call_(std::move(call)) {}
    ~ResponseHandle() override { cancel(); }

    int status() const override { return call_->status; }
    const Headers& headers() const override { return call_->headers; }
    const Headers& trailers() const override { return call_->trailers; }
    base::Task<std::optional<std::string>> read_some() override { return call_->read(); }
    void cancel() override { call_->cancel(base::cancelled("the call was cancelled")); }

  private:
    std::shared_ptr<ClientCall> call_;
};

}  // namespace

// ---- HttpClient

struct HttpClient::Impl : std::enable_shared_from_this<HttpClient::Impl> {
    Impl(base::Loop& l, ClientOptions o) : loop(l), options(std::move(o)), deadlines(l), timer(l) {}

    base::Status prepare();
    void add_fields(Request* request) const;
    void submit(const std::shared_ptr<ClientCall>& call);
    void pump();
    bool place(const std::shared_ptr<ClientCall>& call);
    bool may_connect() const;
    void start_connect();
    void connected(base::Result<std::shared_ptr<Transport>> result);
    void fail_waiting(const base::Error& error);
    void submit_h2(const std::shared_ptr<ClientCall>& call);
    void schedule_pump();
    void tick();
    void close();

    base::Loop& loop;
    ClientOptions options;
    Deadlines deadlines;
    base::Timer timer;
    std::shared_ptr<TlsContext> tls;
    base::SteadyTime reloaded{};
    std::optional<bool> speaks_h2;
    std::shared_ptr<H2ClientConnection> h2;
    std::vector<std::shared_ptr<H2ClientConnection>> h2_old;  // finish their streams
    std::vector<std::shared_ptr<H1ClientConnection>> h1;
    std::vector<std::shared_ptr<ConnectAttempt>> attempts;
    std::deque<std::shared_ptr<ClientCall>> waiting;
    std::size_t connecting = 0;
    bool pump_posted = false;
    bool ticking = false;
    bool closed = false;
};

base::Status HttpClient::Impl::prepare() {
    if (closed) return base::cancelled("the client is closed");
    if (!options.tls) {
        speaks_h2 = options.protocol == Protocol::kHttp2;
    } else if (!tls) {
        std::vector<std::string> alpn;
        if (options.protocol != Protocol::kHttp1) alpn.push_back("h2");
        if (options.protocol != Protocol::kHttp2) alpn.push_back("http/1.1");
        TRY(tls, TlsContext::for_client(*options.tls, alpn));
    }
    if (!ticking) {
        ticking = true;
        const auto period =
            std::clamp(options.ping_timeout / 2, base::Millis(20), base::Millis(1000));
        timer.every(period, [this] { tick(); });
    }
    return {};
}

void HttpClient::Impl::add_fields(Request* request) const {
    Headers& h = request->headers;
    if (!h.has("host")) h.add("host", options.endpoint.to_string());
    if (!h.has("user-agent") && !options.user_agent.empty())
        h.add("user-agent", options.user_agent);
    if (!h.has("authorization") && !options.bearer_token.empty())
        h.add("authorization", "Bearer " + options.bearer_token);
}

void HttpClient::Impl::submit(const std::shared_ptr<ClientCall>& call) {
    std::weak_ptr<Impl> weak = weak_from_this();
    std::weak_ptr<ClientCall> weak_call = call;
    call->on_cancel = [weak, weak_call] {
        auto self = weak.lock();
        auto gone = weak_call.lock();
        if (self && gone) std::erase(self->waiting, gone);
    };
    waiting.push_back(call);
    pump();
}

void HttpClient::Impl::pump() {
    while (!waiting.empty() && !closed) {
        auto call = waiting.front();
        if (!place(call)) break;
    }
    while (!closed && may_connect())
        start_connect();
}

// Takes the first waiting call off and puts it on a connection, if one has room.
bool HttpClient::Impl::place(const std::shared_ptr<ClientCall>& call) {
    if (h2 && h2->usable()) {
        waiting.pop_front();
        submit_h2(call);
        return true;
    }
    // The one used last is the least likely to have gone stale.
    std::shared_ptr<H1ClientConnection> best;
    for (const auto& c : h1)
        if (c->idle() && (!best || c->idle_since() > best->idle_since())) best = c;
    if (!best) return false;
    waiting.pop_front();
    best->run(call);
    return true;
}

bool HttpClient::Impl::may_connect() const {
    if (waiting.empty()) return false;
    if (speaks_h2.value_or(true)) return connecting == 0;
    return connecting < waiting.size() && connecting + h1.size() < options.max_connections;
}

void HttpClient::Impl::start_connect() {
    ++connecting;
    std::weak_ptr<Impl> weak = weak_from_this();
    auto holder = std::make_shared<std::weak_ptr<ConnectAttempt>>();
    auto attempt = connect(loop, options.endpoint, tls, options.connect_timeout,
                           [weak, holder](base::Result<std::shared_ptr<Transport>> result) {
                               auto self = weak.lock();
                               if (!self) {
                                   if (result) result.value()->abort();
                                   return;
                               }
                               std::erase(self->attempts, holder->lock());
                               self->connected(std::move(result));
                           });
    *holder = attempt;
    attempts.push_back(std::move(attempt));
}

void HttpClient::Impl::connected(base::Result<std::shared_ptr<Transport>> result) {
    --connecting;
    if (!result) return fail_waiting(result.error());
    auto transport = std::move(result).value();
    if (closed) return transport->abort();
    if (tls) {
        speaks_h2 = transport->alpn() == "h2";
        if (options.protocol == Protocol::kHttp2 && !*speaks_h2) {
            transport->abort();
            speaks_h2.reset();
            return fail_waiting(
                not_processed(base::unavailable("the server does not speak HTTP/2")));
        }
    }
    std::weak_ptr<Impl> weak = weak_from_this();
    const auto on_change = [weak] {
        if (auto self = weak.lock()) self->schedule_pump();
    };
    if (*speaks_h2) {
        H2ClientConnection::Options o;
        o.stream_window = options.stream_window;
        o.connection_window = options.connection_window;
        o.ping_interval = options.ping_interval;
        o.ping_timeout = options.ping_timeout;
        if (h2) h2_old.push_back(std::move(h2));
        h2 = std::make_shared<H2ClientConnection>(std::move(transport), o);
        h2->begin(on_change);
    } else {
        h1.push_back(std::make_shared<H1ClientConnection>(std::move(transport)));
        h1.back()->begin(on_change);
    }
    pump();
}

void HttpClient::Impl::fail_waiting(const base::Error& error) {
    auto calls = std::move(waiting);
    waiting.clear();
    for (const auto& call : calls)
        call->fail(error);
}

void HttpClient::Impl::submit_h2(const std::shared_ptr<ClientCall>& call) {
    const Request& r = call->request;
    std::vector<nghttp2_nv> fields;
    fields.reserve(r.headers.size() + 4);
    fields.push_back(h2_field(":method", r.method));
    fields.push_back(h2_field(":scheme", tls ? "https" : "http"));
    fields.push_back(h2_field(":authority", r.headers.get("host")));
    fields.push_back(h2_field(":path", r.target));
    for (const auto& [name, value] : r.headers)
        if (name != "host" && name != "connection" && name != "transfer-encoding")
            fields.push_back(h2_field(name, value));
    const bool body = r.body && !r.body->empty();
    call->reused = true;
    auto stream = make_h2_call(call);
    if (const base::Status status = h2->submit(stream, fields, body); !status) {
        call->on_cancel = nullptr;
        call->on_taken = nullptr;
        call->fail(status.error());
        return;
    }
    if (!body) return;
    stream->push_body(r.body);
    stream->end_body(H2ClientStream::kNoTail);
}

// Connections say that they changed from deep inside: look at them from the loop.
void HttpClient::Impl::schedule_pump() {
    if (pump_posted) return;
    pump_posted = true;
    loop.post([weak = weak_from_this()] {
        auto self = weak.lock();
        if (!self) return;
        self->pump_posted = false;
        std::erase_if(self->h1, [](const auto& c) { return c->ended(); });
        std::erase_if(self->h2_old, [](const auto& c) { return c->ended(); });
        if (self->h2 && !self->h2->usable()) {
            if (!self->h2->ended()) {
                self->h2->retire();
                self->h2_old.push_back(self->h2);
            }
            self->h2.reset();
        }
        self->pump();
    });
}

void HttpClient::Impl::tick() {
    auto self = shared_from_this();
    const auto now = steady_clock::now();
    if (tls && now - reloaded > std::chrono::seconds(5)) {
        reloaded = now;
        tls->reload_if_changed();
    }
    if (auto c = h2) c->tick(now);
    const auto old = h2_old;
    for (const auto& c : old)
        c->tick(now);
    const auto all = h1;
    for (const auto& c : all)
        if (c->idle() && now - c->idle_since() > options.idle_timeout)
            c->close(base::cancelled("idle"));
}

void HttpClient::Impl::close() {
    if (closed) return;
    closed = true;
    auto self = shared_from_this();
    const base::Error why = base::cancelled("the client is closed");
    timer.cancel();
    for (const auto& attempt : attempts)
        attempt->cancel();
    attempts.clear();
    fail_waiting(why);
    if (h2) h2->close(why);
    for (const auto& c : h2_old)
        c->close(why);
    const auto all = std::move(h1);
    h1.clear();
    for (const auto& c : all)
        c->close(why);
    deadlines.clear();
}

HttpClient::HttpClient(base::Loop& loop, ClientOptions options)
    : impl_(std::make_shared<Impl>(loop, std::move(options))) {}
HttpClient::~HttpClient() {
    impl_->close();
}
void HttpClient::close() {
    impl_->close();
}

namespace {

bool is_idempotent_read(const std::string& method) {
    return method == "GET" || method == "HEAD" || method == "OPTIONS";
}

}  // namespace

base::Task<std::shared_ptr<ResponseStream>> HttpClient::open(Request request,
                                                             base::Millis deadline) {
    auto impl = impl_;
    CO_TRY_VOID(impl->prepare());
    impl->add_fields(&request);
    const auto until = steady_clock::now() + deadline;
    for (int attempt = 0;; ++attempt) {
        auto call = std::make_shared<ClientCall>(request);
        const auto token = impl->deadlines.add(until, [weak = std::weak_ptr<ClientCall>(call)] {
            if (auto late = weak.lock())
                late->cancel(base::deadline_exceeded("no response in time"));
        });
        impl->submit(call);
        co_await call->head();
        impl->deadlines.drop(token);
        if (call->head_done) {
            std::shared_ptr<ResponseStream> handle = std::make_shared<ResponseHandle>(call);
            co_return handle;
        }
        base::Error error = *call->failure;
        const bool stale = error.code == base::Code::kUnavailable && call->reused &&
                           (!maybe_processed(error) || is_idempotent_read(call->request.method));
        if (!stale || attempt > 0 || impl->closed) co_return error;
    }
}

base::Task<Response> HttpClient::send(Request request, base::Millis deadline) {
    auto impl = impl_;
    const auto until = steady_clock::now() + deadline;
    CO_TRY(auto stream, co_await open(std::move(request), deadline));
    bool late = false;
    const auto token = impl->deadlines.add(until, [&late, weak = std::weak_ptr(stream)] {
        auto live = weak.lock();
        if (!live) return;
        late = true;
        live->cancel();
    });
    Response response;
    response.status = stream->status();
    response.headers = stream->headers();
    std::string body;
    std::optional<base::Error> error;
    for (;;) {
        auto piece = co_await stream->read_some();
        if (!piece) {
            error =
                late ? base::deadline_exceeded("the response did not end in time") : piece.error();
            break;
        }
        if (!*piece) break;
        if (body.size() + (*piece)->size() > impl->options.max_response_bytes) {
            error = base::Error(
                base::Code::kResourceExhausted,
                fmt::format("the response is over {} bytes", impl->options.max_response_bytes));
            break;
        }
        if (body.empty())
            body = std::move(**piece);
        else
            body += **piece;
    }
    impl->deadlines.drop(token);
    if (error) co_return *error;
    response.body = share(std::move(body));
    co_return response;
}

}  // namespace net
