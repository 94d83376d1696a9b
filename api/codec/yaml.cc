#include "api/codec/yaml.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <boost/json.hpp>
#include <charconv>
#include <map>
#include <sstream>

#include "api/codec/json.h"
#include "base/bytes.h"

namespace api {
namespace {

namespace json = boost::json;

constexpr std::string_view kMergeKey = "<<";

// Thrown through yaml-cpp, caught at parse().
struct Refused {
    std::string why;
};

bool one_of(std::string_view s, std::initializer_list<std::string_view> all) {
    for (const auto a : all)
        if (a == s) return true;
    return false;
}

// Go's ParseInt with base 0: 0x, 0o, 0b, a leading 0 for octal, '_' between digits.
bool integer(std::string_view text, json::value* out) {
    std::string digits;
    for (const char c : text)
        if (c != '_') digits += c;
    std::string_view s = digits;
    const bool negative = !s.empty() && s[0] == '-';
    if (!s.empty() && (s[0] == '-' || s[0] == '+')) s.remove_prefix(1);
    int base = 10;
    if (s.size() > 1 && s[0] == '0') {
        const char c = static_cast<char>(s[1] | 0x20);
        base = c == 'x' ? 16 : c == 'b' ? 2 : 8;
        s.remove_prefix(c == 'x' || c == 'b' || c == 'o' ? 2 : 1);
    }
    std::uint64_t v = 0;
    const auto [end, ec] = std::from_chars(s.data(), s.data() + s.size(), v, base);
    if (s.empty() || ec != std::errc() || end != s.data() + s.size()) return false;
    if (negative) {
        if (v > std::uint64_t{1} << 63) return false;
        *out = static_cast<std::int64_t>(0 - v);
    } else if (v <= INT64_MAX) {
        *out = static_cast<std::int64_t>(v);
    } else {
        *out = v;
    }
    return true;
}

// [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?
bool real(std::string_view s, json::value* out) {
    const auto digits = [](std::string_view t, std::size_t* i) {
        const std::size_t from = *i;
        while (*i < t.size() && t[*i] >= '0' && t[*i] <= '9')
            ++*i;
        return *i - from;
    };
    const bool plus = !s.empty() && s[0] == '+';
    std::size_t i = !s.empty() && (s[0] == '-' || s[0] == '+') ? 1 : 0;
    const std::size_t whole = digits(s, &i);
    if (i < s.size() && s[i] == '.') {
        ++i;
        if (digits(s, &i) == 0 && whole == 0) return false;
    } else if (whole == 0) {
        return false;
    }
    if (i < s.size() && (s[i] == 'e' || s[i] == 'E')) {
        ++i;
        if (i < s.size() && (s[i] == '-' || s[i] == '+')) ++i;
        if (digits(s, &i) == 0) return false;
    }
    if (i != s.size()) return false;
    double v = 0;
    const auto [end, ec] = std::from_chars(s.data() + (plus ? 1 : 0), s.data() + s.size(), v);
    if (ec != std::errc()) return false;
    *out = v;
    return true;
}

json::value plain_scalar(const std::string& s) {
    if (one_of(s, {"", "~", "null", "Null", "NULL"})) return nullptr;
    if (one_of(s, {"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"})) return true;
    if (one_of(s, {"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"})) return false;
    if (one_of(s, {".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF",
                   "-.inf", "-.Inf", "-.INF"}))
        throw Refused{"json: unsupported value: " + s};
    const char c = s[0];
    json::value out;
    if ((c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.') {
        if (c != '.' && integer(s, &out)) return out;
        if (real(s, &out)) return out;
    }
    return json::value(s);
}

json::value scalar(const std::string& tag, const std::string& s) {
    if (tag == "?" || tag.empty()) return plain_scalar(s);
    if (tag == "!" || tag == "tag:yaml.org,2002:str") return json::value(s);
    if (tag == "tag:yaml.org,2002:binary") {
        std::string text;
        for (const char c : s)
            if (c != '\n' && c != ' ' && c != '\r') text += c;
        auto bytes = base::base64_decode(text);
        if (!bytes) throw Refused{"yaml: !!binary value contains invalid base64 data"};
        return json::value(*bytes);
    }
    return plain_scalar(s);
}

std::string key_text(const json::value& key) {
    if (key.is_string()) return std::string(key.get_string());
    if (key.is_array() || key.is_object()) throw Refused{"a map's key is no scalar"};
    return json_text(key);
}

std::size_t count(const json::value& v) {
    std::size_t n = 1;
    if (v.is_array())
        for (const auto& item : v.get_array())
            n += count(item);
    if (v.is_object())
        for (const auto& [key, item] : v.get_object())
            n += count(item);
    return n;
}

// Builds a document's value out of the parser's events.
class Builder : public YAML::EventHandler {
  public:
    explicit Builder(std::size_t most_nodes) : left_(most_nodes) {}

    json::value take() { return std::move(result_); }

    void OnDocumentStart(const YAML::Mark&) override {}
    void OnDocumentEnd() override {}
    void OnNull(const YAML::Mark&, YAML::anchor_t anchor) override { done(nullptr, anchor); }
    void OnAlias(const YAML::Mark&, YAML::anchor_t anchor) override {
        const auto it = anchors_.find(anchor);
        if (it == anchors_.end()) throw Refused{"yaml: an anchor contains itself"};
        spend(count(it->second));
        done(it->second, 0);
    }
    void OnScalar(const YAML::Mark&, const std::string& tag, YAML::anchor_t anchor,
                  const std::string& value) override {
        spend(1);
        // A quoted "<<" is no merge.
        if (tag == "?" && value == kMergeKey && !open_.empty() && open_.back().expects_key()) {
            open_.back().has_key = open_.back().merging = true;
            return;
        }
        done(scalar(tag, value), anchor);
    }
    void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t anchor,
                         YAML::EmitterStyle::value) override {
        open(json::array(), anchor);
    }
    void OnSequenceEnd() override { close(); }
    void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t anchor,
                    YAML::EmitterStyle::value) override {
        open(json::object(), anchor);
    }
    void OnMapEnd() override {
        Open& map = open_.back();
        auto& object = map.value.get_object();
        for (const auto& from : map.merged) {
            if (!from.is_object())
                throw Refused{"yaml: map merge requires map or sequence of maps as the value"};
            for (const auto& [key, value] : from.get_object())
                if (!object.contains(key)) object.emplace(key, value);
        }
        close();
    }

  private:
    struct Open {
        json::value value;
        YAML::anchor_t anchor = 0;
        bool has_key = false;
        bool merging = false;
        std::string key;
        std::vector<json::value> merged;

        bool expects_key() const { return value.is_object() && !has_key; }
    };

    void spend(std::size_t n) {
        if (n > left_) throw Refused{"yaml: document contains excessive aliasing"};
        left_ -= n;
    }
    void open(json::value empty, YAML::anchor_t anchor) {
        spend(1);
        if (static_cast<int>(open_.size()) >= kMaxJsonDepth)
            throw Refused{"yaml: exceeded max depth"};
        Open o;
        o.value = std::move(empty);
        o.anchor = anchor;
        open_.push_back(std::move(o));
    }
    void close() {
        Open ended = std::move(open_.back());
        open_.pop_back();
        done(std::move(ended.value), ended.anchor);
    }
    void done(json::value v, YAML::anchor_t anchor) {
        if (anchor != 0) anchors_[anchor] = v;
        if (open_.empty()) {
            result_ = std::move(v);
            return;
        }
        Open& in = open_.back();
        if (in.value.is_array()) {
            in.value.get_array().push_back(std::move(v));
        } else if (!in.has_key) {
            in.key = key_text(v);
            in.has_key = true;
        } else {
            in.has_key = false;
            if (std::exchange(in.merging, false)) {
                if (v.is_array())
                    for (auto& item : v.get_array())
                        in.merged.push_back(std::move(item));
                else
                    in.merged.push_back(std::move(v));
            } else {
                in.value.get_object().insert_or_assign(in.key, std::move(v));
            }
        }
    }

    std::size_t left_;
    std::vector<Open> open_;
    std::map<YAML::anchor_t, json::value> anchors_;
    json::value result_;
};

base::Result<std::vector<json::value>> parse(std::string_view text, bool only_first) {
    const auto error = [](std::string_view why) {
        return base::invalid_argument(fmt::format("error converting YAML to JSON: {}", why));
    };
    std::vector<json::value> out;
    try {
        std::istringstream in{std::string(text)};
        YAML::Parser parser(in);
        std::size_t budget = 1000 + 64 * text.size();
        for (;;) {
            Builder builder(budget);
            if (!parser.HandleNextDocument(builder)) break;
            auto value = builder.take();
            if (!value.is_null() || only_first) out.push_back(std::move(value));
            if (only_first) break;
        }
    } catch (const YAML::Exception& e) {
        return error(fmt::format("yaml: line {}: {}", e.mark.line + 1, e.msg));
    } catch (const Refused& e) {
        return error(e.why);
    }
    return out;
}

}  // namespace

base::Result<json::value> parse_yaml(std::string_view text) {
    TRY(auto all, parse(text, true));
    return all.empty() ? json::value() : std::move(all[0]);
}

base::Result<std::vector<json::value>> parse_yaml_documents(std::string_view text) {
    return parse(text, false);
}

}  // namespace api
