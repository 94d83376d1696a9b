#pragma once
// The words of HTTP that servers, clients and handlers share, whatever the version on the wire:
// header lists, requests, responses, who the peer is. Pure values, no Asio.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace net {

// Immutable bytes that many streams may queue at once without a copy each.
using SharedBytes = std::shared_ptr<const std::string>;
inline SharedBytes share(std::string bytes) {
    return std::make_shared<const std::string>(std::move(bytes));
}

// An ordered list of header fields. Names are lower-cased when they come in, so that HTTP/1.1 and
// HTTP/2 look the same; look-ups ignore case. A name may occur more than once.
class Headers {
  public:
    using Field = std::pair<std::string, std::string>;

    Headers() = default;
    Headers(std::initializer_list<std::pair<std::string_view, std::string_view>> fields);

    // Appends a field.
    void add(std::string_view name, std::string_view value);
    // Replaces all fields of this name by one.
    void set(std::string_view name, std::string_view value);
    void remove(std::string_view name);
    // The first field's value; "" when there is none.
    std::string_view get(std::string_view name) const;
    bool has(std::string_view name) const;
    // All values of the name, in order.
    std::vector<std::string_view> all(std::string_view name) const;

    auto begin() const { return fields_.begin(); }
    auto end() const { return fields_.end(); }
    std::size_t size() const { return fields_.size(); }
    bool empty() const { return fields_.empty(); }

  private:
    const Field* find(std::string_view name) const;
    std::vector<Field> fields_;
};

// Who is at the other end, from its TLS certificate.
struct PeerIdentity {
    std::string common_name;                 // subject CN
    std::vector<std::string> organizations;  // subject O, in order
    std::vector<std::string> dns_names;      // subjectAltName DNS
    std::vector<std::string> ip_addresses;   // subjectAltName IP, in text form
    std::string fingerprint_sha256;          // of the DER certificate, lower-case hex
    bool verified = false;                   // its chain leads to our client CA
};

// "a=b&c=%20d" → {{"a","b"},{"c"," d"}}, in order; '+' is a space. A bad escape stays as it is.
using QueryParams = std::vector<std::pair<std::string, std::string>>;
QueryParams parse_query(std::string_view query);
// The first parameter of that name; nullopt when there is none.
std::optional<std::string_view> query_value(const QueryParams& params, std::string_view name);
// InvalidArgument for a bad escape. `plus_is_space` as in queries, not in paths.
base::Result<std::string> percent_decode(std::string_view text, bool plus_is_space = false);
// Everything but RFC 3986's unreserved characters becomes %XX.
std::string percent_encode(std::string_view text);

enum class HttpVersion : std::uint8_t { kHttp10, kHttp11, kHttp2 };

struct Request {
    std::string method = "GET";
    std::string target = "/";  // raw: path, or path?query
    Headers headers;           // "host" carries :authority on HTTP/2
    SharedBytes body;          // clients only; on a server the body is read from the Exchange
    HttpVersion version = HttpVersion::kHttp11;
    // Server side only. `peer` is null without a client certificate.
    std::shared_ptr<const PeerIdentity> peer;
    std::string remote_address;  // "10.0.0.1:34567"
    bool secure = false;         // came over TLS

    // The raw target up to '?', and what follows it ("" when none). Views into `target`.
    std::string_view path() const;
    std::string_view query() const;
};

struct Response {
    int status = 200;
    Headers headers;
    SharedBytes body;  // null is an empty body

    std::string_view text() const { return body ? std::string_view(*body) : std::string_view(); }
    static Response of(int status, std::string body,
                       std::string_view content_type = "text/plain; charset=utf-8");
};

// "Not Found", …; "" for a status unknown to RFC 9110 and friends.
std::string_view reason_phrase(int status);
// True for "a, B ,c" and "b": a comma-separated list that holds the token, case ignored.
bool list_has_token(std::string_view list, std::string_view token);
bool equals_ignoring_case(std::string_view a, std::string_view b);

// "host:port" or "[v6]:port".
struct Endpoint {
    std::string host;
    std::uint16_t port = 0;

    std::string to_string() const;
    // Also takes http:// and https:// in front (`secure` tells which, when given). A missing port
    // is the scheme's.
    static base::Result<Endpoint> parse(std::string_view text, bool* secure = nullptr);
    friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

}  // namespace net
