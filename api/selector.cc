#include "api/selector.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "api/names.h"
#include "api/proto/meta_v1.pb.h"

namespace api {

namespace {

using Op = LabelRequirement::Op;

std::string trimmed(std::string_view s) {
    while (!s.empty() && std::isspace(static_cast<unsigned char>(s.front()))) s.remove_prefix(1);
    while (!s.empty() && std::isspace(static_cast<unsigned char>(s.back()))) s.remove_suffix(1);
    return std::string(s);
}

base::Error unparsable(std::string_view text, const std::string& why) {
    return base::invalid_argument(fmt::format("unable to parse requirement: {} in \"{}\"", why, text));
}

base::Status check(const LabelRequirement& r) {
    if (auto wrong = bad_qualified_name(r.key); !wrong.empty()) return base::invalid_argument(fmt::format("key: Invalid value: \"{}\": {}", r.key, wrong));
    for (const auto& v : r.values)
        if (auto wrong = bad_label_value(v); !wrong.empty()) return base::invalid_argument(fmt::format("values[0][{}]: Invalid value: \"{}\": {}", r.key, v, wrong));
    return {};
}

// Splits at commas outside of parentheses.
std::vector<std::string> split_terms(std::string_view text) {
    std::vector<std::string> out;
    std::string term;
    int depth = 0;
    for (char c : text) {
        if (c == '(') ++depth;
        if (c == ')') --depth;
        if (c == ',' && depth == 0) {
            out.push_back(std::move(term));
            term.clear();
            continue;
        }
        term += c;
    }
    out.push_back(std::move(term));
    return out;
}

// "a in (b, c)" and "a notin (b)"; nothing when the term is of another form.
std::optional<base::Result<LabelRequirement>> set_term(const std::string& term) {
    const auto open = term.find('(');
    if (open == std::string::npos) return std::nullopt;
    const std::string head = trimmed(term.substr(0, open));
    const auto space = head.find_last_of(" \t");
    if (space == std::string::npos || term.back() != ')') return unparsable(term, "found no operator before the values");
    const std::string word = head.substr(space + 1);
    LabelRequirement r;
    r.key = trimmed(head.substr(0, space));
    if (word != "in" && word != "notin") return unparsable(term, "found '" + word + "', expected: in, notin");
    r.op = word == "in" ? Op::kIn : Op::kNotIn;
    const std::string inside = term.substr(open + 1, term.size() - open - 2);
    for (std::size_t at = 0;;) {
        const auto comma = inside.find(',', at);
        r.values.push_back(trimmed(inside.substr(at, comma == std::string::npos ? comma : comma - at)));
        if (comma == std::string::npos) break;
        at = comma + 1;
    }
    std::sort(r.values.begin(), r.values.end());
    return r;
}

base::Result<LabelRequirement> parse_term(const std::string& term) {
    if (auto set = set_term(term)) return std::move(*set);
    LabelRequirement r;
    if (term[0] == '!' && term.find('=') == std::string::npos) {
        r.key = trimmed(term.substr(1));
        r.op = Op::kDoesNotExist;
        return r;
    }
    const auto at = term.find_first_of("=!<>");
    if (at == std::string::npos) {
        r.key = term;
        r.op = Op::kExists;
        if (r.key.find_first_of(" \t") != std::string::npos) return unparsable(term, "found '" + r.key.substr(r.key.find_last_of(" \t") + 1) + "', expected: in, notin, =, ==, !=, gt, lt");
        return r;
    }
    r.key = trimmed(term.substr(0, at));
    std::size_t length = 1;
    if (term[at] == '!') {
        if (at + 1 >= term.size() || term[at + 1] != '=') return unparsable(term, "found '!', expected: in, notin, =, ==, !=, gt, lt");
        r.op = Op::kNotEquals;
        length = 2;
    } else if (term[at] == '=') {
        r.op = Op::kEquals;
        if (at + 1 < term.size() && term[at + 1] == '=') length = 2;
    } else {
        r.op = term[at] == '>' ? Op::kGreater : Op::kLess;
    }
    r.values.push_back(trimmed(term.substr(at + length)));
    if (r.values[0].find_first_of("=!<>") != std::string::npos) return unparsable(term, "found '=', expected: identifier");
    return r;
}

std::optional<std::int64_t> number(const std::string& text) {
    std::int64_t out = 0;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), out);
    return ec == std::errc() && end == text.data() + text.size() ? std::optional(out) : std::nullopt;
}

}  // namespace

bool LabelRequirement::matches(const std::string* value) const {
    const bool among = value != nullptr && std::find(values.begin(), values.end(), *value) != values.end();
    switch (op) {
        case Op::kIn:
        case Op::kEquals: return among;
        // A label that is not there has none of the values.
        case Op::kNotIn:
        case Op::kNotEquals: return !among;
        case Op::kExists: return value != nullptr;
        case Op::kDoesNotExist: return value == nullptr;
        case Op::kGreater:
        case Op::kLess: {
            const auto have = value == nullptr ? std::nullopt : number(*value);
            const auto limit = values.empty() ? std::nullopt : number(values[0]);
            return have && limit && (op == Op::kGreater ? *have > *limit : *have < *limit);
        }
    }
    return false;
}

LabelSelector LabelSelector::nothing() {
    LabelSelector out;
    out.nothing_ = true;
    return out;
}

base::Result<LabelSelector> LabelSelector::parse(std::string_view text) {
    LabelSelector out;
    if (trimmed(text).empty()) return out;
    for (const auto& raw : split_terms(text)) {
        const std::string term = trimmed(raw);
        if (term.empty()) return unparsable(text, "found ',', expected: !, identifier, or 'end of string'");
        TRY(LabelRequirement r, parse_term(term));
        TRY_VOID(check(r));
        out.requirements_.push_back(std::move(r));
    }
    std::stable_sort(out.requirements_.begin(), out.requirements_.end(), [](const auto& a, const auto& b) { return a.key < b.key; });
    return out;
}

base::Result<LabelSelector> LabelSelector::from(const ::k8s::io::apimachinery::pkg::apis::meta::v1::LabelSelector& selector) {
    LabelSelector out = from_set(selector.matchlabels());
    for (const auto& e : selector.matchexpressions()) {
        LabelRequirement r;
        r.key = e.key();
        r.values.assign(e.values().begin(), e.values().end());
        std::sort(r.values.begin(), r.values.end());
        if (e.operator_() == "In")
            r.op = Op::kIn;
        else if (e.operator_() == "NotIn")
            r.op = Op::kNotIn;
        else if (e.operator_() == "Exists")
            r.op = Op::kExists;
        else if (e.operator_() == "DoesNotExist")
            r.op = Op::kDoesNotExist;
        else
            return base::invalid_argument(fmt::format("\"{}\" is not a valid label selector operator", e.operator_()));
        const bool needs_values = r.op == Op::kIn || r.op == Op::kNotIn;
        if (needs_values && r.values.empty()) return base::invalid_argument("values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty");
        if (!needs_values && !r.values.empty()) return base::invalid_argument("values: Invalid value: values set must be empty for exists and does not exist");
        TRY_VOID(check(r));
        out.requirements_.push_back(std::move(r));
    }
    std::stable_sort(out.requirements_.begin(), out.requirements_.end(), [](const auto& a, const auto& b) { return a.key < b.key; });
    return out;
}

LabelSelector LabelSelector::from_set(const Labels& labels) {
    LabelSelector out;
    for (const auto& [key, value] : labels) out.requirements_.push_back({key, Op::kEquals, {value}});
    std::sort(out.requirements_.begin(), out.requirements_.end(), [](const auto& a, const auto& b) { return a.key < b.key; });
    return out;
}

bool LabelSelector::matches(const Labels& labels) const {
    if (nothing_) return false;
    return std::all_of(requirements_.begin(), requirements_.end(), [&](const auto& r) {
        const auto it = labels.find(r.key);
        return r.matches(it == labels.end() ? nullptr : &it->second);
    });
}

bool LabelSelector::matches(const std::map<std::string, std::string>& labels) const {
    if (nothing_) return false;
    return std::all_of(requirements_.begin(), requirements_.end(), [&](const auto& r) {
        const auto it = labels.find(r.key);
        return r.matches(it == labels.end() ? nullptr : &it->second);
    });
}

std::string LabelSelector::to_string() const {
    std::string out;
    for (const auto& r : requirements_) {
        if (!out.empty()) out += ',';
        std::string values;
        for (const auto& v : r.values) values += (values.empty() ? "" : ",") + v;
        switch (r.op) {
            case Op::kIn: out += r.key + " in (" + values + ")"; break;
            case Op::kNotIn: out += r.key + " notin (" + values + ")"; break;
            case Op::kExists: out += r.key; break;
            case Op::kDoesNotExist: out += "!" + r.key; break;
            case Op::kEquals: out += r.key + "=" + values; break;
            case Op::kNotEquals: out += r.key + "!=" + values; break;
            case Op::kGreater: out += r.key + ">" + values; break;
            case Op::kLess: out += r.key + "<" + values; break;
        }
    }
    return out;
}

base::Result<FieldSelector> FieldSelector::parse(std::string_view text) {
    FieldSelector out;
    if (text.empty()) return out;
    // A backslash keeps the next character from having a meaning.
    std::vector<std::string> raw(1);
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\\' && i + 1 < text.size()) {
            raw.back() += text.substr(i++, 2);
            continue;
        }
        if (text[i] == ',')
            raw.emplace_back();
        else
            raw.back() += text[i];
    }
    for (const auto& term : raw) {
        if (term.empty()) continue;
        const auto at = term.find('=');
        if (at == std::string::npos || at == 0) return base::invalid_argument(fmt::format("invalid selector: '{}'; can't understand '{}'", text, term));
        Term t;
        t.equal = term[at - 1] != '!';
        t.field = term.substr(0, t.equal ? at : at - 1);
        const std::string value = term.substr(at + (t.equal && at + 1 < term.size() && term[at + 1] == '=' ? 2 : 1));
        for (std::size_t i = 0; i < value.size(); ++i) {
            if (value[i] == '\\' && i + 1 < value.size()) ++i;
            t.value += value[i];
        }
        out.terms_.push_back(std::move(t));
    }
    return out;
}

bool FieldSelector::matches(const std::function<std::string(std::string_view)>& look_up) const {
    return std::all_of(terms_.begin(), terms_.end(), [&](const Term& t) { return (look_up(t.field) == t.value) == t.equal; });
}

const std::string* FieldSelector::required(std::string_view field) const {
    for (const auto& t : terms_)
        if (t.equal && t.field == field) return &t.value;
    return nullptr;
}

std::string FieldSelector::to_string() const {
    std::string out;
    for (const auto& t : terms_) {
        out += (out.empty() ? "" : ",") + t.field + (t.equal ? "=" : "!=");
        for (char c : t.value) {
            if (c == ',' || c == '=' || c == '\\') out += '\\';
            out += c;
        }
    }
    return out;
}

std::string labels_text(const Labels& labels) {
    const std::map<std::string, std::string> sorted(labels.begin(), labels.end());
    std::string out;
    for (const auto& [key, value] : sorted) out += fmt::format("{}\"{}\":\"{}\"", out.empty() ? "" : ",", key, value);
    return "{" + out + "}";
}

}  // namespace api
