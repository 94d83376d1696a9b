// Bytes from clients: a whole server with gRPC and plain HTTP on one end of a socket pair. It
// answers or closes the connection, whatever it is sent and however it is cut.

#include <nghttp2/nghttp2.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>

#include "base/check.h"
#include "net/grpc.h"
#include "net/h1_codec.h"
#include "net/server_impl.h"
#include "test/fuzz/target.h"

namespace fuzz {
namespace {

using namespace net;

base::Awaitable<void> echo_stream(std::shared_ptr<GrpcStream> stream) {
    for (;;) {
        auto message = co_await stream->read();
        if (!message) co_return stream->finish(message.error());
        if (!*message) break;
        if (!stream->write(**message)) co_return;
    }
    stream->finish();
}

base::Awaitable<void> echo_http(std::shared_ptr<Exchange> e) {
    (void)parse_query(e->request().target);
    (void)percent_decode(e->request().target);
    auto body = co_await e->read_body(1 << 10);
    if (body)
        e->respond(Response::of(200, std::move(*body)));
    else
        e->respond(Response::of(413, "too much\n"));
}

class Service {
  public:
    Service() : loop_("fuzz"), grpc_(loop_, 1 << 10), core_(loop_, options(), handlers()) {}

    void talk(Reader& in) {
        int ends[2];
        CHECK(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
        {
            boost::asio::ip::tcp::socket socket(loop_.context());
            socket.assign(boost::asio::ip::tcp::v4(), ends[0]);
            auto transport = std::make_shared<Transport>(std::move(socket), nullptr);
            auto connection = std::make_shared<ServerConnection>(core_, transport);
            connection->place = core_.connections.insert(core_.connections.end(), connection);
            transport->start(connection);
            poll();
            while (!in.empty() && transport->alive()) {
                const std::string_view bytes = in.piece();
                if (::send(ends[1], bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
                    break;
                poll();
                drain(ends[1]);
            }
            if (transport->alive()) transport->end(base::cancelled("the input is used up"));
            poll();
        }
        ::close(ends[1]);
        poll();
        CHECK(core_.connections.empty());
    }

  private:
    static ServerOptions options() {
        ServerOptions o;
        o.max_concurrent_streams = 20;
        o.max_header_bytes = 4 << 10;
        o.max_queued_per_stream = 64 << 10;
        return o;
    }
    ServerHandlers handlers() {
        grpc_.unary("/t.T/Echo", [](std::shared_ptr<GrpcCall> call, std::string_view message) {
            call->respond(message);
        });
        grpc_.streaming("/t.T/Chat",
                        [](std::shared_ptr<GrpcStream> s) { return echo_stream(std::move(s)); });
        ServerHandlers http;
        http.on_exchange = [](std::shared_ptr<Exchange> e) { return echo_http(std::move(e)); };
        return grpc_.handlers(std::move(http));
    }
    void poll() {
        loop_.context().restart();
        loop_.context().poll();
    }
    static void drain(int fd) {
        char bytes[4096];
        while (::recv(fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0) {
        }
    }

    base::Loop loop_;
    GrpcService grpc_;
    ServerCore core_;
};

// What a server answers to one of our clients.
void as_response(std::string_view input) {
    H1Parser parser(H1Parser::Kind::kResponse, 4 << 10);
    for (int i = 0; i < 1000; ++i) {
        std::string_view body;
        const auto event = parser.next(&input, &body);
        if (event == H1Parser::Event::kError || event == H1Parser::Event::kNeedMore) break;
        if (event == H1Parser::Event::kEnd) parser.reset();
    }
    (void)parser.end_of_input();
}

// Requests as an HTTP/2 client writes them.
std::string h2(std::string_view path, std::string_view body, std::string_view type) {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session* session = nullptr;
    nghttp2_session_client_new(&session, callbacks, &body);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, nullptr, 0);
    const auto field = [](std::string_view name, std::string_view value) {
        nghttp2_nv nv{};
        nv.name = reinterpret_cast<std::uint8_t*>(const_cast<char*>(name.data()));
        nv.namelen = name.size();
        nv.value = reinterpret_cast<std::uint8_t*>(const_cast<char*>(value.data()));
        nv.valuelen = value.size();
        return nv;
    };
    const nghttp2_nv fields[] = {field(":method", "POST"),    field(":scheme", "http"),
                                 field(":path", path),        field(":authority", "a"),
                                 field("te", "trailers"),     field("content-type", type),
                                 field("grpc-timeout", "10S")};
    nghttp2_data_provider provider{};
    provider.read_callback = [](nghttp2_session*, std::int32_t, std::uint8_t* to, std::size_t room,
                                std::uint32_t* flags, nghttp2_data_source*, void* user) -> ssize_t {
        auto* rest = static_cast<std::string_view*>(user);
        const std::size_t n = std::min(room, rest->size());
        std::copy_n(rest->data(), n, to);
        rest->remove_prefix(n);
        if (rest->empty()) *flags |= NGHTTP2_DATA_FLAG_EOF;
        return static_cast<ssize_t>(n);
    };
    nghttp2_submit_request(session, nullptr, fields, std::size(fields), &provider, nullptr);
    std::string out;
    for (;;) {
        const std::uint8_t* bytes = nullptr;
        const ssize_t n = nghttp2_session_mem_send(session, &bytes);
        if (n <= 0) break;
        out.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(n));
    }
    nghttp2_session_del(session);
    return out;
}

}  // namespace

void run(std::string_view input) {
    static Service service;
    Reader in(input);
    if (in.byte() == 255) return as_response(in.rest());
    service.talk(in);
}

std::vector<std::string> seeds() {
    const std::string zero(1, '\0');
    const std::string message = grpc_frame("hello");
    const std::string unary = h2("/t.T/Echo", message, "application/grpc");
    const std::string chat = h2("/t.T/Chat", message + message, "application/grpc");
    const std::string plain = h2("/a?b=%20", "body", "text/plain");
    return {
        zero + piece("GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n"),
        zero + piece("POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbo") + piece("dy"),
        zero + piece("POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                     "4\r\nbody\r\n0\r\nX: y\r\n\r\nGET / HTTP/1.0\r\n\r\n"),
        zero + piece(unary),
        zero + piece(chat),
        zero + piece(plain),
        zero + piece(unary.substr(0, 40)) + piece(unary.substr(40)),
        "\xff"
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 204 No Content\r\n\r\n"};
}

}  // namespace fuzz
