#include "net/server.h"

#include <fmt/format.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <ctime>

#include "net/server_impl.h"

namespace net {

namespace asio = boost::asio;
using asio::ip::tcp;
using std::chrono::steady_clock;

namespace {
constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr base::Millis kReloadEvery{2'000};
}  // namespace

void refuse(Exchange& exchange, int status, std::string_view why) {
    exchange.respond(Response::of(status, std::string(why) + "\n"));
}

const std::string& ServerCore::date() {
    const std::time_t now = std::time(nullptr);
    if (now != date_second_) {
        date_second_ = now;
        std::tm parts{};
        gmtime_r(&now, &parts);
        char text[64];
        date_.assign(text, std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts));
    }
    return date_;
}

// ---- ExchangeBase

base::Task<std::string> ExchangeBase::read_body(std::size_t limit) {
    auto self = shared_from_this();
    std::string body;
    for (;;) {
        CO_TRY(auto piece, co_await read_some());
        if (!piece) co_return body;
        if (body.size() + piece->size() > limit)
            co_return base::Error(base::Code::kResourceExhausted,
                                  fmt::format("the request body is over {} bytes", limit));
        if (body.empty())
            body = std::move(*piece);
        else
            body += *piece;
    }
}

base::Task<std::optional<std::string>> ExchangeBase::read_some() {
    auto self = shared_from_this();
    if (!inbox_.over()) body_wanted();
    CO_TRY(auto piece, co_await inbox_.take());
    if (piece) body_taken(piece->size());
    co_return piece;
}

base::Task<void> ExchangeBase::drained(std::size_t below) {
    auto self = shared_from_this();
    below = std::max(below, std::size_t{1});
    while (!over_ && queued_bytes() >= below) {
        auto start = [this, below](base::UniqueFunction<void(bool)> resolve) {
            writers_.push_back({below, std::move(resolve)});
        };
        co_await base::suspend<bool>(std::move(start));
    }
    if (over_) co_return base::cancelled("the exchange is closed");
    co_return base::Status();
}

void ExchangeBase::wake_writers() {
    if (writers_.empty()) return;
    const std::size_t queued = over_ ? 0 : queued_bytes();
    std::erase_if(writers_, [&](Waiter& w) {
        if (queued >= w.below) return false;
        w.wake(true);
        return true;
    });
}

void ExchangeBase::on_close(base::UniqueFunction<void()> f) {
    if (broken_)
        f();
    else if (!over_)
        close_functions_.push_back(std::move(f));
}

void ExchangeBase::interrupt(base::Error why) {
    if (over_) return;
    auto self = shared_from_this();
    broken_ = true;
    inbox_.fail(std::move(why));
    auto functions = std::move(close_functions_);
    close_functions_.clear();
    for (auto& f : functions)
        f();
}

bool ExchangeBase::collect_chunk(std::string_view bytes, std::size_t limit) {
    if (collected_.size() + bytes.size() > limit) return false;
    collected_.append(bytes);
    return true;
}

void ExchangeBase::conclude(bool complete, const base::Error& why) {
    if (over_) return;
    auto self = shared_from_this();
    over_ = true;
    connection_ = nullptr;
    if (!complete) broken_ = true;
    inbox_.fail(why);
    wake_writers();
    auto functions = std::move(close_functions_);
    close_functions_.clear();
    if (!complete)
        for (auto& f : functions)
            f();
}

bool ExchangeBase::connection_draining() const {
    return connection_->draining();
}

// ---- ServerConnection

ServerConnection::ServerConnection(ServerCore& core, std::shared_ptr<Transport> transport)
    : core_(core), transport_(std::move(transport)), since_(steady_clock::now()) {}

void ServerConnection::on_open() {
    peer_ = transport_->peer();
    if (!transport_->tls()) return;  // the first bytes will tell
    if (transport_->alpn() == "h2") protocol_ = make_h2_protocol(*this);
    if (transport_->alpn() == "http/1.1") protocol_ = make_h1_protocol(*this);
}

void ServerConnection::on_data(std::string_view bytes) {
    if (protocol_) return protocol_->on_data(bytes);
    preface_.append(bytes);
    sniff();
}

void ServerConnection::sniff() {
    const std::size_t n = std::min(preface_.size(), kPreface.size());
    const bool like_h2 = std::string_view(preface_).substr(0, n) == kPreface.substr(0, n);
    if (like_h2 && n < kPreface.size()) return;
    protocol_ = like_h2 ? make_h2_protocol(*this) : make_h1_protocol(*this);
    const std::string first = std::move(preface_);
    preface_ = std::string();
    if (draining_) protocol_->drain();
    protocol_->on_data(first);
}

void ServerConnection::on_eof() {
    if (protocol_)
        protocol_->on_eof();
    else
        transport_->close_when_flushed();
}

void ServerConnection::fill(std::string* out) {
    if (protocol_) protocol_->fill(out);
}

void ServerConnection::on_written() {
    if (protocol_) protocol_->on_written();
}

void ServerConnection::on_end(const base::Error& why) {
    auto self = shared_from_this();
    if (protocol_) protocol_->on_end(why);
    core_.closed_bytes_in += transport_->bytes_in();
    core_.closed_bytes_out += transport_->bytes_out();
    core_.connections.erase(place);
    if (core_.connections.empty() && core_.on_empty) core_.on_empty();
}

void ServerConnection::drain() {
    if (draining_) return;
    draining_ = true;
    if (protocol_)
        protocol_->drain();
    else
        transport_->close_when_flushed();
}

void ServerConnection::touch() {
    since_ = steady_clock::now();
    served_ = true;
}

void ServerConnection::tick(base::SteadyTime now) {
    const ServerOptions& o = core_.options;
    const auto stalled = transport_->stalled_since();
    if (stalled && now - *stalled >= o.stall_timeout)
        return transport_->end(base::deadline_exceeded("the peer takes no output"));
    if (active() == 0) {
        const auto limit = served_ ? o.idle_timeout : o.header_timeout;
        if (now - since_ >= limit) {
            if (protocol_ && served_) {
                since_ = now;
                return drain();
            }
            return transport_->end(base::deadline_exceeded("no request in time"));
        }
    }
    if (protocol_ && !protocol_->tick(now))
        transport_->end(base::deadline_exceeded("the peer does not answer"));
}

namespace {

// Answers for a handler that ended without doing so, unless somebody else still holds the exchange.
// `held`: the references that do not count.
void settle(const std::shared_ptr<ExchangeBase>& exchange, long held) {
    if (exchange->closed() || exchange.use_count() > held) return;
    if (!exchange->started())
        refuse(*exchange, 500, "the request was not answered");
    else
        exchange->reset(ResetCode::kInternalError);
}

base::Awaitable<void> run_handler(
    std::function<base::Awaitable<void>(std::shared_ptr<Exchange>)>* handler,
    std::shared_ptr<ExchangeBase> exchange) {
    bool failed = false;
    try {
        co_await (*handler)(exchange);
    } catch (const std::exception& e) {
        failed = true;
        if (!exchange->closed())
            LOG_ERROR("net", "handler of {}: {}", exchange->target(), e.what());
    }
    if (failed && !exchange->closed() && exchange->started())
        exchange->reset(ResetCode::kInternalError);
    else if (failed && !exchange->closed())
        refuse(*exchange, 500, "internal error");
    if (exchange->closed()) co_return;
    // Once what called us has let go of it, too, two references are left: the connection's, ours.
    co_await asio::post(asio::use_awaitable);
    settle(exchange, 2);
}

}  // namespace

bool ServerConnection::dispatch(const std::shared_ptr<ExchangeBase>& exchange) {
    ++core_.requests;
    ServerHandlers& h = core_.handlers;
    if (h.wants_whole_body && h.wants_whole_body(*exchange)) {
        exchange->collect();
        return true;
    }
    if (h.on_exchange)
        core_.tasks.spawn("request", run_handler(&h.on_exchange, exchange));
    else
        refuse(*exchange, 404, "not found");
    return false;
}

void ServerConnection::dispatch_collected(const std::shared_ptr<ExchangeBase>& exchange) {
    core_.handlers.on_request(exchange, exchange->collected());
    settle(exchange, 2);
}

// ---- Server

struct Server::Impl : ServerCore, std::enable_shared_from_this<Server::Impl> {
    Impl(base::Loop& l, ServerOptions o, ServerHandlers h)
        : ServerCore(l, std::move(o), std::move(h)), acceptor(l.context()), timer(l) {}

    base::Result<std::uint16_t> listen();
    void accept();
    void take(tcp::socket socket);
    void tick();

    tcp::acceptor acceptor;
    base::Timer timer;
    std::shared_ptr<TlsContext> tls;
    base::SteadyTime reloaded{};
    std::uint16_t port = 0;
    bool listening = false;
};

base::Result<std::uint16_t> Server::Impl::listen() {
    if (options.tls) {
        TRY(tls, TlsContext::for_server(*options.tls));
    }
    boost::system::error_code ec;
    const auto address = asio::ip::make_address(options.address, ec);
    if (ec)
        return base::invalid_argument(fmt::format("\"{}\" is not an IP address", options.address));
    const tcp::endpoint endpoint(address, options.port);
    const auto failed = [&](const char* what) {
        boost::system::error_code ignored;
        acceptor.close(ignored);
        return base::unavailable(fmt::format("cannot {} {}: {}", what,
                                             Endpoint{options.address, options.port}.to_string(),
                                             ec.message()));
    };
    acceptor.open(endpoint.protocol(), ec);
    if (ec) return failed("open");
    acceptor.set_option(tcp::acceptor::reuse_address(true), ec);
    if (options.reuse_port) {
        const int on = 1;
        ::setsockopt(acceptor.native_handle(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    }
    acceptor.bind(endpoint, ec);
    if (ec) return failed("bind");
    acceptor.listen(4096, ec);
    if (ec) return failed("listen on");
    port = acceptor.local_endpoint(ec).port();
    listening = true;
    reloaded = steady_clock::now();
    accept();
    const base::Millis period = std::clamp(std::min({options.header_timeout, options.idle_timeout,
                                                     options.stall_timeout, options.ping_timeout}) /
                                               4,
                                           base::Millis(20), base::Millis(1000));
    timer.every(period, [this] { tick(); });
    return port;
}

void Server::Impl::accept() {
    acceptor.async_accept(
        [self = shared_from_this()](const boost::system::error_code& ec, tcp::socket socket) {
            if (!self->acceptor.is_open()) return;
            if (!ec) {
                self->take(std::move(socket));
            } else if (ec != asio::error::connection_aborted) {
                // Out of descriptors, most likely: try again when some may have been freed.
                LOG_WARN("net", "{}: cannot accept: {}", self->options.name, ec.message());
                auto wait = std::make_shared<asio::steady_timer>(self->loop.context(),
                                                                 std::chrono::milliseconds(100));
                wait->async_wait([self, wait](const boost::system::error_code&) {
                    if (self->acceptor.is_open()) self->accept();
                });
                return;
            }
            self->accept();
        });
}

void Server::Impl::take(tcp::socket socket) {
    if (connections.size() >= options.max_connections) return;  // closes it
    ++accepted;
    std::unique_ptr<TlsSession> session;
    if (tls) session = std::make_unique<TlsSession>(tls, "");
    auto transport = std::make_shared<Transport>(std::move(socket), std::move(session));
    auto connection = std::make_shared<ServerConnection>(*this, transport);
    connection->place = connections.insert(connections.end(), connection);
    transport->start(connection);
}

void Server::Impl::tick() {
    const auto now = steady_clock::now();
    if (tls && now - reloaded >= kReloadEvery) {
        reloaded = now;
        tls->reload_if_changed();
    }
    for (auto it = connections.begin(); it != connections.end();) {
        auto connection = *it++;  // a tick may end it and take it off the list, but no other
        connection->tick(now);
    }
}

Server::Server(base::Loop& loop, ServerOptions options, ServerHandlers handlers)
    : impl_(std::make_shared<Impl>(loop, std::move(options), std::move(handlers))) {}

Server::~Server() {
    CHECK(!impl_->listening, "stop() of the server {} was not awaited", impl_->options.name);
}

base::Result<std::uint16_t> Server::listen() {
    return impl_->listen();
}
std::uint16_t Server::port() const {
    return impl_->port;
}

base::Awaitable<void> Server::stop(base::Millis drain) {
    auto impl = impl_;
    if (!impl->listening) co_return;
    boost::system::error_code ec;
    impl->acceptor.close(ec);
    impl->draining = true;
    for (auto it = impl->connections.begin(); it != impl->connections.end();) {
        auto connection = *it++;
        connection->drain();
    }
    auto timer = std::make_shared<asio::steady_timer>(impl->loop.context(), drain);
    if (!impl->connections.empty()) {
        impl->on_empty = [timer] { timer->cancel(); };
        co_await timer->async_wait(asio::redirect_error(asio::use_awaitable, ec));
    }
    impl->on_empty = nullptr;
    while (!impl->connections.empty()) {
        auto connection = impl->connections.front();
        connection->transport().end(base::cancelled("the server has stopped"));
    }
    co_await impl->tasks.stop();
    impl->timer.cancel();
    impl->listening = false;
}

ServerStats Server::stats() const {
    ServerStats s;
    s.connections = impl_->connections.size();
    s.accepted = impl_->accepted;
    s.requests = impl_->requests;
    s.bytes_in = impl_->closed_bytes_in;
    s.bytes_out = impl_->closed_bytes_out;
    for (const auto& c : impl_->connections) {
        s.active_exchanges += c->active();
        s.bytes_in += c->transport().bytes_in();
        s.bytes_out += c->transport().bytes_out();
    }
    return s;
}

}  // namespace net
