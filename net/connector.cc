#include "net/connector.h"

#include <fmt/format.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "net/client.h"

namespace net {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

base::Error not_processed(base::Error error) {
    static const auto detail = std::make_shared<const NotProcessed>();
    error.detail = detail;
    return error;
}

bool maybe_processed(const base::Error& error) {
    return dynamic_cast<const NotProcessed*>(error.detail.get()) == nullptr;
}

namespace {

class Attempt final : public ConnectAttempt,
                      public TransportOwner,
                      public std::enable_shared_from_this<Attempt> {
  public:
    using Done = base::UniqueFunction<void(base::Result<std::shared_ptr<Transport>>)>;

    Attempt(base::Loop& loop, Endpoint endpoint, std::shared_ptr<TlsContext> tls, Done done)
        : endpoint_(std::move(endpoint)),
          tls_(std::move(tls)),
          done_(std::move(done)),
          resolver_(loop.context()),
          socket_(loop.context()),
          timer_(loop.context()) {}

    void begin(base::Millis timeout) {
        timer_.expires_after(timeout);
        timer_.async_wait([self = shared_from_this()](const error_code& ec) {
            if (!ec) self->fail("timed out");
        });
        error_code ec;
        const auto address = asio::ip::make_address(endpoint_.host, ec);
        if (!ec) {
            const tcp::endpoint target(address, endpoint_.port);
            socket_.async_connect(
                target, [self = shared_from_this()](const error_code& e) { self->connected(e); });
            return;
        }
        resolver_.async_resolve(
            endpoint_.host, std::to_string(endpoint_.port),
            [self = shared_from_this()](const error_code& e, const tcp::resolver::results_type& r) {
                if (e || !self->done_) return self->fail(e.message());
                asio::async_connect(
                    self->socket_, r,
                    [self](const error_code& e2, const tcp::endpoint&) { self->connected(e2); });
            });
    }

    void cancel() override {
        done_ = nullptr;
        release();
    }

    void on_open() override {
        auto transport = std::move(transport_);
        auto done = std::move(done_);
        done_ = nullptr;
        release();
        if (done)
            done(std::move(transport));
        else if (transport)
            transport->abort();
    }
    void on_data(std::string_view) override {}
    void on_eof() override { fail("connection closed"); }
    void fill(std::string*) override {}
    void on_end(const base::Error& why) override { fail(why.message); }

  private:
    void connected(const error_code& ec) {
        if (!done_) return;
        if (ec) return fail(ec.message());
        std::unique_ptr<TlsSession> session;
        if (tls_) session = std::make_unique<TlsSession>(tls_, endpoint_.host);
        transport_ = std::make_shared<Transport>(std::move(socket_), std::move(session));
        auto transport = transport_;
        transport->start(shared_from_this());
    }

    void fail(const std::string& why) {
        auto done = std::move(done_);
        done_ = nullptr;
        release();
        if (done)
            done(not_processed(base::unavailable(
                fmt::format("cannot connect to {}: {}", endpoint_.to_string(), why))));
    }

    void release() {
        timer_.cancel();
        resolver_.cancel();
        error_code ec;
        socket_.close(ec);
        if (auto transport = std::move(transport_)) transport->abort();
        transport_.reset();
    }

    Endpoint endpoint_;
    std::shared_ptr<TlsContext> tls_;
    Done done_;
    tcp::resolver resolver_;
    tcp::socket socket_;
    asio::steady_timer timer_;
    std::shared_ptr<Transport> transport_;
};

}  // namespace

std::shared_ptr<ConnectAttempt> connect(
    base::Loop& loop, const Endpoint& endpoint, std::shared_ptr<TlsContext> tls,
    base::Millis timeout,
    base::UniqueFunction<void(base::Result<std::shared_ptr<Transport>>)> done) {
    auto attempt = std::make_shared<Attempt>(loop, endpoint, std::move(tls), std::move(done));
    attempt->begin(timeout);
    return attempt;
}

}  // namespace net
