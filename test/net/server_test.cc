#include "net/server.h"

#include <gmock/gmock.h>

#include <fstream>

#include "base/file.h"
#include "base/random.h"
#include "test/net/support.h"

namespace net::test {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

ServerOptions with_tls(ClientAuth auth) {
    ServerOptions o;
    o.tls = server_tls(auth);
    return o;
}

// Waits up to five seconds for a condition that other threads make true.
template <class F>
bool eventually(F condition) {
    for (int i = 0; i < 500; ++i) {
        if (condition()) return true;
        ::usleep(10'000);
    }
    return false;
}

// ---- curl, each of the ways in

class CurlVersions : public testing::TestWithParam<const char*> {
  protected:
    std::string go(TestServer& s, const std::string& path, const std::string& more = "") {
        return curl(std::string(GetParam()) + " " + more + " " + s.url(path));
    }
};

TEST_P(CurlVersions, GetPostStreamAndErrors) {
    TestServer s;
    EXPECT_EQ(go(s, "/hello"), "hello\n");
    EXPECT_EQ(go(s, "/echo", "--data-binary abc"), "abc");
    EXPECT_EQ(go(s, "/fast", "--data-binary xyz"), "fast:xyz");
    EXPECT_EQ(go(s, "/stream?n=4&size=3"), std::string(12, 'x'));
    EXPECT_EQ(go(s, "/stream?n=0"), "");
    EXPECT_EQ(go(s, "/none", "-o /dev/null -w '%{http_code}'"), "404");
    EXPECT_EQ(go(s, "/nothing", "-w '%{http_code}'"), "204");
    EXPECT_EQ(go(s, "/throw", "-o /dev/null -w '%{http_code}'"), "500");
    EXPECT_EQ(go(s, "/silent", "-o /dev/null -w '%{http_code}'"), "500");
    EXPECT_THAT(go(s, "/hello", "-I"), HasSubstr("content-length: 6"));
    EXPECT_THAT(go(s, "/stream", "-I"), HasSubstr(" 200"));
}

TEST_P(CurlVersions, LargeBodiesBothWays) {
    TestServer s;
    const std::string file = pki().dir + "/large";
    ASSERT_TRUE(base::write_file_atomic(file, std::string(900'000, 'q')));
    EXPECT_EQ(go(s, "/echo", "--data-binary @" + file), std::string(900'000, 'q'));
    EXPECT_EQ(go(s, "/echo", "-H 'expect: 100-continue' -T " + file), std::string(900'000, 'q'));
    EXPECT_EQ(go(s, "/echo", "-H 'transfer-encoding: chunked' -T " + file),
              std::string(900'000, 'q'));
    EXPECT_EQ(go(s, "/stream?n=500&size=100000").size(), 50'000'000U);
    EXPECT_LT(s.seen.peak.load(), 512U << 10);
}

TEST_P(CurlVersions, BodiesOverTheLimitAreRefused) {
    TestServer s;
    const std::string file = pki().dir + "/huge";
    ASSERT_TRUE(base::write_file_atomic(file, std::string(3 << 20, 'q')));
    EXPECT_THAT(go(s, "/echo", "-o /dev/null -w '%{http_code}' --data-binary @" + file),
                HasSubstr("413"));
    EXPECT_THAT(go(s, "/fast", "-o /dev/null -w '%{http_code}' --data-binary @" + file),
                HasSubstr("413"));
    EXPECT_EQ(go(s, "/hello"), "hello\n");
}

INSTANTIATE_TEST_SUITE_P(Clear, CurlVersions,
                         testing::Values("--http1.0", "--http1.1", "--http2-prior-knowledge"));

TEST(ServerTls, AlpnChoosesTheVersion) {
    TestServer s(with_tls(ClientAuth::kNone));
    const std::string ca = "--cacert " + pki().dir + "/ca.crt ";
    EXPECT_EQ(curl(ca + "--http2 " + s.url("/version")), "2");
    EXPECT_EQ(curl(ca + "--http1.1 " + s.url("/version")), "1");
    EXPECT_EQ(curl(ca + "--no-alpn " + s.url("/version")), "1");
    EXPECT_EQ(curl(ca + "--http2 " + s.url("/stream?n=300&size=100000")).size(), 30'000'000U);
    EXPECT_EQ(curl(ca + "--http1.1 " + s.url("/stream?n=300&size=100000")).size(), 30'000'000U);
    EXPECT_EQ(curl(ca + "--tls-max 1.2 " + s.url("/hello")), "hello\n");
    EXPECT_THAT(curl("--tlsv1.1 --tls-max 1.1 --ciphers 'ALL:@SECLEVEL=0' " + ca + s.url("/hello")),
                StartsWith("curl: (35)"));
    EXPECT_THAT(curl(s.url("/hello")), StartsWith("curl: (60)"));
    EXPECT_THAT(curl("http://127.0.0.1:" + std::to_string(s.port()) + "/hello"),
                StartsWith("curl: ("));
}

TEST(ServerTls, ClientCertificatesTellWhoItIs) {
    const std::string dir = pki().dir;
    const std::string ca = "--cacert " + dir + "/ca.crt ";
    const std::string alice = "--cert " + dir + "/alice.crt --key " + dir + "/alice.key ";
    const std::string stranger = "--cert " + dir + "/stranger.crt --key " + dir + "/stranger.key ";
    {
        TestServer s(with_tls(ClientAuth::kRequest));
        EXPECT_EQ(curl(ca + alice + s.url("/whoami")), "alice verified dev ops\n");
        EXPECT_EQ(curl(ca + alice + "--http1.1 " + s.url("/whoami")), "alice verified dev ops\n");
        EXPECT_EQ(curl(ca + s.url("/whoami")), "nobody\n");
        EXPECT_THAT(curl(ca + stranger + s.url("/whoami")), StartsWith("curl: ("));
    }
    TestServer s(with_tls(ClientAuth::kRequire));
    EXPECT_EQ(curl(ca + alice + s.url("/whoami")), "alice verified dev ops\n");
    EXPECT_THAT(curl(ca + s.url("/whoami")), StartsWith("curl: ("));
    EXPECT_THAT(curl(ca + stranger + s.url("/whoami")), StartsWith("curl: ("));
}

TEST(ServerTls, FilesAreReadAgainWhenTheyChange) {
    const std::string prefix = pki().dir + "/reloaded";
    ASSERT_TRUE(write_key_pair(pki().server, prefix));
    ServerOptions o;
    o.tls.emplace();
    o.tls->certificate = PemSource::from_file(prefix + ".crt");
    o.tls->key = PemSource::from_file(prefix + ".key");
    TestServer s(o);
    const std::string command = "--cacert " + pki().dir + "/ca.crt " + s.url("/hello");
    EXPECT_EQ(curl(command), "hello\n");
    const KeyPair other_ca = make_ca("another").value();
    CertificateSpec spec;
    spec.common_name = "server";
    spec.ip_addresses = {"127.0.0.1"};
    spec.server = true;
    ASSERT_TRUE(write_key_pair(issue_certificate(other_ca, spec).value(), prefix));
    EXPECT_TRUE(eventually([&] { return curl(command).starts_with("curl: (60)"); }));
    // Bad files leave the last good ones in use.
    ASSERT_TRUE(base::write_file_atomic(prefix + ".crt", "nonsense"));
    ::usleep(2'500'000);
    EXPECT_THAT(curl(command), StartsWith("curl: (60)"));
}

TEST(ServerTls, BadFilesStopTheStartWithTheirName) {
    base::Loop loop("test");
    ServerOptions o;
    o.tls.emplace();
    o.tls->certificate = PemSource::from_file("/nowhere/x.crt");
    Server server(loop, o, {});
    const auto port = server.listen();
    ASSERT_FALSE(port);
    EXPECT_THAT(port.error().message, HasSubstr("/nowhere/x.crt"));
}

// ---- byte for byte

TEST(ServerH1, KeepsAliveAndAnswersPipelinedRequestsInOrder) {
    TestServer s;
    RawSocket c(s.port());
    std::string burst;
    for (int i = 0; i < 50; ++i)
        burst +=
            "GET /slow?ms=1 HTTP/1.1\r\nhost: x\r\n\r\n"
            "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\n" +
            std::to_string(100 + i);
    c.send(burst);
    for (int i = 0; i < 50; ++i) {
        EXPECT_THAT(c.read_until("slow\n"), HasSubstr("200 OK"));
        EXPECT_THAT(c.read_until(std::to_string(100 + i)), EndsWith(std::to_string(100 + i)));
    }
    c.send("GET /hello HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    EXPECT_THAT(c.read_all(), EndsWith("hello\n"));
    EXPECT_EQ(s.stats().accepted, 1U);
}

TEST(ServerH1, ContinuesOnlyWhenTheBodyIsWanted) {
    TestServer s;
    RawSocket wanted(s.port());
    wanted.send(
        "POST /echo HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n");
    EXPECT_EQ(wanted.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    wanted.send("ok");
    EXPECT_THAT(wanted.read_until("ok"), AllOf(StartsWith("HTTP/1.1 200"), EndsWith("\r\nok")));
    RawSocket unwanted(s.port());
    unwanted.send(
        "POST /hello HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n");
    EXPECT_THAT(unwanted.read_all(), AllOf(StartsWith("HTTP/1.1 200"), EndsWith("hello\n"),
                                           HasSubstr("connection: close")));
    RawSocket other(s.port());
    other.send("POST /echo HTTP/1.1\r\nhost: x\r\nexpect: magic\r\ncontent-length: 2\r\n\r\nok");
    EXPECT_THAT(other.read_all(), StartsWith("HTTP/1.1 417"));
}

TEST(ServerH1, ChunksAndTrailersOnTheWire) {
    TestServer s;
    RawSocket c(s.port());
    c.send("GET /stream?n=2&size=3 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    const std::string all = c.read_all();
    EXPECT_THAT(all, HasSubstr("transfer-encoding: chunked\r\n"));
    EXPECT_THAT(all, EndsWith("\r\n\r\n3\r\nxxx\r\n3\r\nxxx\r\n0\r\nx-count: 2\r\n\r\n"));
}

TEST(ServerH1, AnUnwantedBodyIsSkippedAndTheConnectionGoesOn) {
    TestServer s;
    RawSocket c(s.port());
    c.send("POST /hello HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n");
    EXPECT_THAT(c.read_until("hello\n"), HasSubstr("200"));
    c.send(std::string(100000, 'x') + "GET /version HTTP/1.1\r\nhost: x\r\n\r\n");
    EXPECT_THAT(c.read_until("\r\n\r\n1"), EndsWith("\r\n\r\n1"));
}

TEST(ServerH1, AClientThatHasHalfClosedGetsItsAnswer) {
    TestServer s;
    RawSocket c(s.port());
    c.send("GET /slow?ms=50 HTTP/1.1\r\nhost: x\r\n\r\n");
    c.half_close();
    EXPECT_THAT(c.read_all(), EndsWith("slow\n"));
}

TEST(ServerH1, RefusesRequestsWithoutHostAndWithTooMuchHeader) {
    TestServer s;
    RawSocket no_host(s.port());
    no_host.send("GET /hello HTTP/1.1\r\n\r\n");
    EXPECT_THAT(no_host.read_all(), StartsWith("HTTP/1.1 400"));
    RawSocket large(s.port());
    large.send("GET /hello HTTP/1.1\r\nhost: x\r\nx: " + std::string(100'000, 'y') + "\r\n\r\n");
    EXPECT_THAT(large.read_all(), StartsWith("HTTP/1.1 431"));
    RawSocket bad_chunk(s.port());
    bad_chunk.send("POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n");
    EXPECT_THAT(bad_chunk.read_all(), StartsWith("HTTP/1.1 400"));
    EXPECT_EQ(curl(s.url("/hello")), "hello\n");
}

// A request with these header fields as the first thing on an HTTP/2 connection; the status of its
// answer, as HPACK has it.
std::string h2_status(std::uint16_t port,
                      const std::vector<std::pair<std::string, std::string>>& fields) {
    std::string block;
    for (const auto& [name, value] : fields) {
        block += '\0';  // a literal that is not indexed
        block += static_cast<char>(name.size());
        block += name;
        block += static_cast<char>(value.size());
        block += value;
    }
    RawSocket c(port);
    std::string out = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    out += std::string("\0\0\0\x04\0\0\0\0\0", 9);  // SETTINGS
    out += std::string("\0\0", 2) + static_cast<char>(block.size());
    out += std::string("\x01\x05\0\0\0\x01", 6) + block;  // HEADERS, END_STREAM and END_HEADERS
    c.send(out);
    c.half_close();
    const std::string answer = c.read_all();
    // HPACK's static table: 8 is 200, 12 is 400.
    const bool ok = answer.find(std::string("\0\0\0\x01\x88", 5)) != std::string::npos;
    const bool bad = answer.find(std::string("\0\0\0\x01\x8c", 5)) != std::string::npos;
    return ok ? "200" : bad ? "400" : "neither";
}

TEST(ServerH2, ChecksHeadersItselfAndTakesAnyAuthority) {
    TestServer s;
    using Fields = std::vector<std::pair<std::string, std::string>>;
    const Fields good = {{":method", "GET"}, {":scheme", "http"}, {":path", "/hello"}};
    const auto with = [&good](std::string name, std::string value) {
        Fields out = good;
        out.emplace_back(std::move(name), std::move(value));
        return out;
    };
    EXPECT_EQ(h2_status(s.port(), with(":authority", "x")), "200");
    // etcdctl 3.4 does this.
    EXPECT_EQ(h2_status(s.port(), with(":authority", "http://127.0.0.1:2379")), "200");
    EXPECT_EQ(h2_status(s.port(), with("X-Upper", "y")), "400");
    EXPECT_EQ(h2_status(s.port(), with("x", "line\r\nbreak")), "400");
    EXPECT_EQ(h2_status(s.port(), {{":method", "GET"}, {":scheme", "http"}}), "400");
    EXPECT_EQ(h2_status(s.port(), {{"x", "y"}, {":method", "GET"}, {":path", "/hello"}}), "400");
}

TEST(ServerH2, RefusesTooMuchHeader) {
    ServerOptions o;
    o.max_header_bytes = 8 << 10;
    TestServer s(o);
    const std::string file = pki().dir + "/header";
    ASSERT_TRUE(base::write_file_atomic(file, "x: " + std::string(20'000, 'y') + "\n"));
    EXPECT_EQ(curl("--http2-prior-knowledge -o /dev/null -w '%{http_code}' -H @" + file + " " +
                   s.url("/hello")),
              "431");
}

TEST(Server, GarbageClosesTheConnectionOnly) {
    ServerOptions o;
    o.header_timeout = base::Millis(300);
    TestServer s(o);
    base::Random random(7);
    for (int i = 0; i < 200; ++i) {
        RawSocket c(s.port());
        std::string bytes;
        if (i % 3 == 1) bytes = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        if (i % 3 == 2)
            bytes = "POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
        for (std::uint64_t n = random.below(500); n > 0; --n)
            bytes.push_back(static_cast<char>(random.below(256)));
        c.send(bytes);
    }
    EXPECT_EQ(curl(s.url("/hello")), "hello\n");
    EXPECT_TRUE(eventually([&] { return s.stats().connections == 0; }));
    EXPECT_EQ(s.seen.running.load(), 0);
}

TEST(Server, GarbageOnTlsClosesTheConnectionOnly) {
    ServerOptions o = with_tls(ClientAuth::kRequest);
    o.header_timeout = base::Millis(300);
    TestServer s(o);
    for (int i = 0; i < 20; ++i) {
        RawSocket c(s.port());
        c.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
        RawSocket silent(s.port());
    }
    RawSocket silent(s.port());
    EXPECT_TRUE(silent.closed_within(3000));
    EXPECT_EQ(curl("--cacert " + pki().dir + "/ca.crt " + s.url("/hello")), "hello\n");
}

TEST(Server, ASlowHeaderAndAnIdleConnectionAreCutOff) {
    ServerOptions o;
    o.header_timeout = base::Millis(200);
    o.idle_timeout = base::Millis(400);
    TestServer s(o);
    RawSocket nothing(s.port());
    RawSocket half(s.port());
    half.send("GET /hello HTTP/1.1\r\nhost:");
    RawSocket idle(s.port());
    idle.send("GET /hello HTTP/1.1\r\nhost: x\r\n\r\n");
    idle.read_until("hello\n");
    RawSocket busy(s.port());
    busy.send("GET /slow?ms=1000 HTTP/1.1\r\nhost: x\r\n\r\n");
    EXPECT_TRUE(nothing.closed_within(2000));
    EXPECT_TRUE(half.closed_within(2000));
    EXPECT_TRUE(idle.closed_within(2000));
    EXPECT_THAT(busy.read_until("slow\n"), EndsWith("slow\n"));
}

TEST(Server, TooManyConnectionsAreClosedAtOnce) {
    ServerOptions o;
    o.max_connections = 2;
    TestServer s(o);
    RawSocket a(s.port());
    RawSocket b(s.port());
    ASSERT_TRUE(eventually([&] { return s.stats().connections == 2; }));
    RawSocket c(s.port());
    EXPECT_TRUE(c.closed_within(2000));
}

// ---- slow readers, clients that go

TEST(Server, ASlowReaderIsBoundedAndThenCutOff) {
    for (const bool h2 : {false, true}) {
        ServerOptions o;
        o.max_queued_per_stream = 1 << 20;
        TestServer s(o);
        // curl with a rate limit: takes its bytes, slowly.
        curl(std::string(h2 ? "--http2-prior-knowledge" : "--http1.1") +
             " --max-time 2 --limit-rate 10k -o /dev/null " + s.url("/flood"));
        EXPECT_EQ(s.seen.exhausted.load(), 1);
        EXPECT_LE(s.seen.peak.load(), 1U << 20);
        EXPECT_GT(s.seen.peak.load(), 900'000U);
    }
}

TEST(Server, AReaderThatTakesNothingIsEndedAfterTheStallTimeout) {
    ServerOptions o;
    o.stall_timeout = base::Millis(300);
    TestServer s(o);
    RawSocket c(s.port());
    c.shrink_receive_buffer();
    c.send("GET /stream?n=1000&size=100000 HTTP/1.1\r\nhost: x\r\n\r\n");
    EXPECT_TRUE(eventually([&] { return s.stats().requests == 1 && s.stats().connections == 0; }));
    EXPECT_TRUE(eventually([&] { return s.seen.running == 0; }));
}

TEST(Server, HandlersLearnThatTheClientIsGone) {
    TestServer s;
    for (const char* version : {"--http1.1", "--http2-prior-knowledge"}) {
        const int before = s.seen.closed;
        curl(std::string(version) + " --max-time 0.3 " + s.url("/watch"));
        EXPECT_TRUE(eventually([&] { return s.seen.closed == before + 1; })) << version;
    }
    EXPECT_TRUE(eventually([&] { return s.seen.running == 0; }));
    {
        RawSocket c(s.port());
        c.send("POST /duplex HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc");
        c.read_until("abc");
    }
    EXPECT_TRUE(eventually([&] { return s.seen.cancelled == 1 && s.seen.running == 0; }));
}

// ---- shutdown

TEST(Server, DrainsRunningRequestsAndThenCloses) {
    for (const char* version : {"--http1.1", "--http2-prior-knowledge"}) {
        TestServer s;
        auto slow = std::async(std::launch::async, [&] {
            return curl(std::string(version) + " " + s.url("/slow?ms=400"));
        });
        auto watch = std::async(std::launch::async,
                                [&] { return curl(std::string(version) + " " + s.url("/watch")); });
        RawSocket idle(s.port());
        ASSERT_TRUE(eventually([&] { return s.seen.running == 2; }));
        s.stop(base::Millis(3600 * 1000));  // all of which would outlast the test
        EXPECT_EQ(slow.get(), "slow\n");
        EXPECT_THAT(watch.get(), EndsWith("bye\n"));
        EXPECT_TRUE(idle.closed_within(1000));
        EXPECT_THAT(curl(s.url("/hello")), StartsWith("curl: (7)"));
    }
}

TEST(Server, EndsWhatDoesNotEndByItself) {
    TestServer s;
    RawSocket c(s.port());
    c.send("GET /slow?ms=60000 HTTP/1.1\r\nhost: x\r\n\r\n");
    ASSERT_TRUE(eventually([&] { return s.seen.running == 1; }));
    s.stop(base::Millis(100));
    EXPECT_EQ(s.seen.closed.load(), 1);
    EXPECT_EQ(s.seen.running.load(), 0);
    EXPECT_TRUE(c.closed_within(1000));
}

TEST(Server, SaysWhenTheAddressIsTaken) {
    TestServer s;
    base::Loop loop("other");
    ServerOptions o;
    o.port = s.port();
    Server second(loop, o, {});
    const auto port = second.listen();
    ASSERT_FALSE(port);
    EXPECT_EQ(port.error().code, base::Code::kUnavailable);
    EXPECT_THAT(port.error().message, HasSubstr("in use"));
}

}  // namespace
}  // namespace net::test
