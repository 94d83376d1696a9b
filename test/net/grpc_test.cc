#include "net/grpc.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <sys/socket.h>

#include <future>

#include "test/net/support.h"

namespace net::test {
namespace {

using testing::HasSubstr;

class LoopChannel {
  public:
    LoopChannel(base::Loop& loop, GrpcChannelOptions options) : loop_(loop) {
        loop_.run_and_wait([&] { channel = std::make_unique<GrpcChannel>(loop_, options); });
    }
    ~LoopChannel() {
        loop_.run_and_wait([&] { channel.reset(); });
    }
    base::Result<std::string> call(std::string path, std::string message,
                                   base::Millis deadline = base::Millis(10'000),
                                   Headers metadata = {}) {
        return run(loop_, channel->call(std::move(path), std::move(message), deadline,
                                        std::move(metadata)));
    }
    std::unique_ptr<GrpcChannel> channel;

  private:
    base::Loop& loop_;
};

GrpcChannelOptions to(const TestServer& s) {
    GrpcChannelOptions o;
    o.endpoints = {s.endpoint()};
    return o;
}

template <class F>
bool eventually(F condition) {
    for (int i = 0; i < 500; ++i) {
        if (condition()) return true;
        ::usleep(10'000);
    }
    return false;
}

TEST(Grpc, UnaryCalls) {
    TestServer s;
    LoopChannel c(s.loop, to(s));
    EXPECT_EQ(c.call("/t.T/Echo", "hello").value(), "hello");
    EXPECT_EQ(c.call("/t.T/Echo", "").value(), "");
    const std::string large(1'000'000, 'x');
    EXPECT_EQ(c.call("/t.T/Echo", large).value(), large);
    EXPECT_EQ(c.call("/t.T/Token", "", base::Millis(5000), Headers{{"token", "t1"}}).value(), "t1");
    EXPECT_EQ(s.stats().accepted, 1U);
}

TEST(Grpc, ErrorsCarryCodeAndMessage) {
    TestServer s;
    LoopChannel c(s.loop, to(s));
    const auto failed = c.call("/t.T/Fail", "100 % ü\n");
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().code, base::Code::kFailedPrecondition);
    EXPECT_EQ(failed.error().message, "100 % ü\n");
    EXPECT_TRUE(maybe_processed(failed.error()));
    const auto unknown = c.call("/t.T/None", "");
    ASSERT_FALSE(unknown);
    EXPECT_EQ(unknown.error().code, base::Code::kUnimplemented);
    EXPECT_EQ(unknown.error().message, "unknown method /t.T/None");
    const auto dropped = c.call("/t.T/Drop", "");
    ASSERT_FALSE(dropped);
    EXPECT_EQ(dropped.error().code, base::Code::kInternal);
    const auto large = c.call("/t.T/Echo", std::string(2 << 20, 'x'));
    ASSERT_FALSE(large);
    EXPECT_EQ(large.error().code, base::Code::kResourceExhausted);
}

TEST(Grpc, DeadlinesEndTheCallOnBothSides) {
    TestServer s;
    LoopChannel c(s.loop, to(s));
    const auto late = c.call("/t.T/Never", "", base::Millis(100));
    ASSERT_FALSE(late);
    EXPECT_EQ(late.error().code, base::Code::kDeadlineExceeded);
    EXPECT_TRUE(eventually([&] { return s.seen.closed == 1; }));
}

std::string framed_file(std::string_view name, std::string bytes) {
    const std::string file = pki().dir + "/" + std::string(name);
    FILE* f = std::fopen(file.c_str(), "w");
    std::fwrite(bytes.data(), 1, bytes.size(), f);
    std::fclose(f);
    return file;
}

TEST(Grpc, OnTheWireAsCurlSeesIt) {
    TestServer s;
    const auto post = [&](const std::string& file, const std::string& path,
                          const std::string& more = "") {
        return curl(
            "--http2-prior-knowledge -i -H 'content-type: application/grpc' -H 'te: "
            "trailers' --data-binary @" +
            file + " " + more + " " + s.url(path));
    };
    const std::string good = framed_file("good", grpc_frame("abc"));
    EXPECT_THAT(post(good, "/t.T/Echo"),
                AllOf(HasSubstr("content-type: application/grpc"), HasSubstr("grpc-status: 0"),
                      HasSubstr(std::string("\0\0\0\0\3abc", 8))));
    std::string zipped = grpc_frame("abc");
    zipped[0] = 1;
    EXPECT_THAT(post(framed_file("zipped", zipped), "/t.T/Echo"), HasSubstr("grpc-status: 12"));
    EXPECT_THAT(post(framed_file("zipped", zipped), "/t.T/Chat"), HasSubstr("grpc-status: 12"));
    EXPECT_THAT(post(framed_file("short", "abc"), "/t.T/Echo"), HasSubstr("grpc-status: 13"));
    EXPECT_THAT(post(framed_file("two", grpc_frame("a") + grpc_frame("b")), "/t.T/Echo"),
                HasSubstr("grpc-status: 13"));
    EXPECT_THAT(post(good, "/t.T/Never", "-H 'grpc-timeout: 100m'"), HasSubstr("grpc-status: 4"));
    EXPECT_THAT(post(framed_file("late", grpc_frame("x")), "/t.T/Nope"),
                HasSubstr("grpc-status: 12"));
    EXPECT_EQ(curl(s.url("/hello")), "hello\n");  // other HTTP on the same port
}

base::Awaitable<std::string> chat(GrpcChannel* channel, bool fail) {
    auto opened = co_await channel->open("/t.T/Chat", base::Millis(5000));
    if (!opened) co_return opened.error().to_string();
    auto stream = *opened;
    std::string out;
    for (const char* word : {"one", "two", "three"}) {
        if (!stream->write(word)) co_return "cannot write";
        auto answer = co_await stream->read();
        if (!answer || !*answer) co_return "no answer";
        out += **answer + ";";
    }
    if (fail) {
        (void)stream->write("fail");
    } else {
        (void)stream->write(std::string(500'000, 'x'));
        stream->half_close();
        auto large = co_await stream->read();
        if (!large || !*large || (*large)->size() != 500'004) co_return "large failed";
    }
    auto end = co_await stream->read();
    if (!end) co_return out + end.error().to_string();
    co_return out + (*end ? "more" : "end");
}

TEST(Grpc, BidirectionalStreams) {
    TestServer s;
    LoopChannel c(s.loop, to(s));
    EXPECT_EQ(run(s.loop, chat(c.channel.get(), false)), "re: one;re: two;re: three;end");
    EXPECT_EQ(run(s.loop, chat(c.channel.get(), true)),
              "re: one;re: two;re: three;OutOfRange: as you wish: 100 % ü");
}

base::Awaitable<int> count(GrpcChannel* channel, int n) {
    auto opened = co_await channel->open("/t.T/Count", base::Millis(5000));
    if (!opened) co_return -1;
    auto stream = *opened;
    (void)stream->write(std::to_string(n));
    stream->half_close();
    for (int i = 0;; ++i) {
        auto message = co_await stream->read();
        if (!message) co_return -2;
        if (!*message) co_return i;
        if (**message != std::to_string(i)) co_return -3;
    }
}

TEST(Grpc, AServerStreamKeepsItsOrder) {
    TestServer s;
    LoopChannel c(s.loop, to(s));
    EXPECT_EQ(run(s.loop, count(c.channel.get(), 50'000)), 50'000);
    EXPECT_EQ(run(s.loop, count(c.channel.get(), 0)), 0);
}

base::Awaitable<void> abandon(GrpcChannel* channel) {
    auto opened = co_await channel->open("/t.T/Chat", base::Millis(5000));
    if (!opened) co_return;
    auto stream = *opened;
    (void)stream->write("x");
    (void)co_await stream->read();
}

TEST(Grpc, DroppingAStreamCancelsItOnTheServer) {
    TestServer s;
    LoopChannel c(s.loop, to(s));
    run(s.loop, abandon(c.channel.get()));
    EXPECT_TRUE(eventually([&] { return s.seen.closed == 1 && s.seen.cancelled == 1; }));
}

TEST(Grpc, ManyCallsShareOneConnection) {
    TestServer s;
    LoopChannel c(s.loop, to(s));
    std::atomic<int> good{0};
    s.loop.run_and_wait([&] {
        for (int i = 0; i < 5000; ++i)
            c.channel->call_async("/t.T/Echo", std::to_string(i), base::Millis(20'000), {},
                                  [&good, i](base::Result<std::string> r) {
                                      if (r && *r == std::to_string(i)) ++good;
                                  });
    });
    EXPECT_TRUE(eventually([&] { return good == 5000; }));
    EXPECT_EQ(s.stats().accepted, 1U);
}

TEST(GrpcChannel, GoesToTheNextEndpointAndBack) {
    auto a = std::make_unique<TestServer>();
    TestServer b;
    base::Loop loop("client");
    loop.start();
    GrpcChannelOptions o;
    o.endpoints = {{"127.0.0.1", 1}, a->endpoint(), b.endpoint()};
    {
        LoopChannel c(loop, o);
        EXPECT_EQ(c.call("/t.T/Echo", "1").value(), "1");
        EXPECT_EQ(a->stats().requests, 1U);
        const std::uint16_t port = a->port();
        a.reset();
        EXPECT_TRUE(eventually([&] {
            bool on = true;
            loop.run_and_wait([&] { on = c.channel->connected(); });
            return !on;
        }));
        EXPECT_EQ(c.call("/t.T/Echo", "2").value(), "2");
        EXPECT_EQ(b.stats().requests, 1U);
        ServerOptions again;
        again.port = port;
        a = std::make_unique<TestServer>(again);
        loop.run_and_wait([&] { c.channel->rotate(); });
        EXPECT_EQ(c.call("/t.T/Echo", "3").value(), "3");
        EXPECT_EQ(a->stats().requests, 1U);
    }
}

TEST(GrpcChannel, WaitsForAServerAndSaysThatNothingWasSent) {
    base::Loop loop("client");
    loop.start();
    GrpcChannelOptions o;
    std::uint16_t port = 0;
    {
        TestServer s;
        port = s.port();
    }
    o.endpoints = {{"127.0.0.1", port}};
    LoopChannel c(loop, o);
    const auto none = c.call("/t.T/Echo", "1", base::Millis(200));
    ASSERT_FALSE(none);
    EXPECT_EQ(none.error().code, base::Code::kUnavailable);
    EXPECT_FALSE(maybe_processed(none.error()));
    auto waiting = std::async(std::launch::async, [&] { return c.call("/t.T/Echo", "2"); });
    ::usleep(300'000);
    ServerOptions so;
    so.port = port;
    TestServer s(so);
    EXPECT_EQ(waiting.get().value(), "2");
}

TEST(GrpcChannel, ABrokenConnectionFailsCallsThatMayHaveBeenProcessed) {
    auto s = std::make_unique<TestServer>();
    base::Loop loop("client");
    loop.start();
    LoopChannel c(loop, to(*s));
    auto waiting = std::async(std::launch::async,
                              [&] { return c.call("/t.T/Never", "", base::Millis(20'000)); });
    ASSERT_TRUE(eventually([&] { return s->stats().requests == 1; }));
    s.reset();
    const auto r = waiting.get();
    ASSERT_FALSE(r);
    EXPECT_TRUE(maybe_processed(r.error()));
}

TEST(GrpcChannel, NoticesAPeerThatDoesNotAnswer) {
    // A listener that never reads: the kernel takes the connection.
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ASSERT_EQ(::listen(fd, 10), 0);
    socklen_t size = sizeof address;
    ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
    base::Loop loop("client");
    loop.start();
    GrpcChannelOptions o;
    o.endpoints = {{"127.0.0.1", ntohs(address.sin_port)}};
    o.ping_interval = base::Millis(100);
    o.ping_timeout = base::Millis(100);
    {
        LoopChannel c(loop, o);
        const auto r = c.call("/t.T/Echo", "1", base::Millis(20'000));
        ASSERT_FALSE(r);
        EXPECT_THAT(r.error().message, HasSubstr("PING"));
    }
    ::close(fd);
}

TEST(GrpcChannel, OverMutualTls) {
    ServerOptions so;
    so.tls = server_tls(ClientAuth::kRequire);
    TestServer s(so);
    GrpcChannelOptions o = to(s);
    o.tls = client_tls(&pki().alice);
    LoopChannel c(s.loop, o);
    EXPECT_EQ(c.call("/t.T/Echo", "safe").value(), "safe");
    EXPECT_EQ(run(s.loop, chat(c.channel.get(), false)), "re: one;re: two;re: three;end");
}

}  // namespace
}  // namespace net::test
