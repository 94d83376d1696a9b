#include "api/selector.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "api/codec/reader.h"
#include "api/names.h"
#include "api/proto/meta_v1.pb.h"
#include "api/v1.h"

namespace api {
namespace {

using Op = LabelRequirement::Op;

std::optional<std::int64_t> integer(std::string_view s) {
    std::int64_t v = 0;
    if (s.starts_with('+')) s.remove_prefix(1);
    const auto [end, ec] = std::from_chars(s.data(), s.data() + s.size(), v);
    if (s.empty() || ec != std::errc() || end != s.data() + s.size()) return std::nullopt;
    return v;
}

std::string quoted(std::string_view s) {
    std::string out;
    codec::append_json_string(&out, s);
    return out;
}

base::Result<LabelRequirement> requirement(std::string key, Op op,
                                           std::vector<std::string> values) {
    if (auto wrong = bad_qualified_name(key); !wrong.empty())
        return base::invalid_argument(
            fmt::format("key: Invalid value: {}: {}", quoted(key), wrong));
    if ((op == Op::kIn || op == Op::kNotIn) && values.empty())
        return base::invalid_argument(
            "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty");
    std::sort(values.begin(), values.end());
    values.erase(std::unique(values.begin(), values.end()), values.end());
    for (std::size_t i = 0; i < values.size(); ++i) {
        if ((op == Op::kGreater || op == Op::kLess) && !integer(values[i]))
            return base::invalid_argument(
                fmt::format("values[{}]: Invalid value: {}: for 'Gt', 'Lt' operators, the value "
                            "must be an integer",
                            i, quoted(values[i])));
        if (auto wrong = bad_label_value(values[i]); !wrong.empty())
            return base::invalid_argument(fmt::format("values[{}][{}]: Invalid value: {}: {}", i,
                                                      key, quoted(values[i]), wrong));
    }
    return LabelRequirement{std::move(key), op, std::move(values)};
}

enum class Token {
    kEnd,
    kOpen,
    kClose,
    kComma,
    kNot,
    kDoubleEquals,
    kEquals,
    kNotEquals,
    kGreater,
    kLess,
    kIn,
    kNotIn,
    kIdentifier,
};

struct Lexeme {
    Token token = Token::kEnd;
    std::string_view text;
};

std::vector<Lexeme> lex(std::string_view s) {
    struct Symbol {
        std::string_view text;
        Token token;
    };
    static constexpr Symbol kSymbols[] = {
        {"!=", Token::kNotEquals}, {"==", Token::kDoubleEquals}, {"(", Token::kOpen},
        {")", Token::kClose},      {",", Token::kComma},         {"!", Token::kNot},
        {"=", Token::kEquals},     {">", Token::kGreater},       {"<", Token::kLess}};
    constexpr std::string_view kBlanks = " \t\r\n";
    constexpr std::string_view kEnds = " \t\r\n=!(),<>";
    std::vector<Lexeme> out;
    for (;;) {
        s.remove_prefix(std::min(s.find_first_not_of(kBlanks), s.size()));
        if (s.empty()) break;
        Lexeme next;
        for (const auto& symbol : kSymbols) {
            if (!s.starts_with(symbol.text)) continue;
            next = {symbol.token, s.substr(0, symbol.text.size())};
            break;
        }
        if (next.text.empty()) {
            next = {Token::kIdentifier, s.substr(0, s.find_first_of(kEnds))};
            if (next.text == "in") next.token = Token::kIn;
            if (next.text == "notin") next.token = Token::kNotIn;
        }
        s.remove_prefix(next.text.size());
        out.push_back(next);
    }
    out.push_back({});
    return out;
}

class Parser {
  public:
    explicit Parser(std::string_view text) : lexemes_(lex(text)) {}

    base::Result<std::vector<LabelRequirement>> run() {
        std::vector<LabelRequirement> out;
        for (;;) {
            const Lexeme next = peek();
            if (next.token == Token::kEnd) return out;
            if (next.token != Token::kIdentifier && next.token != Token::kNot)
                return found(next, "!, identifier, or 'end of string'");
            auto one = parse_requirement();
            if (!one)
                return base::invalid_argument("unable to parse requirement: " +
                                              one.error().message);
            out.push_back(std::move(*one));
            const Lexeme after = take();
            if (after.token == Token::kEnd) return out;
            if (after.token != Token::kComma) return found(after, "',' or 'end of string'");
            const Lexeme more = peek();
            if (more.token != Token::kIdentifier && more.token != Token::kNot)
                return found(more, "identifier after ','");
        }
    }

  private:
    static base::Error found(const Lexeme& what, std::string_view expected) {
        return base::invalid_argument(fmt::format("found '{}', expected: {}", what.text, expected));
    }
    // in and notin are words like any other where an operator cannot stand.
    Lexeme peek(bool operators = false) const {
        Lexeme out = lexemes_[at_];
        if (!operators && (out.token == Token::kIn || out.token == Token::kNotIn))
            out.token = Token::kIdentifier;
        return out;
    }
    Lexeme take(bool operators = false) {
        const Lexeme out = peek(operators);
        if (at_ + 1 < lexemes_.size()) ++at_;
        return out;
    }

    base::Result<LabelRequirement> parse_requirement() {
        Lexeme key = take();
        const bool negated = key.token == Token::kNot;
        if (negated) key = take();
        if (key.token != Token::kIdentifier) return found(key, "identifier");
        const Lexeme next = peek();
        if (negated) return requirement(std::string(key.text), Op::kDoesNotExist, {});
        if (next.token == Token::kEnd || next.token == Token::kComma)
            return requirement(std::string(key.text), Op::kExists, {});
        TRY(const Op op, parse_operator());
        TRY(auto values, op == Op::kIn || op == Op::kNotIn ? parse_set() : parse_one());
        return requirement(std::string(key.text), op, std::move(values));
    }

    base::Result<Op> parse_operator() {
        const Lexeme next = take(true);
        switch (next.token) {
            case Token::kIn:
                return Op::kIn;
            case Token::kNotIn:
                return Op::kNotIn;
            case Token::kEquals:
            case Token::kDoubleEquals:
                return Op::kEquals;
            case Token::kNotEquals:
                return Op::kNotEquals;
            case Token::kGreater:
                return Op::kGreater;
            case Token::kLess:
                return Op::kLess;
            default:
                return found(next, "in, notin, =, ==, !=, gt, lt");
        }
    }

    base::Result<std::vector<std::string>> parse_set() {
        const Lexeme open = take();
        if (open.token != Token::kOpen)
            return base::invalid_argument(fmt::format("found '{}' expected: '('", open.text));
        std::vector<std::string> out;
        if (peek().token == Token::kClose) return take(), out;
        // Between two commas, and beside a parenthesis, stands the empty value.
        for (;;) {
            Lexeme next = take();
            if (next.token == Token::kIdentifier) {
                out.emplace_back(next.text);
                next = take();
            } else if (next.token == Token::kComma || next.token == Token::kClose) {
                out.emplace_back();
            } else {
                return found(next, out.empty() ? "',', ')' or identifier" : "',', or identifier");
            }
            if (next.token == Token::kClose) return out;
            if (next.token != Token::kComma) return found(next, "',' or ')'");
        }
    }

    base::Result<std::vector<std::string>> parse_one() {
        const Lexeme next = peek();
        if (next.token == Token::kEnd || next.token == Token::kComma)
            return std::vector<std::string>{""};
        take();
        if (next.token != Token::kIdentifier) return found(next, "identifier");
        return std::vector<std::string>{std::string(next.text)};
    }

    std::vector<Lexeme> lexemes_;
    std::size_t at_ = 0;
};

std::string to_text(const LabelRequirement& r) {
    const std::string value = r.values.empty() ? "" : r.values[0];
    switch (r.op) {
        case Op::kIn:
            return fmt::format("{} in ({})", r.key, fmt::join(r.values, ","));
        case Op::kNotIn:
            return fmt::format("{} notin ({})", r.key, fmt::join(r.values, ","));
        case Op::kExists:
            return r.key;
        case Op::kDoesNotExist:
            return "!" + r.key;
        case Op::kEquals:
            return r.key + "=" + value;
        case Op::kNotEquals:
            return r.key + "!=" + value;
        case Op::kGreater:
            return r.key + ">" + value;
        case Op::kLess:
            return r.key + "<" + value;
    }
    return {};
}

void sort_by_key(std::vector<LabelRequirement>* all) {
    std::stable_sort(
        all->begin(), all->end(),
        [](const LabelRequirement& a, const LabelRequirement& b) { return a.key < b.key; });
}

template <class Map>
bool matches_all(const std::vector<LabelRequirement>& all, const Map& labels) {
    for (const auto& r : all) {
        const auto it = labels.find(r.key);
        if (!r.matches(it == labels.end() ? nullptr : &it->second)) return false;
    }
    return true;
}

}  // namespace

bool LabelRequirement::matches(const std::string* value) const {
    const auto among = [&] {
        return std::find(values.begin(), values.end(), *value) != values.end();
    };
    switch (op) {
        case Op::kIn:
        case Op::kEquals:
            return value != nullptr && among();
        case Op::kNotIn:
        case Op::kNotEquals:
            return value == nullptr || !among();
        case Op::kExists:
            return value != nullptr;
        case Op::kDoesNotExist:
            return value == nullptr;
        case Op::kGreater:
        case Op::kLess: {
            if (value == nullptr) return false;
            const auto have = integer(*value);
            const auto limit = integer(values.at(0));
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
    TRY(out.requirements_, Parser(text).run());
    sort_by_key(&out.requirements_);
    return out;
}

base::Result<LabelSelector> LabelSelector::from(const meta::LabelSelector& selector) {
    LabelSelector out;
    for (const auto& [key, value] : selector.matchlabels()) {
        TRY(auto r, requirement(key, Op::kEquals, {value}));
        out.requirements_.push_back(std::move(r));
    }
    std::sort(out.requirements_.begin(), out.requirements_.end(),
              [](const LabelRequirement& a, const LabelRequirement& b) { return a.key < b.key; });
    for (const auto& e : selector.matchexpressions()) {
        Op op = Op::kIn;
        if (e.operator_() == "NotIn")
            op = Op::kNotIn;
        else if (e.operator_() == "Exists")
            op = Op::kExists;
        else if (e.operator_() == "DoesNotExist")
            op = Op::kDoesNotExist;
        else if (e.operator_() != "In")
            return base::invalid_argument(
                fmt::format("{} is not a valid label selector operator", quoted(e.operator_())));
        const bool exists = op == Op::kExists || op == Op::kDoesNotExist;
        if (exists && e.values_size() > 0)
            return base::invalid_argument(
                "values: Invalid value: values set must be empty for exists and does not exist");
        TRY(auto r, requirement(e.key(), op, {e.values().begin(), e.values().end()}));
        out.requirements_.push_back(std::move(r));
    }
    sort_by_key(&out.requirements_);
    return out;
}

LabelSelector LabelSelector::from_set(const Labels& labels) {
    LabelSelector out;
    for (const auto& [key, value] : labels)
        out.requirements_.push_back({key, Op::kEquals, {value}});
    sort_by_key(&out.requirements_);
    return out;
}

bool LabelSelector::matches(const Labels& labels) const {
    return !nothing_ && matches_all(requirements_, labels);
}

bool LabelSelector::matches(const std::map<std::string, std::string>& labels) const {
    return !nothing_ && matches_all(requirements_, labels);
}

std::string LabelSelector::to_string() const {
    std::string out;
    for (const auto& r : requirements_) {
        if (!out.empty()) out += ',';
        out += to_text(r);
    }
    return out;
}

namespace {

base::Result<std::string> unescape(std::string_view s) {
    std::string out;
    for (std::size_t i = 0; i < s.size(); ++i) {
        const char c = s[i];
        if (c == '\\') {
            const std::string_view sequence = s.substr(i, 2);
            if (sequence.size() < 2 ||
                std::string_view("\\,=").find(sequence[1]) == std::string_view::npos)
                return base::invalid_argument(
                    fmt::format("invalid field selector: invalid escape sequence: {}", sequence));
            out += s[++i];
        } else if (c == ',' || c == '=') {
            return base::invalid_argument(
                fmt::format("invalid field selector: unescaped character in value: {}", c));
        } else {
            out += c;
        }
    }
    return out;
}

std::string escape(std::string_view s) {
    std::string out;
    for (const char c : s) {
        if (c == '\\' || c == ',' || c == '=') out += '\\';
        out += c;
    }
    return out;
}

std::vector<std::string_view> split_terms(std::string_view s) {
    std::vector<std::string_view> out;
    std::size_t from = 0;
    for (std::size_t i = 0; i < s.size(); ++i) {
        if (s[i] == '\\') {
            ++i;
        } else if (s[i] == ',') {
            out.push_back(s.substr(from, i - from));
            from = i + 1;
        }
    }
    out.push_back(s.substr(from));
    return out;
}

}  // namespace

base::Result<FieldSelector> FieldSelector::parse(std::string_view text) {
    FieldSelector out;
    for (const auto part : split_terms(text)) {
        if (part.empty()) continue;
        const auto at = part.find_first_of("=!");
        std::string_view op;
        for (const std::string_view known : {"!=", "==", "="})
            if (op.empty() && at != std::string_view::npos && part.substr(at).starts_with(known))
                op = known;
        if (op.empty())
            return base::invalid_argument(
                fmt::format("invalid selector: '{}'; can't understand '{}'", text, part));
        TRY(std::string value, unescape(part.substr(at + op.size())));
        out.terms_.push_back({std::string(part.substr(0, at)), op != "!=", std::move(value)});
    }
    return out;
}

bool FieldSelector::matches(const std::function<std::string(std::string_view)>& look_up) const {
    return std::all_of(terms_.begin(), terms_.end(),
                       [&](const Term& t) { return (look_up(t.field) == t.value) == t.equal; });
}

const std::string* FieldSelector::required(std::string_view field) const {
    for (const auto& t : terms_)
        if (t.equal && t.field == field) return &t.value;
    return nullptr;
}

std::string FieldSelector::to_string() const {
    std::string out;
    for (const auto& t : terms_) {
        if (!out.empty()) out += ',';
        out += t.field + (t.equal ? "=" : "!=") + escape(t.value);
    }
    return out;
}

std::string labels_text(const Labels& labels) {
    const std::map<std::string, std::string> sorted(labels.begin(), labels.end());
    std::string out = "{";
    for (const auto& [key, value] : sorted) {
        if (out.size() > 1) out += ',';
        out += quoted(key) + ":" + quoted(value);
    }
    return out + "}";
}

}  // namespace api
