#include "net/h2_session.h"

#include <gtest/gtest.h>

namespace {

// Both sides keep what they were told.
class Stream final : public net::H2Stream {
  public:
    void on_header(std::string_view, nghttp2_rcbuf*, nghttp2_rcbuf*) override {}
    void on_headers_end() override { headers = true; }
    void on_chunk(std::string_view bytes) override { body.append(bytes); }
    void on_end_stream() override { ended = true; }
    void on_stream_close(std::uint32_t) override { closed = true; }

    void send(std::string bytes) {
        push_body(net::share(std::move(bytes)));
        end_body(Tail::kNone);
    }

    std::string body;
    bool headers = false;
    bool ended = false;
    bool closed = false;
};

class Session final : public net::H2Session {
  public:
    explicit Session(const Settings& settings) : H2Session(settings) {}
    ~Session() override { close_all_streams(NGHTTP2_CANCEL); }
    void session_has_output() override {}
    net::H2Stream* on_new_stream(std::int32_t) override { return &stream; }

    Stream stream;
};

constexpr std::uint32_t kWindow = 16 << 20;
constexpr std::size_t kFrame = 16 << 10;

// All that one has for the other now; the size of the largest burst.
std::size_t carry(Session& from, Session& to, std::size_t burst) {
    std::size_t largest = 0;
    for (;;) {
        std::string out;
        from.produce(&out, burst);
        if (out.empty()) return largest;
        largest = std::max(largest, out.size());
        EXPECT_TRUE(to.receive(out));
    }
}

TEST(H2SessionTest, ALongBodyLeavesInBurstsHoweverLargeThePeersWindowIs) {
    Session server({.server = true});
    Session client({.server = false, .stream_window = kWindow, .connection_window = kWindow});
    const std::vector<nghttp2_nv> request = {
        net::h2_field(":method", "GET"), net::h2_field(":scheme", "http"),
        net::h2_field(":authority", "a"), net::h2_field(":path", "/")};
    ASSERT_TRUE(client.submit_request(&client.stream, request, false));
    carry(client, server, 1 << 20);
    ASSERT_TRUE(server.stream.ended);

    const std::string body(10 << 20, 'b');
    server.submit_response(&server.stream, {net::h2_field(":status", "200")}, true);
    server.stream.send(body);
    const std::size_t burst = 128 << 10;
    EXPECT_LE(carry(server, client, burst), burst + kFrame + 9);
    EXPECT_TRUE(client.stream.ended);
    EXPECT_TRUE(client.stream.body == body);
    EXPECT_EQ(server.total_queued(), 0U);
}

}  // namespace
