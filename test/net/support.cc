#include "test/net/support.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "base/file.h"
#include "base/random.h"

namespace net::test {

namespace {

void put(const KeyPair& pair, const std::string& prefix) {
    CHECK(write_key_pair(pair, prefix).has_value());
}

Pki make_pki() {
    Pki p;
    p.ca = make_ca("test-ca").value();
    const KeyPair other = make_ca("other-ca").value();
    CertificateSpec server;
    server.common_name = "server";
    server.dns_names = {"localhost"};
    server.ip_addresses = {"127.0.0.1", "::1"};
    server.server = true;
    p.server = issue_certificate(p.ca, server).value();
    CertificateSpec client;
    client.common_name = "alice";
    client.organizations = {"dev", "ops"};
    client.client = true;
    p.alice = issue_certificate(p.ca, client).value();
    p.stranger = issue_certificate(other, client).value();
    p.dir = std::filesystem::temp_directory_path() / ("net-test-" + base::random_uuid());
    std::filesystem::create_directory(p.dir);
    put(p.ca, p.dir + "/ca");
    put(p.server, p.dir + "/server");
    put(p.alice, p.dir + "/alice");
    put(p.stranger, p.dir + "/stranger");
    static const std::string* const kDir = new std::string(p.dir);  // outlives the statics
    std::atexit([] { shell("rm -rf " + *kDir); });
    return p;
}

}  // namespace

const Pki& pki() {
    static const Pki p = make_pki();
    return p;
}

ServerTls server_tls(ClientAuth auth) {
    ServerTls tls;
    tls.certificate = PemSource::from_text(pki().server.certificate);
    tls.key = PemSource::from_text(pki().server.key);
    tls.client_ca = PemSource::from_text(pki().ca.certificate);
    tls.client_auth = auth;
    return tls;
}

ClientTls client_tls(const KeyPair* identity) {
    ClientTls tls;
    tls.ca = PemSource::from_text(pki().ca.certificate);
    if (identity) {
        tls.certificate = PemSource::from_text(identity->certificate);
        tls.key = PemSource::from_text(identity->key);
    }
    return tls;
}

namespace {

std::size_t number(const Exchange& e, std::string_view name, std::size_t otherwise) {
    const auto mark = e.target().find('?');
    if (mark == std::string_view::npos) return otherwise;
    const QueryParams params = parse_query(e.target().substr(mark + 1));
    const auto value = query_value(params, name);
    return value ? static_cast<std::size_t>(std::atoll(std::string(*value).c_str())) : otherwise;
}

base::Awaitable<void> echo(std::shared_ptr<Exchange> e) {
    auto body = co_await e->read_body(1 << 20);
    if (body)
        e->respond(Response::of(200, std::move(*body)));
    else if (body.error().code == base::Code::kResourceExhausted)
        e->respond(Response::of(413, "too much\n"));
}

// `n` pieces of `size` bytes, with back-pressure.
base::Awaitable<void> stream(std::shared_ptr<Exchange> e, Seen* seen) {
    const std::size_t n = number(*e, "n", 3);
    const std::size_t size = number(*e, "size", 5);
    e->start(200, Headers{{"content-type", "text/plain"}});
    const SharedBytes piece = share(std::string(size, 'x'));
    for (std::size_t i = 0; i < n; ++i) {
        if (!e->write(piece)) co_return;
        seen->peak = std::max(seen->peak.load(), e->queued_bytes());
        auto room = co_await e->drained(256 << 10);
        if (!room) co_return;
    }
    Headers trailers{{"x-count", std::to_string(n)}};
    e->finish(std::move(trailers));
}

// Writes without waiting until the queue is full; then cuts the reader off.
base::Awaitable<void> flood(std::shared_ptr<Exchange> e, Seen* seen) {
    e->start(200, {});
    const SharedBytes piece = share(std::string(64 << 10, 'x'));
    for (int i = 0; i < 100000; ++i) {
        const base::Status status = e->write(piece);
        seen->peak = std::max(seen->peak.load(), e->queued_bytes());
        if (!status) {
            if (status.error().code == base::Code::kResourceExhausted) ++seen->exhausted;
            e->reset(ResetCode::kEnhanceYourCalm);
            co_return;
        }
        if (i % 16 == 0) (void)co_await base::sleep_for(base::Millis(1));
    }
    e->finish();
}

base::Awaitable<void> watch(std::shared_ptr<Exchange> e, Seen* seen) {
    e->on_close([seen] { ++seen->closed; });
    e->start(200, {});
    while (!e->closed()) {
        if (!e->write(share("tick\n"))) break;
        (void)co_await base::sleep_for(base::Millis(10));
        if (e->draining()) {
            (void)e->write(share("bye\n"));
            e->finish();
        }
    }
}

base::Awaitable<void> duplex(std::shared_ptr<Exchange> e, Seen* seen) {
    e->start(200, {});
    for (;;) {
        auto piece = co_await e->read_some();
        if (!piece) {
            if (piece.error().code == base::Code::kCancelled) ++seen->cancelled;
            co_return;
        }
        if (!*piece) break;
        (void)e->write(share(std::move(**piece)));
    }
    e->finish();
}

base::Awaitable<void> slow(std::shared_ptr<Exchange> e, Seen* seen) {
    e->on_close([seen] { ++seen->closed; });
    const auto ms = number(*e, "ms", 200);
    (void)co_await base::sleep_for(base::Millis(ms));
    e->respond(Response::of(200, "slow\n"));
}

base::Awaitable<void> route(std::shared_ptr<Exchange> e, Seen* seen) {
    const Request& r = e->request();
    const std::string path(r.path());
    if (path == "/hello") {
        e->respond(Response::of(200, "hello\n"));
    } else if (path == "/echo") {
        co_await echo(e);
    } else if (path == "/stream") {
        co_await stream(e, seen);
    } else if (path == "/flood") {
        co_await flood(e, seen);
    } else if (path == "/watch") {
        co_await watch(e, seen);
    } else if (path == "/duplex") {
        co_await duplex(e, seen);
    } else if (path == "/slow") {
        co_await slow(e, seen);
    } else if (path == "/throw") {
        throw std::runtime_error("on purpose");
    } else if (path == "/silent") {
        co_return;
    } else if (path == "/nothing") {
        Response answer;
        answer.status = 204;
        e->respond(std::move(answer));
    } else if (path == "/whoami") {
        std::string text = "nobody";
        if (const auto& peer = r.peer) {
            text = peer->common_name + (peer->verified ? " verified" : " unverified");
            for (const std::string& o : peer->organizations)
                text += " " + o;
        }
        e->respond(Response::of(200, text + "\n"));
    } else if (path == "/version") {
        e->respond(Response::of(200, r.version == HttpVersion::kHttp2 ? "2" : "1"));
    } else {
        e->respond(Response::of(404, "no such path\n"));
    }
}

base::Awaitable<void> counted_route(std::shared_ptr<Exchange> e, Seen* seen) {
    ++seen->running;
    try {
        co_await route(e, seen);
    } catch (...) {
        --seen->running;
        throw;
    }
    --seen->running;
}

base::Awaitable<void> grpc_chat(std::shared_ptr<GrpcStream> s, Seen* seen) {
    s->on_close([seen] { ++seen->closed; });
    for (;;) {
        auto message = co_await s->read();
        if (!message) {
            if (message.error().code == base::Code::kCancelled) ++seen->cancelled;
            co_return s->finish(message.error());
        }
        if (!*message) break;
        if (**message == "fail")
            co_return s->finish(base::Error(base::Code::kOutOfRange, "as you wish: 100 % ü"));
        if (!s->write("re: " + **message)) co_return;
    }
    s->finish();
}

base::Awaitable<void> grpc_count(std::shared_ptr<GrpcStream> s) {
    auto first = co_await s->read();
    if (!first || !*first) co_return s->finish(base::invalid_argument("no message"));
    const int n = std::atoi((*first)->c_str());
    for (int i = 0; i < n; ++i) {
        if (!s->write(std::to_string(i))) co_return;
        auto room = co_await s->drained(64 << 10);
        if (!room) co_return;
    }
    s->finish();
}

void add_methods(GrpcService& grpc, Seen* seen) {
    grpc.unary("/t.T/Echo", [](std::shared_ptr<GrpcCall> call, std::string_view message) {
        call->respond(message);
    });
    grpc.unary("/t.T/Fail", [](std::shared_ptr<GrpcCall> call, std::string_view message) {
        call->fail(base::Error(base::Code::kFailedPrecondition, std::string(message)));
    });
    grpc.unary("/t.T/Token", [](std::shared_ptr<GrpcCall> call, std::string_view) {
        call->respond(call->metadata("token"));
    });
    grpc.unary("/t.T/Drop", [](std::shared_ptr<GrpcCall>, std::string_view) {});
    grpc.unary("/t.T/Never", [seen](std::shared_ptr<GrpcCall> call, std::string_view) {
        call->on_close([seen] { ++seen->closed; });
        seen->held.push_back(std::move(call));
    });
    grpc.streaming("/t.T/Chat",
                   [seen](std::shared_ptr<GrpcStream> s) { return grpc_chat(std::move(s), seen); });
    grpc.streaming("/t.T/Count",
                   [](std::shared_ptr<GrpcStream> s) { return grpc_count(std::move(s)); });
}

}  // namespace

TestServer::TestServer(ServerOptions options) : tls_(options.tls.has_value()) {
    loop.start();
    loop.run_and_wait([&] {
        grpc_ = std::make_unique<GrpcService>(loop, 1 << 20);
        add_methods(*grpc_, &seen);
        ServerHandlers http;
        http.on_exchange = [this](std::shared_ptr<Exchange> e) {
            return counted_route(std::move(e), &seen);
        };
        http.wants_whole_body = [](const Exchange& e) { return e.target().starts_with("/fast"); };
        http.on_request = [](const std::shared_ptr<Exchange>& e, std::string_view body) {
            e->respond(Response::of(200, "fast:" + std::string(body)));
        };
        http.whole_body_limit = 100 << 10;
        server_ = std::make_unique<Server>(loop, std::move(options), grpc_->handlers(http));
        auto bound = server_->listen();
        CHECK(bound.has_value(), "{}", bound.error().message);
        port_ = *bound;
    });
}

TestServer::~TestServer() {
    stop(base::Millis(0));
    loop.run_and_wait([&] {
        seen.held.clear();
        server_.reset();
        grpc_.reset();
    });
}

void TestServer::stop(base::Millis drain) {
    run(loop, server_->stop(drain));
}

ServerStats TestServer::stats() {
    ServerStats s;
    loop.run_and_wait([&] { s = server_->stats(); });
    return s;
}

std::string TestServer::url(const std::string& path) const {
    return (tls_ ? "'https://127.0.0.1:" : "'http://127.0.0.1:") + std::to_string(port_) + path +
           "'";
}

std::string shell(const std::string& command) {
    FILE* pipe = ::popen(command.c_str(), "r");
    std::string out;
    char buffer[4096];
    for (std::size_t n; (n = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;)
        out.append(buffer, n);
    ::pclose(pipe);
    return out;
}

std::string curl(const std::string& arguments) {
    return shell("curl -sS --max-time 30 " + arguments + " 2>&1");
}

RawSocket::RawSocket(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
}
RawSocket::~RawSocket() {
    ::close(fd_);
}
void RawSocket::send(std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (n <= 0) return;
        bytes.remove_prefix(static_cast<std::size_t>(n));
    }
}
std::string RawSocket::read_until(std::string_view mark, int timeout_ms) {
    for (;;) {
        const auto at = buffer_.find(mark);
        if (!mark.empty() && at != std::string::npos) {
            std::string out = buffer_.substr(0, at + mark.size());
            buffer_.erase(0, at + mark.size());
            return out;
        }
        pollfd p{fd_, POLLIN, 0};
        char chunk[65536];
        ssize_t n = 0;
        if (::poll(&p, 1, timeout_ms) > 0) n = ::recv(fd_, chunk, sizeof chunk, 0);
        if (n <= 0) return std::exchange(buffer_, {});
        buffer_.append(chunk, static_cast<std::size_t>(n));
    }
}
std::string RawSocket::read_all(int timeout_ms) {
    std::string out = std::exchange(buffer_, {});
    for (;;) {
        pollfd p{fd_, POLLIN, 0};
        char chunk[65536];
        if (::poll(&p, 1, timeout_ms) <= 0) {
            ADD_FAILURE() << "the peer does not close; so far: " << out.substr(0, 500);
            return out;
        }
        const ssize_t n = ::recv(fd_, chunk, sizeof chunk, 0);
        if (n <= 0) return out;
        out.append(chunk, static_cast<std::size_t>(n));
    }
}
bool RawSocket::closed_within(int timeout_ms) {
    char chunk[65536];
    for (;;) {
        pollfd p{fd_, POLLIN, 0};
        if (::poll(&p, 1, timeout_ms) <= 0) return false;
        if (::recv(fd_, chunk, sizeof chunk, 0) <= 0) return true;
    }
}
void RawSocket::half_close() {
    ::shutdown(fd_, SHUT_WR);
}
void RawSocket::shrink_receive_buffer() {
    const int size = 4096;
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
}

}  // namespace net::test
