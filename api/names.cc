#include "api/names.h"

#include <fmt/format.h>

namespace api {

namespace {

bool lower(char c) { return c >= 'a' && c <= 'z'; }
bool digit(char c) { return c >= '0' && c <= '9'; }
bool upper(char c) { return c >= 'A' && c <= 'Z'; }
bool lower_alnum(char c) { return lower(c) || digit(c); }
bool alnum(char c) { return lower_alnum(c) || upper(c); }

// [a-z0-9]([-a-z0-9]*[a-z0-9])?
bool is_label(std::string_view s) {
    if (s.empty() || !lower_alnum(s.front()) || !lower_alnum(s.back())) return false;
    for (char c : s)
        if (!lower_alnum(c) && c != '-') return false;
    return true;
}

bool is_name(std::string_view s) {
    if (s.empty() || !alnum(s.front()) || !alnum(s.back())) return false;
    for (char c : s)
        if (!alnum(c) && c != '-' && c != '_' && c != '.') return false;
    return true;
}

std::string too_long(std::size_t max) { return fmt::format("must be no more than {} characters", max); }

constexpr const char* kLabel =
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for "
    "validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
constexpr const char* kSubdomain =
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for "
    "validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
constexpr const char* kLabel1035 =
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex "
    "used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
constexpr const char* kQualified =
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
    "validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
constexpr const char* kLabelValue =
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or "
    "'12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

}  // namespace

std::string bad_dns1123_label(std::string_view text) {
    if (text.size() > 63) return too_long(63);
    return is_label(text) ? "" : kLabel;
}

std::string bad_dns1123_subdomain(std::string_view text) {
    if (text.size() > 253) return too_long(253);
    for (std::string_view rest = text;;) {
        const auto dot = rest.find('.');
        if (!is_label(rest.substr(0, dot))) return kSubdomain;
        if (dot == std::string_view::npos) return {};
        rest.remove_prefix(dot + 1);
    }
}

std::string bad_dns1035_label(std::string_view text) {
    if (text.size() > 63) return too_long(63);
    return is_label(text) && lower(text.front()) ? "" : kLabel1035;
}

std::string bad_qualified_name(std::string_view text) {
    const auto slash = text.find('/');
    std::string_view name = text;
    if (slash != std::string_view::npos) {
        const auto prefix = text.substr(0, slash);
        name = text.substr(slash + 1);
        if (name.find('/') != std::string_view::npos)
            return std::string("a qualified name ") + kQualified + " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
        if (prefix.empty()) return "prefix part must be non-empty";
        if (auto wrong = bad_dns1123_subdomain(prefix); !wrong.empty()) return "prefix part " + wrong;
    }
    if (name.empty()) return "name part must be non-empty";
    if (name.size() > 63) return "name part " + too_long(63);
    return is_name(name) ? "" : kQualified;
}

std::string bad_label_value(std::string_view text) {
    if (text.size() > 63) return too_long(63);
    return text.empty() || is_name(text) ? "" : kLabelValue;
}

std::string bad_path_segment(std::string_view text) {
    if (text == ".") return "may not be '.'";
    if (text == "..") return "may not be '..'";
    if (text.find('/') != std::string_view::npos) return "may not contain '/'";
    if (text.find('%') != std::string_view::npos) return "may not contain '%'";
    return {};
}

std::string bad_env_name(std::string_view text) {
    if (text.empty()) return "environment variable name must not be empty";
    for (char c : text)
        if (c < 0x20 || c > 0x7E || c == '=') return "a valid environment variable name must consist only of printable ASCII characters other than '='";
    return {};
}

std::string bad_config_map_key(std::string_view text) {
    if (text.size() > 253) return too_long(253);
    if (text == "." || text == "..") return fmt::format("must not be '{}'", text);
    for (char c : text)
        if (!alnum(c) && c != '-' && c != '_' && c != '.')
            return "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
    return text.empty() ? "a valid config key must not be empty" : "";
}

std::string bad_port_name(std::string_view text) {
    if (text.size() > 15) return too_long(15);
    bool letter = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        letter = letter || lower(text[i]);
        if (!lower_alnum(text[i]) && text[i] != '-') return "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)";
        if (text[i] == '-' && i > 0 && text[i - 1] == '-') return "must not contain consecutive hyphens";
    }
    if (!letter) return "must contain at least one letter (a-z)";
    if (text.front() == '-' || text.back() == '-') return "must not begin or end with a hyphen";
    return {};
}

std::string bad_port_number(std::int64_t port) { return port >= 1 && port <= 65535 ? "" : "must be between 1 and 65535, inclusive"; }

}  // namespace api
