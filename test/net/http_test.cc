#include "net/http.h"

#include <gtest/gtest.h>

#include "net/grpc.h"
#include "net/h1_codec.h"

namespace net {
namespace {

TEST(Headers, LookUpIgnoresCaseAndKeepsOrder) {
    Headers h{{"Content-Type", "a"}, {"X-Many", "1"}, {"x-many", "2"}};
    EXPECT_EQ(h.get("CONTENT-TYPE"), "a");
    EXPECT_EQ(h.begin()->first, "content-type");
    EXPECT_EQ(h.all("X-MANY"), (std::vector<std::string_view>{"1", "2"}));
    h.set("x-many", "3");
    EXPECT_EQ(h.all("x-many").size(), 1U);
    EXPECT_FALSE(h.has("y"));
    EXPECT_EQ(h.get("y"), "");
}

TEST(Query, IsDecodedInOrder) {
    const auto q = parse_query("a=1&b=%2Fx+y&flag&=v&&bad=%zz");
    ASSERT_EQ(q.size(), 5U);
    EXPECT_EQ(query_value(q, "b"), "/x y");
    EXPECT_EQ(query_value(q, "flag"), "");
    EXPECT_EQ(query_value(q, "bad"), "%zz");
    EXPECT_EQ(query_value(q, "none"), std::nullopt);
}

TEST(Percent, RoundTrips) {
    const std::string text = "a/ü %~";
    EXPECT_EQ(percent_encode(text), "a%2F%C3%BC%20%25~");
    EXPECT_EQ(*percent_decode(percent_encode(text)), text);
    EXPECT_FALSE(percent_decode("%4"));
    EXPECT_EQ(*percent_decode("a+b"), "a+b");
    EXPECT_EQ(*percent_decode("a+b", true), "a b");
}

TEST(Endpoint, ParsesTheUsualForms) {
    EXPECT_EQ(Endpoint::parse("10.0.0.1:80").value(), (Endpoint{"10.0.0.1", 80}));
    EXPECT_EQ(Endpoint::parse("[::1]:80").value(), (Endpoint{"::1", 80}));
    EXPECT_EQ(Endpoint::parse("[::1]:80")->to_string(), "[::1]:80");
    bool secure = false;
    EXPECT_EQ(Endpoint::parse("https://example/", &secure).value(), (Endpoint{"example", 443}));
    EXPECT_TRUE(secure);
    for (const char* bad : {"", "x", ":1", "x:", "x:70000", "x:1y", "[::1", "http://a/b", "a:1:2"})
        EXPECT_FALSE(Endpoint::parse(bad)) << bad;
}

TEST(Grpc, TimeoutsAndMessagesAreCoded) {
    EXPECT_EQ(grpc_parse_timeout("100m"), base::Millis(100));
    EXPECT_EQ(grpc_parse_timeout("2S"), base::Millis(2000));
    EXPECT_EQ(grpc_parse_timeout("1n"), base::Millis(1));
    for (const char* bad : {"", "m", "1", "-1m", "1x", "1234567890m"})
        EXPECT_EQ(grpc_parse_timeout(bad), std::nullopt) << bad;
    EXPECT_EQ(grpc_parse_timeout(grpc_format_timeout(base::Millis(250'000'000))),
              base::Millis(250'000'000));
    EXPECT_EQ(grpc_encode_message("50 % ü\n"), "50 %25 %C3%BC%0A");
    EXPECT_EQ(grpc_decode_message("50 %25 %C3%BC%0A"), "50 % ü\n");
    EXPECT_EQ(grpc_frame("ab"), std::string("\0\0\0\0\2ab", 7));
}

// Feeds `input` in pieces of `step` bytes and writes down what the parser says.
std::string events(std::string_view input, std::size_t step, H1Parser::Kind kind,
                   std::size_t limit = 8192) {
    H1Parser parser(kind, limit);
    std::string out;
    std::string last_body;
    while (!input.empty()) {
        std::string_view in = input.substr(0, step);
        input.remove_prefix(in.size());
        for (bool more = true; more;) {
            std::string_view body;
            switch (parser.next(&in, &body)) {
                case H1Parser::Event::kNeedMore:
                    more = false;
                    break;
                case H1Parser::Event::kHead:
                    out += kind == H1Parser::Kind::kRequest
                               ? parser.head().method + " " + parser.head().target + ";"
                               : std::to_string(parser.head().status) + ";";
                    break;
                case H1Parser::Event::kBody:
                    out += body;
                    break;
                case H1Parser::Event::kEnd:
                    out += "|";
                    parser.reset();
                    break;
                case H1Parser::Event::kError:
                    return out + "!" + (parser.header_too_large() ? "large" : "");
            }
        }
    }
    return out;
}

TEST(H1Parser, SaysTheSameHoweverTheInputIsCut) {
    const std::string input =
        "GET /a HTTP/1.1\r\nhost: x\r\n\r\n"
        "POST /b HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello"
        "PUT /c HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        "3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\nx-trailer: 1\r\n\r\n"
        "GET /d HTTP/1.0\r\n\r\n";
    for (std::size_t step = 1; step <= input.size(); ++step)
        ASSERT_EQ(events(input, step, H1Parser::Kind::kRequest),
                  "GET /a;|POST /b;hello|PUT /c;abcde|GET /d;|")
            << step;
}

TEST(H1Parser, RefusesWhatCouldBeReadInTwoWays) {
    const auto first = [](const std::string& s) {
        return events(s, s.size(), H1Parser::Kind::kRequest, 512);
    };
    EXPECT_EQ(first("GET / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n"),
              "!");
    EXPECT_EQ(first("GET / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n"), "!");
    EXPECT_EQ(first("GET / HTTP/1.1\r\ncontent-length: -1\r\n\r\n"), "!");
    EXPECT_EQ(first("GET / HTTP/3.7\r\n\r\n"), "!");
    EXPECT_EQ(first("\x16\x03\x01 nonsense\r\n\r\n"), "!");
    EXPECT_EQ(first("GET / HTTP/1.1\r\nx: " + std::string(600, 'y') + "\r\n\r\n"), "!large");
}

TEST(H1Parser, ReadsResponses) {
    const std::string input =
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
        "HTTP/1.1 204 No Content\r\n\r\n";
    for (std::size_t step = 1; step <= input.size(); ++step)
        ASSERT_EQ(events(input, step, H1Parser::Kind::kResponse), "100;|200;ok|204;|") << step;
}

TEST(H1Codec, AValueCannotAddAField) {
    std::string out;
    h1_append_field(&out, "x", "a\r\nevil: 1");
    EXPECT_EQ(out, "x: a  evil: 1\r\n");
}

}  // namespace
}  // namespace net
