#include "net/http.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace net {
namespace {

char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

std::string lower_case(std::string_view text) {
    std::string out(text);
    for (char& c : out)
        c = lower(c);
    return out;
}

int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    c = lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// True, and `out` set, when text[at] begins a good %XX.
bool take_escape(std::string_view text, std::size_t at, char* out) {
    if (at + 2 >= text.size()) return false;
    const int high = hex_digit(text[at + 1]);
    const int low = hex_digit(text[at + 2]);
    if (high < 0 || low < 0) return false;
    *out = static_cast<char>(high * 16 + low);
    return true;
}

std::string decode_leniently(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        char c = text[i];
        if (c == '+') {
            c = ' ';
        } else if (c == '%' && take_escape(text, i, &c)) {
            i += 2;
        }
        out.push_back(c);
    }
    return out;
}

std::string_view trim(std::string_view s) {
    while (!s.empty() && (s.front() == ' ' || s.front() == '\t'))
        s.remove_prefix(1);
    while (!s.empty() && (s.back() == ' ' || s.back() == '\t'))
        s.remove_suffix(1);
    return s;
}

}  // namespace

bool equals_ignoring_case(std::string_view a, std::string_view b) {
    return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(),
                                              [](char x, char y) { return lower(x) == lower(y); });
}

Headers::Headers(std::initializer_list<std::pair<std::string_view, std::string_view>> fields) {
    fields_.reserve(fields.size());
    for (const auto& [name, value] : fields)
        add(name, value);
}

void Headers::add(std::string_view name, std::string_view value) {
    fields_.emplace_back(lower_case(name), std::string(value));
}

void Headers::set(std::string_view name, std::string_view value) {
    remove(name);
    add(name, value);
}

void Headers::remove(std::string_view name) {
    std::erase_if(fields_, [&](const Field& f) { return equals_ignoring_case(f.first, name); });
}

const Headers::Field* Headers::find(std::string_view name) const {
    for (const Field& f : fields_)
        if (equals_ignoring_case(f.first, name)) return &f;
    return nullptr;
}

std::string_view Headers::get(std::string_view name) const {
    const Field* f = find(name);
    return f ? std::string_view(f->second) : std::string_view();
}

bool Headers::has(std::string_view name) const {
    return find(name) != nullptr;
}

std::vector<std::string_view> Headers::all(std::string_view name) const {
    std::vector<std::string_view> out;
    for (const Field& f : fields_)
        if (equals_ignoring_case(f.first, name)) out.push_back(f.second);
    return out;
}

QueryParams parse_query(std::string_view query) {
    QueryParams out;
    while (!query.empty()) {
        const auto end = query.find('&');
        const std::string_view pair = query.substr(0, end);
        query = end == std::string_view::npos ? std::string_view() : query.substr(end + 1);
        if (pair.empty()) continue;
        const auto equals = pair.find('=');
        const std::string_view value =
            equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1);
        out.emplace_back(decode_leniently(pair.substr(0, equals)), decode_leniently(value));
    }
    return out;
}

std::optional<std::string_view> query_value(const QueryParams& params, std::string_view name) {
    for (const auto& [key, value] : params)
        if (key == name) return value;
    return std::nullopt;
}

base::Result<std::string> percent_decode(std::string_view text, bool plus_is_space) {
    std::string out;
    out.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        char c = text[i];
        if (c == '+' && plus_is_space) {
            c = ' ';
        } else if (c == '%') {
            if (!take_escape(text, i, &c))
                return base::invalid_argument(fmt::format("bad escape in \"{}\"", text));
            i += 2;
        }
        out.push_back(c);
    }
    return out;
}

std::string percent_encode(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (const char c : text) {
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            c == '-' || c == '.' || c == '_' || c == '~')
            out.push_back(c);
        else
            fmt::format_to(std::back_inserter(out), "%{:02X}", static_cast<unsigned char>(c));
    }
    return out;
}

std::string_view Request::path() const {
    return std::string_view(target).substr(0, target.find('?'));
}

std::string_view Request::query() const {
    const auto mark = target.find('?');
    return mark == std::string::npos ? std::string_view()
                                     : std::string_view(target).substr(mark + 1);
}

Response Response::of(int status, std::string body, std::string_view content_type) {
    Response r;
    r.status = status;
    r.headers.add("content-type", content_type);
    r.body = share(std::move(body));
    return r;
}

std::string_view reason_phrase(int status) {
    switch (status) {
        case 100:
            return "Continue";
        case 101:
            return "Switching Protocols";
        case 200:
            return "OK";
        case 201:
            return "Created";
        case 202:
            return "Accepted";
        case 204:
            return "No Content";
        case 206:
            return "Partial Content";
        case 301:
            return "Moved Permanently";
        case 302:
            return "Found";
        case 304:
            return "Not Modified";
        case 307:
            return "Temporary Redirect";
        case 308:
            return "Permanent Redirect";
        case 400:
            return "Bad Request";
        case 401:
            return "Unauthorized";
        case 403:
            return "Forbidden";
        case 404:
            return "Not Found";
        case 405:
            return "Method Not Allowed";
        case 406:
            return "Not Acceptable";
        case 408:
            return "Request Timeout";
        case 409:
            return "Conflict";
        case 410:
            return "Gone";
        case 413:
            return "Content Too Large";
        case 415:
            return "Unsupported Media Type";
        case 417:
            return "Expectation Failed";
        case 422:
            return "Unprocessable Content";
        case 429:
            return "Too Many Requests";
        case 431:
            return "Request Header Fields Too Large";
        case 500:
            return "Internal Server Error";
        case 501:
            return "Not Implemented";
        case 502:
            return "Bad Gateway";
        case 503:
            return "Service Unavailable";
        case 504:
            return "Gateway Timeout";
        case 505:
            return "HTTP Version Not Supported";
        default:
            return "";
    }
}

bool list_has_token(std::string_view list, std::string_view token) {
    while (!list.empty()) {
        const auto comma = list.find(',');
        if (equals_ignoring_case(trim(list.substr(0, comma)), token)) return true;
        if (comma == std::string_view::npos) break;
        list.remove_prefix(comma + 1);
    }
    return false;
}

std::string Endpoint::to_string() const {
    return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port)
                                               : fmt::format("[{}]:{}", host, port);
}

base::Result<Endpoint> Endpoint::parse(std::string_view text, bool* secure) {
    const std::string_view whole = text;
    const auto bad = [&] {
        return base::invalid_argument(fmt::format("\"{}\" is not host:port or a URL", whole));
    };
    Endpoint e;
    bool tls = false;
    bool scheme = true;
    if (text.starts_with("https://")) {
        text.remove_prefix(8);
        tls = true;
    } else if (text.starts_with("http://")) {
        text.remove_prefix(7);
    } else {
        scheme = false;
    }
    if (scheme && text.ends_with('/')) text.remove_suffix(1);
    if (secure && scheme) *secure = tls;
    e.port = tls ? 443 : 80;
    std::string_view port;
    if (text.starts_with('[')) {
        const auto end = text.find(']');
        if (end == std::string_view::npos) return bad();
        e.host = text.substr(1, end - 1);
        port = text.substr(end + 1);
    } else {
        const auto colon = text.find(':');
        e.host = text.substr(0, colon);
        port = colon == std::string_view::npos ? std::string_view() : text.substr(colon);
    }
    if (e.host.empty() || e.host.find('/') != std::string::npos) return bad();
    if (port.empty()) {
        if (!scheme) return bad();
        return e;
    }
    if (port.front() != ':') return bad();
    port.remove_prefix(1);
    const auto [rest, ec] = std::from_chars(port.data(), port.data() + port.size(), e.port);
    if (ec != std::errc() || rest != port.data() + port.size() || port.empty()) return bad();
    return e;
}

}  // namespace net
