#pragma once
// HTTP/1.1 on bytes: a pull parser for one message after another (Boost.Beast's parser inside) and
// the writing of heads and chunks. Pure.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "net/http.h"

namespace net {

struct H1Head {
    std::string method;  // requests
    std::string target;
    int status = 0;  // responses
    HttpVersion version = HttpVersion::kHttp11;
    Headers headers;
    Headers trailers;  // complete at kEnd
    bool keep_alive = false;
    bool expect_continue = false;
    bool until_eof = false;  // a response whose body ends with the connection
    std::optional<std::uint64_t> content_length;
};

class H1Parser {
  public:
    enum class Kind { kRequest, kResponse };
    enum class Event {
        kNeedMore,  // `in` is used up
        kHead,      // head() is complete
        kBody,      // `body` holds a piece
        kEnd,       // the message is complete; reset() before the next
        kError,     // error(); the parser is of no more use
    };

    H1Parser(Kind kind, std::size_t header_limit);
    ~H1Parser();

    // Takes what it needs off the front of `*in` and says what it found. `*body` (for kBody) is
    // valid until the next call, as long as the input is. Incomplete heads are kept inside.
    Event next(std::string_view* in, std::string_view* body);
    // The connection ended: kEnd when that ends the message, else kError.
    Event end_of_input();
    // For the next message. `no_body`: the response to a HEAD.
    void reset(bool no_body = false);

    H1Head& head();
    const std::string& error() const;
    // The head was over the limit (431).
    bool header_too_large() const;
    // Nothing of a message has been taken yet.
    bool at_start() const;
    // Input taken in but not used yet: belongs to what follows.
    std::string take_rest();

  private:
    Event fail();

    struct Impl;
    std::unique_ptr<Impl> impl_;
};

// "HTTP/1.1 200 OK\r\n" + fields, without the empty line. Control characters in values are
// replaced by spaces, so that no value can add a field.
void h1_append_status(std::string* out, HttpVersion version, int status);
void h1_append_field(std::string* out, std::string_view name, std::string_view value);

}  // namespace net
