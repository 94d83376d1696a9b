// A server with a unary and a streaming echo method and a plain GET, to put load on net/, and with
// three methods of etcd's that do nothing, for what a client of etcd could do at most:
//   grpc_echo --port 7777 [--tls]
//   grpc_echo --frame 100 > message.bin     (a framed message of 100 bytes)
//   h2load -n 400000 -c 10 -m 100 -d message.bin -H 'content-type: application/grpc'
//       -H 'te: trailers' http://127.0.0.1:7777/bench.Echo/Unary

#include <fmt/core.h>

#include <cstdlib>
#include <cstring>
#include <iostream>

#include "net/grpc.h"
#include "net/pki.h"

namespace {

base::Awaitable<void> echo(std::shared_ptr<net::GrpcStream> stream) {
    for (;;) {
        auto message = co_await stream->read();
        if (!message) co_return stream->finish(message.error());
        if (!*message) break;
        if (!stream->write(**message)) co_return;
    }
    stream->finish();
}

net::ServerTls make_tls() {
    const net::KeyPair ca = net::make_ca("bench").value();
    net::CertificateSpec spec;
    spec.common_name = "bench";
    spec.ip_addresses = {"127.0.0.1"};
    spec.server = true;
    const net::KeyPair pair = net::issue_certificate(ca, spec).value();
    net::ServerTls tls;
    tls.certificate = net::PemSource::from_text(pair.certificate);
    tls.key = net::PemSource::from_text(pair.key);
    return tls;
}

}  // namespace

int main(int argc, char** argv) {
    net::ServerOptions options;
    options.max_concurrent_streams = 100000;
    for (int i = 1; i < argc; ++i) {
        if (!std::strcmp(argv[i], "--port") && i + 1 < argc) {
            options.port = static_cast<std::uint16_t>(std::atoi(argv[++i]));
        } else if (!std::strcmp(argv[i], "--tls")) {
            options.tls = make_tls();
        } else if (!std::strcmp(argv[i], "--frame") && i + 1 < argc) {
            const std::string frame =
                net::grpc_frame(std::string(static_cast<std::size_t>(std::atoi(argv[++i])), 'x'));
            std::cout.write(frame.data(), static_cast<std::streamsize>(frame.size()));
            return 0;
        } else {
            fmt::print(stderr, "usage: grpc_echo [--port N] [--tls] | --frame BYTES\n");
            return 2;
        }
    }
    base::Loop loop("echo");
    net::GrpcService service(loop);
    service.unary("/bench.Echo/Unary", [](std::shared_ptr<net::GrpcCall> call,
                                          std::string_view message) { call->respond(message); });
    service.streaming("/bench.Echo/Stream", echo);
    for (const char* method : {"Put", "Range", "DeleteRange"})
        service.unary(std::string("/etcdserverpb.KV/") + method,
                      [](std::shared_ptr<net::GrpcCall> call, std::string_view) {
                          constexpr std::string_view kEmptyHeader("\x0a\x00", 2);
                          call->respond(kEmptyHeader);
                      });
    net::ServerHandlers plain;
    plain.wants_whole_body = [](const net::Exchange&) { return true; };
    plain.on_request = [](const std::shared_ptr<net::Exchange>& exchange, std::string_view) {
        exchange->respond(net::Response::of(200, "hello\n"));
    };
    net::Server server(loop, options, service.handlers(plain));
    auto port = server.listen();
    if (!port) {
        fmt::print(stderr, "{}\n", port.error().to_string());
        return 1;
    }
    fmt::print("listening on 127.0.0.1:{}\n", *port);
    std::fflush(stdout);
    loop.run();
    return 0;
}
