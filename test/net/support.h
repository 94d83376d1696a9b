#pragma once
// What the tests of net/ share: a loop with a server on it, coroutines run to their end,
// certificates made once, curl, and a plain socket that says exactly what it is told to.

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <future>
#include <string>

#include "base/coro.h"
#include "net/client.h"
#include "net/grpc.h"
#include "net/pki.h"
#include "net/server.h"

namespace net::test {

inline void run(base::Loop& loop, base::Awaitable<void> task) {
    std::promise<void> promise;
    auto future = promise.get_future();
    boost::asio::co_spawn(loop.context(), std::move(task),
                          [&promise](const std::exception_ptr&) { promise.set_value(); });
    if (future.wait_for(std::chrono::seconds(60)) != std::future_status::ready) {
        ADD_FAILURE() << "the task does not end";
        std::abort();
    }
}
template <class T>
base::Awaitable<void> store(base::Awaitable<T> task, std::optional<T>* out) {
    *out = co_await std::move(task);
}
// Runs `task` on the loop and waits for its value.
template <class T>
T run(base::Loop& loop, base::Awaitable<T> task) {
    std::optional<T> out;
    run(loop, store(std::move(task), &out));
    return std::move(*out);
}

struct Pki {
    KeyPair ca;
    KeyPair server;
    KeyPair alice;     // CN alice, O dev and ops
    KeyPair stranger;  // signed by another CA
    std::string dir;   // has ca.crt, server.*, alice.*, stranger.* as files
};
const Pki& pki();
ServerTls server_tls(ClientAuth auth);
ClientTls client_tls(const KeyPair* identity = nullptr);

// What the handlers of a TestServer have seen.
struct Seen {
    std::atomic<int> closed{0};                   // on_close ran
    std::atomic<int> exhausted{0};                // write() said ResourceExhausted
    std::atomic<int> cancelled{0};                // a read failed with Cancelled
    std::atomic<std::size_t> peak{0};             // most bytes queued
    std::atomic<int> running{0};                  // handlers that have not ended
    std::vector<std::shared_ptr<GrpcCall>> held;  // calls that nobody answers; on the loop
};

class TestServer {
  public:
    explicit TestServer(ServerOptions options = {});
    ~TestServer();

    std::uint16_t port() const { return port_; }
    std::string url(const std::string& path) const;
    Endpoint endpoint() const { return {"127.0.0.1", port_}; }
    ServerStats stats();
    void stop(base::Millis drain);

    base::Loop loop{"server"};
    Seen seen;

  private:
    bool tls_;
    std::uint16_t port_ = 0;
    std::unique_ptr<GrpcService> grpc_;
    std::unique_ptr<Server> server_;
};

// Runs a shell command; its standard output.
std::string shell(const std::string& command);
std::string curl(const std::string& arguments);

// A blocking client socket.
class RawSocket {
  public:
    explicit RawSocket(std::uint16_t port);
    ~RawSocket();
    void send(std::string_view bytes);
    // Up to and with `mark`, or whatever came before the end or the timeout.
    std::string read_until(std::string_view mark, int timeout_ms = 5000);
    // Everything until the peer closes; fails the test after the timeout.
    std::string read_all(int timeout_ms = 10000);
    bool closed_within(int timeout_ms);
    void half_close();
    void shrink_receive_buffer();

  private:
    int fd_;
    std::string buffer_;
};

}  // namespace net::test
