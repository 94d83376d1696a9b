#include "net/client.h"

#include <gmock/gmock.h>

#include "test/net/support.h"

namespace net::test {
namespace {

using testing::HasSubstr;

struct Way {
    const char* name;
    bool tls;
    Protocol protocol;
    const char* version;
};

class Ways : public testing::TestWithParam<Way> {
  protected:
    ServerOptions server_options() const {
        ServerOptions o;
        if (GetParam().tls) o.tls = server_tls(ClientAuth::kRequest);
        return o;
    }
    ClientOptions client_options(const TestServer& s) const {
        ClientOptions o;
        o.endpoint = s.endpoint();
        o.protocol = GetParam().protocol;
        if (GetParam().tls) o.tls = client_tls(&pki().alice);
        return o;
    }
};

// A client that lives on the server's loop.
class LoopClient {
  public:
    LoopClient(base::Loop& loop, ClientOptions options) : loop_(loop) {
        loop_.run_and_wait([&] { client = std::make_unique<HttpClient>(loop_, options); });
    }
    ~LoopClient() {
        loop_.run_and_wait([&] { client.reset(); });
    }
    base::Result<Response> send(std::string method, std::string target, std::string body = "",
                                base::Millis deadline = base::Millis(20'000)) {
        Request r;
        r.method = std::move(method);
        r.target = std::move(target);
        if (!body.empty()) r.body = share(std::move(body));
        return run(loop_, client->send(std::move(r), deadline));
    }
    std::string text(std::string target) {
        auto r = send("GET", std::move(target));
        return r ? std::string(r->text()) : r.error().to_string();
    }
    std::unique_ptr<HttpClient> client;

  private:
    base::Loop& loop_;
};

TEST_P(Ways, SendsAndReceives) {
    TestServer s(server_options());
    LoopClient c(s.loop, client_options(s));
    EXPECT_EQ(c.text("/version"), GetParam().version);
    EXPECT_EQ(c.text("/hello"), "hello\n");
    if (GetParam().tls) {
        EXPECT_EQ(c.text("/whoami"), "alice verified dev ops\n");
    }
    EXPECT_EQ(c.send("GET", "/none")->status, 404);
    EXPECT_EQ(c.send("GET", "/nothing")->status, 204);
    EXPECT_EQ(c.send("HEAD", "/hello")->text(), "");
    const std::string large(900'000, 'z');
    EXPECT_EQ(c.send("POST", "/echo", large)->text(), large);
    EXPECT_EQ(c.send("POST", "/fast", "abc")->text(), "fast:abc");
    EXPECT_EQ(c.send("GET", "/stream?n=100&size=100000")->text().size(), 10'000'000U);
    EXPECT_EQ(s.stats().accepted, 1U);  // one connection did it all
}

TEST_P(Ways, DeadlinesHold) {
    TestServer s(server_options());
    LoopClient c(s.loop, client_options(s));
    const auto r = c.send("GET", "/slow?ms=5000", "", base::Millis(100));
    ASSERT_FALSE(r);
    EXPECT_EQ(r.error().code, base::Code::kDeadlineExceeded);
    EXPECT_TRUE(maybe_processed(r.error()));
    // One that is late in its body.
    const auto w = c.send("GET", "/watch", "", base::Millis(200));
    ASSERT_FALSE(w);
    EXPECT_EQ(w.error().code, base::Code::kDeadlineExceeded);
    EXPECT_EQ(c.text("/hello"), "hello\n");
}

base::Awaitable<int> many(HttpClient* client, int n, base::Loop* loop) {
    auto left = std::make_shared<int>(n);
    auto good = std::make_shared<int>(0);
    for (int i = 0; i < n; ++i) {
        auto one = [](HttpClient* h, int k, std::shared_ptr<int> l,
                      std::shared_ptr<int> g) -> base::Awaitable<void> {
            Request r;
            r.method = "POST";
            r.target = k % 2 ? "/echo" : "/slow?ms=5";
            r.body = share(std::to_string(k));
            auto answer = co_await h->send(std::move(r), base::Millis(20'000));
            if (answer && (k % 2 == 0 || answer->text() == std::to_string(k))) ++*g;
            --*l;
        };
        boost::asio::co_spawn(loop->context(), one(client, i, left, good),
                              [](std::exception_ptr) {});
    }
    while (*left > 0)
        (void)co_await base::sleep_for(base::Millis(5));
    co_return *good;
}

TEST_P(Ways, ManyAtOnce) {
    TestServer s(server_options());
    LoopClient c(s.loop, client_options(s));
    EXPECT_EQ(run(s.loop, many(c.client.get(), 500, &s.loop)), 500);
    EXPECT_LE(s.stats().accepted, 8U);
}

base::Awaitable<std::string> read_ticks(HttpClient* client, int n) {
    Request r;
    r.target = "/watch";
    auto opened = co_await client->open(std::move(r), base::Millis(5000));
    if (!opened) co_return opened.error().to_string();
    auto stream = *opened;
    std::string all;
    while (static_cast<int>(all.size()) < 5 * n) {
        auto piece = co_await stream->read_some();
        if (!piece || !*piece) co_return "ended";
        all += **piece;
    }
    co_return all;
}

TEST_P(Ways, StreamsAndDroppingTheStreamCancels) {
    TestServer s(server_options());
    LoopClient c(s.loop, client_options(s));
    EXPECT_THAT(run(s.loop, read_ticks(c.client.get(), 3)), HasSubstr("tick\ntick\ntick\n"));
    for (int i = 0; i < 300 && s.seen.closed == 0; ++i)
        ::usleep(10'000);
    EXPECT_EQ(s.seen.closed.load(), 1);
}

// Reads nothing for a while: the server must not be able to send without bound.
base::Awaitable<std::size_t> lazy_read(HttpClient* client) {
    Request r;
    r.target = "/stream?n=400&size=100000";
    auto opened = co_await client->open(std::move(r), base::Millis(5000));
    if (!opened) co_return std::size_t{0};
    auto stream = *opened;
    (void)co_await base::sleep_for(base::Millis(300));
    std::size_t n = 0;
    for (;;) {
        auto piece = co_await stream->read_some();
        if (!piece) co_return std::size_t{0};
        if (!*piece) break;
        n += (*piece)->size();
    }
    co_return stream->trailers().get("x-count") == "400" ? n : std::size_t{1};
}

TEST_P(Ways, ASlowReaderHoldsTheServerBack) {
    TestServer s(server_options());
    LoopClient c(s.loop, client_options(s));
    EXPECT_EQ(run(s.loop, lazy_read(c.client.get())), 40'000'000U);
    EXPECT_LT(s.seen.peak.load(), 512U << 10);
}

TEST_P(Ways, GoesOnAfterTheServerWasRestarted) {
    auto s = std::make_unique<TestServer>(server_options());
    const std::uint16_t port = s->port();
    base::Loop loop("client");
    loop.start();
    {
        LoopClient c(loop, client_options(*s));
        EXPECT_EQ(c.text("/hello"), "hello\n");
        s.reset();
        const auto down = c.send("GET", "/hello");
        ASSERT_FALSE(down);
        EXPECT_EQ(down.error().code, base::Code::kUnavailable);
        EXPECT_FALSE(maybe_processed(down.error()));
        ServerOptions again = server_options();
        again.port = port;
        s = std::make_unique<TestServer>(again);
        EXPECT_EQ(c.text("/hello"), "hello\n");
    }
}

INSTANTIATE_TEST_SUITE_P(All, Ways,
                         testing::Values(Way{"ClearH1", false, Protocol::kAuto, "1"},
                                         Way{"ClearH2", false, Protocol::kHttp2, "2"},
                                         Way{"TlsAuto", true, Protocol::kAuto, "2"},
                                         Way{"TlsH1", true, Protocol::kHttp1, "1"}),
                         [](const auto& way) { return way.param.name; });

TEST(HttpClient, ChecksTheServersCertificate) {
    ServerOptions o;
    o.tls = server_tls(ClientAuth::kRequire);
    TestServer s(o);
    ClientOptions co;
    co.endpoint = s.endpoint();
    co.tls = client_tls(&pki().alice);
    {
        LoopClient c(s.loop, co);
        EXPECT_EQ(c.text("/hello"), "hello\n");
    }
    co.tls->server_name = "elsewhere";
    {
        LoopClient c(s.loop, co);
        EXPECT_THAT(c.text("/hello"), HasSubstr("certificate verify failed"));
    }
    co.tls = client_tls();
    co.tls->ca = PemSource::from_text(pki().stranger.certificate);
    {
        LoopClient c(s.loop, co);
        EXPECT_THAT(c.text("/hello"), HasSubstr("certificate"));
    }
    co.tls = client_tls();  // shows none
    LoopClient c(s.loop, co);
    EXPECT_THAT(c.text("/hello"), HasSubstr("certificate required"));
}

TEST(HttpClient, ClosingFailsWhatIsUnderWay) {
    TestServer s;
    ClientOptions o;
    o.endpoint = s.endpoint();
    LoopClient c(s.loop, o);
    auto waiting = std::async(std::launch::async, [&] { return c.text("/slow?ms=20000"); });
    while (s.seen.running == 0)
        ::usleep(1000);
    s.loop.run_and_wait([&] { c.client->close(); });
    EXPECT_THAT(waiting.get(), HasSubstr("Cancelled"));
    EXPECT_THAT(c.text("/hello"), HasSubstr("Cancelled"));
}

TEST(HttpClient, ConnectTimesOut) {
    base::Loop loop("client");
    loop.start();
    ClientOptions o;
    o.endpoint = {"127.0.0.1", 1};
    {
        LoopClient c(loop, o);
        EXPECT_THAT(c.text("/"), HasSubstr("cannot connect to 127.0.0.1:1"));
    }
}

}  // namespace
}  // namespace net::test
