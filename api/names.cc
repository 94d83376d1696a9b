#include "api/names.h"

#include <fmt/format.h>

#include <initializer_list>
#include <utility>

namespace api {
namespace {

constexpr std::size_t kMaxLabel = 63;
constexpr std::size_t kMaxSubdomain = 253;
constexpr std::size_t kMaxPortName = 15;

bool is_lower(char c) {
    return c >= 'a' && c <= 'z';
}
bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
bool is_alnum(char c) {
    return is_lower(c) || is_digit(c) || (c >= 'A' && c <= 'Z');
}
bool is_lower_alnum(char c) {
    return is_lower(c) || is_digit(c);
}

// Not empty; `ends` holds for the first and the last character, `inside` for those between.
template <class Ends, class Inside>
bool made_of(std::string_view s, Ends ends, Inside inside) {
    if (s.empty() || !ends(s.front()) || !ends(s.back())) return false;
    for (const char c : s)
        if (!inside(c)) return false;
    return true;
}

bool is_label(std::string_view s) {
    return made_of(s, is_lower_alnum, [](char c) { return is_lower_alnum(c) || c == '-'; });
}

bool is_subdomain(std::string_view s) {
    for (;;) {
        const auto dot = s.find('.');
        if (!is_label(s.substr(0, dot))) return false;
        if (dot == std::string_view::npos) return true;
        s.remove_prefix(dot + 1);
    }
}

bool is_name_part(std::string_view s) {
    return made_of(s, is_alnum,
                   [](char c) { return is_alnum(c) || c == '-' || c == '_' || c == '.'; });
}

std::string regex_error(std::string_view what, std::string_view pattern,
                        std::initializer_list<std::string_view> examples) {
    std::string out(what);
    out += " (e.g. ";
    for (bool more = false; const auto e : examples) {
        if (std::exchange(more, true)) out += " or ";
        out += fmt::format("'{}', ", e);
    }
    return out + fmt::format("regex used for validation is '{}')", pattern);
}

std::string too_many_characters(std::size_t n) {
    return fmt::format("must be no more than {} characters", n);
}
std::string too_many_bytes(std::size_t n) {
    return fmt::format("must be no more than {} bytes", n);
}

// Collects faults, as upstream joins them.
class Faults {
  public:
    void add(bool wrong, const std::string& text) {
        if (!wrong) return;
        if (!all_.empty()) all_ += "; ";
        all_ += text;
    }
    std::string take() { return std::move(all_); }

  private:
    std::string all_;
};

constexpr std::string_view kLabelPattern = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
constexpr std::string_view kNamePattern = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
constexpr std::string_view kNameRule =
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character";

std::string subdomain_rule() {
    return regex_error(
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
        "'.', and must start and end with an alphanumeric character",
        fmt::format("{0}(\\.{0})*", kLabelPattern), {"example.com"});
}

}  // namespace

std::string bad_dns1123_label(std::string_view s) {
    Faults faults;
    faults.add(s.size() > kMaxLabel, too_many_characters(kMaxLabel));
    if (!is_label(s))
        faults.add(true, is_subdomain(s) ? "must not contain dots"
                                         : regex_error("a lowercase RFC 1123 label must consist of "
                                                       "lower case alphanumeric characters or '-', "
                                                       "and must start and end with an "
                                                       "alphanumeric character",
                                                       kLabelPattern, {"my-name", "123-abc"}));
    return faults.take();
}

std::string bad_dns1123_subdomain(std::string_view s) {
    Faults faults;
    faults.add(s.size() > kMaxSubdomain, too_many_characters(kMaxSubdomain));
    if (!is_subdomain(s)) faults.add(true, subdomain_rule());
    return faults.take();
}

std::string bad_dns1035_label(std::string_view s) {
    Faults faults;
    faults.add(s.size() > kMaxLabel, too_many_characters(kMaxLabel));
    if (!is_label(s) || !is_lower(s.front()))
        faults.add(true, regex_error("a DNS-1035 label must consist of lower case alphanumeric "
                                     "characters or '-', start with an alphabetic character, and "
                                     "end with an alphanumeric character",
                                     "[a-z]([-a-z0-9]*[a-z0-9])?", {"my-name", "abc-123"}));
    return faults.take();
}

std::string bad_qualified_name(std::string_view s) {
    Faults faults;
    std::string_view name = s;
    if (const auto slash = s.find('/'); slash != std::string_view::npos) {
        const auto prefix = s.substr(0, slash);
        name = s.substr(slash + 1);
        if (name.find('/') != std::string_view::npos)
            return "a valid label key " +
                   regex_error(kNameRule, kNamePattern, {"MyName", "my.name", "123-abc"}) +
                   " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
        if (prefix.empty())
            faults.add(true, "prefix part must be non-empty");
        else if (auto wrong = bad_dns1123_subdomain(prefix); !wrong.empty())
            faults.add(true, "prefix part " + wrong);
    }
    faults.add(name.empty(), "name part must be non-empty");
    faults.add(name.size() > kMaxLabel, "name part " + too_many_bytes(kMaxLabel));
    if (!is_name_part(name))
        faults.add(true, "name part " + regex_error(kNameRule, kNamePattern,
                                                    {"MyName", "my.name", "123-abc"}));
    return faults.take();
}

std::string bad_label_value(std::string_view s) {
    Faults faults;
    faults.add(s.size() > kMaxLabel, too_many_bytes(kMaxLabel));
    if (!s.empty() && !is_name_part(s))
        faults.add(true, regex_error(
                             "a valid label must be an empty string or consist of alphanumeric "
                             "characters, '-', '_' or '.', and must start and end with an "
                             "alphanumeric character",
                             fmt::format("({})?", kNamePattern), {"MyValue", "my_value", "12345"}));
    return faults.take();
}

std::string bad_path_segment(std::string_view s) {
    if (s == "." || s == "..") return fmt::format("may not be '{}'", s);
    Faults faults;
    for (const char c : {'/', '%'})
        faults.add(s.find(c) != std::string_view::npos, fmt::format("may not contain '{}'", c));
    return faults.take();
}

namespace {

// Names that are used as files must not lead elsewhere.
void refuse_dots(std::string_view s, Faults* faults) {
    if (s == "." || s == "..")
        faults->add(true, fmt::format("must not be '{}'", s));
    else
        faults->add(s.starts_with(".."), "must not start with '..'");
}

bool is_key(std::string_view s) {
    if (s.empty()) return false;
    for (const char c : s)
        if (!is_alnum(c) && c != '-' && c != '.' && c != '_') return false;
    return true;
}

}  // namespace

std::string bad_env_name(std::string_view s) {
    if (s.empty()) return "environment variable name must be non-empty";
    for (const char c : s)
        if (c < ' ' || c > '~' || c == '=')
            return "a valid environment variable name must consist only of printable ASCII "
                   "characters other than '='";
    return {};
}

std::string bad_config_map_key(std::string_view s) {
    Faults faults;
    faults.add(s.size() > kMaxSubdomain, too_many_characters(kMaxSubdomain));
    if (!is_key(s))
        faults.add(true, regex_error("a valid config key must consist of alphanumeric characters, "
                                     "'-', '_' or '.'",
                                     "[-._a-zA-Z0-9]+", {"key.name", "KEY_NAME", "key-name"}));
    refuse_dots(s, &faults);
    return faults.take();
}

std::string bad_port_name(std::string_view s) {
    Faults faults;
    bool charset = !s.empty();
    bool letter = false;
    for (const char c : s) {
        charset = charset && (is_lower_alnum(c) || c == '-');
        letter = letter || is_lower(c);
    }
    faults.add(s.size() > kMaxPortName, too_many_characters(kMaxPortName));
    faults.add(!charset, "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
    faults.add(!letter, "must contain at least one letter (a-z)");
    faults.add(s.find("--") != std::string_view::npos, "must not contain consecutive hyphens");
    faults.add(s.starts_with('-') || s.ends_with('-'), "must not begin or end with a hyphen");
    return faults.take();
}

std::string bad_port_number(std::int64_t port) {
    return port >= 1 && port <= 65535 ? std::string() : "must be between 1 and 65535, inclusive";
}

}  // namespace api
