#include "api/codec/reader.h"

#include <fmt/format.h>

#include <array>

#include "api/codec/json.h"

namespace api::codec {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

std::string quoted_char(char c) {
    if (c == '\'') return "'\\''";
    if (c == '"') return "'\"'";
    const auto u = static_cast<unsigned char>(c);
    if (u < 0x20 || u == 0x7f) {
        if (c == '\n') return "'\\n'";
        if (c == '\t') return "'\\t'";
        if (c == '\r') return "'\\r'";
        return fmt::format("'\\x{:02x}'", u);
    }
    if (u < 0x80) return std::string("'") + c + "'";
    return fmt::format("'\\u{:04x}'", u);
}

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

int hex_value(char c) {
    if (is_digit(c)) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

// Which bytes of a string end a fast run: quotes, backslash, control characters, not ASCII.
constexpr std::array<bool, 256> kSpecial = [] {
    std::array<bool, 256> out{};
    for (std::size_t i = 0; i < 256; ++i)
        out[i] = i < 0x20 || i >= 0x80 || i == '"' || i == '\\';
    return out;
}();

}  // namespace

std::size_t utf8_length(std::string_view s) {
    const auto at = [&](std::size_t i) { return static_cast<unsigned char>(s[i]); };
    const auto follows = [&](std::size_t i, unsigned low = 0x80, unsigned high = 0xBF) {
        return i < s.size() && at(i) >= low && at(i) <= high;
    };
    if (s.empty()) return 0;
    const unsigned c = at(0);
    if (c < 0x80) return 1;
    if (c >= 0xC2 && c <= 0xDF) return follows(1) ? 2 : 0;
    if (c >= 0xE0 && c <= 0xEF)
        return follows(1, c == 0xE0 ? 0xA0 : 0x80, c == 0xED ? 0x9F : 0xBF) && follows(2) ? 3 : 0;
    if (c >= 0xF0 && c <= 0xF4)
        return follows(1, c == 0xF0 ? 0x90 : 0x80, c == 0xF4 ? 0x8F : 0xBF) && follows(2) &&
                       follows(3)
                   ? 4
                   : 0;
    return 0;
}

void append_utf8(std::string* out, char32_t c) {
    const auto put = [&](char32_t byte) { out->push_back(static_cast<char>(byte)); };
    if (c < 0x80) {
        put(c);
    } else if (c < 0x800) {
        put(0xC0 | (c >> 6));
        put(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
        put(0xE0 | (c >> 12));
        put(0x80 | ((c >> 6) & 0x3F));
        put(0x80 | (c & 0x3F));
    } else {
        put(0xF0 | (c >> 18));
        put(0x80 | ((c >> 12) & 0x3F));
        put(0x80 | ((c >> 6) & 0x3F));
        put(0x80 | (c & 0x3F));
    }
}

void append_json_string(std::string* out, std::string_view text) {
    out->push_back('"');
    std::size_t run = 0;
    for (std::size_t i = 0; i < text.size();) {
        const auto c = static_cast<unsigned char>(text[i]);
        if (!kSpecial[c]) {
            ++i;
            continue;
        }
        if (c >= 0x80) {
            if (const std::size_t n = utf8_length(text.substr(i)); n > 0) {
                i += n;
                continue;
            }
        }
        out->append(text, run, i - run);
        switch (c) {
            case '"':
                out->append("\\\"");
                break;
            case '\\':
                out->append("\\\\");
                break;
            case '\n':
                out->append("\\n");
                break;
            case '\r':
                out->append("\\r");
                break;
            case '\t':
                out->append("\\t");
                break;
            case '\b':
                out->append("\\b");
                break;
            case '\f':
                out->append("\\f");
                break;
            default:
                if (c >= 0x80)
                    out->append(kReplacement);
                else
                    fmt::format_to(std::back_inserter(*out), "\\u{:04x}", c);
        }
        run = ++i;
    }
    out->append(text, run, text.size() - run);
    out->push_back('"');
}

bool Reader::fail(std::string message) {
    if (error_.empty()) error_ = std::move(message);
    return false;
}

bool Reader::fail_here(std::string_view where) {
    if (at_ >= text_.size()) return fail("unexpected end of JSON input");
    return fail(fmt::format("invalid character {} {}", quoted_char(text_[at_]), where));
}

void Reader::skip_blanks() {
    while (at_ < text_.size()) {
        const char c = text_[at_];
        if (c != ' ' && c != '\n' && c != '\t' && c != '\r') return;
        ++at_;
    }
}

Reader::Kind Reader::peek() {
    if (failed()) return Kind::kBad;
    skip_blanks();
    if (at_ < text_.size()) {
        const char c = text_[at_];
        if (c == '"') return Kind::kString;
        if (c == '{') return Kind::kObject;
        if (c == '[') return Kind::kArray;
        if (c == '-' || is_digit(c)) return Kind::kNumber;
        if (c == 't' || c == 'f') return Kind::kBool;
        if (c == 'n') return Kind::kNull;
    }
    fail_here("looking for beginning of value");
    return Kind::kBad;
}

bool Reader::take_word(std::string_view word) {
    for (const char c : word) {
        if (at_ >= text_.size() || text_[at_] != c)
            return fail_here(fmt::format("in literal {} (expecting '{}')", word, c));
        ++at_;
    }
    return true;
}

bool Reader::take_null() {
    return !failed() && take_word("null");
}

bool Reader::take_bool(bool* out) {
    if (failed()) return false;
    *out = text_[at_] == 't';
    return take_word(*out ? "true" : "false");
}

bool Reader::take_number(std::string_view* out) {
    if (failed()) return false;
    const std::size_t start = at_;
    const auto digits = [&] {
        const std::size_t from = at_;
        while (at_ < text_.size() && is_digit(text_[at_]))
            ++at_;
        return at_ > from;
    };
    if (text_[at_] == '-') ++at_;
    if (at_ < text_.size() && text_[at_] == '0') {
        ++at_;
    } else if (!digits()) {
        return fail_here("in numeric literal");
    }
    if (at_ < text_.size() && text_[at_] == '.') {
        ++at_;
        if (!digits()) return fail_here("after decimal point in numeric literal");
    }
    if (at_ < text_.size() && (text_[at_] == 'e' || text_[at_] == 'E')) {
        ++at_;
        if (at_ < text_.size() && (text_[at_] == '+' || text_[at_] == '-')) ++at_;
        if (!digits()) return fail_here("in exponent of numeric literal");
    }
    *out = text_.substr(start, at_ - start);
    return true;
}

bool Reader::scan_string(std::string_view* raw, bool* plain) {
    const std::size_t start = ++at_;
    *plain = true;
    for (;;) {
        while (at_ < text_.size() && !kSpecial[static_cast<unsigned char>(text_[at_])])
            ++at_;
        if (at_ >= text_.size()) return fail("unexpected end of JSON input");
        const char c = text_[at_];
        if (c == '"') break;
        *plain = false;
        if (static_cast<unsigned char>(c) < 0x20) return fail_here("in string literal");
        at_ += c == '\\' ? 2 : 1;
    }
    *raw = text_.substr(start, at_ - start);
    ++at_;
    return true;
}

bool Reader::unescape(std::string_view raw, std::string* out) {
    const auto hex4 = [&](std::size_t from, char32_t* value) {
        *value = 0;
        for (std::size_t i = from; i < from + 4; ++i) {
            const int digit = i < raw.size() ? hex_value(raw[i]) : -1;
            if (digit < 0) return false;
            *value = *value * 16 + static_cast<char32_t>(digit);
        }
        return true;
    };
    for (std::size_t i = 0; i < raw.size();) {
        const char c = raw[i];
        if (c != '\\') {
            const std::size_t n = utf8_length(raw.substr(i));
            out->append(n > 0 ? raw.substr(i, n) : kReplacement);
            i += n > 0 ? n : 1;
            continue;
        }
        const char e = i + 1 < raw.size() ? raw[i + 1] : '\0';
        i += 2;
        switch (e) {
            case '"':
                out->push_back('"');
                break;
            case '\\':
                out->push_back('\\');
                break;
            case '/':
                out->push_back('/');
                break;
            case 'b':
                out->push_back('\b');
                break;
            case 'f':
                out->push_back('\f');
                break;
            case 'n':
                out->push_back('\n');
                break;
            case 'r':
                out->push_back('\r');
                break;
            case 't':
                out->push_back('\t');
                break;
            case 'u': {
                char32_t value = 0;
                if (!hex4(i, &value))
                    return fail("invalid character in \\u hexadecimal character escape");
                i += 4;
                char32_t low = 0;
                if (value >= 0xD800 && value < 0xDC00 && raw.substr(i, 2) == "\\u" &&
                    hex4(i + 2, &low) && low >= 0xDC00 && low < 0xE000) {
                    value = 0x10000 + ((value - 0xD800) << 10) + (low - 0xDC00);
                    i += 6;
                } else if (value >= 0xD800 && value < 0xE000) {
                    value = 0xFFFD;
                }
                append_utf8(out, value);
                break;
            }
            default:
                return fail(
                    fmt::format("invalid character {} in string escape code", quoted_char(e)));
        }
    }
    return true;
}

bool Reader::take_string(std::string* out) {
    if (failed()) return false;
    std::string_view raw;
    bool plain = true;
    if (!scan_string(&raw, &plain)) return false;
    if (plain) {
        out->assign(raw);
        return true;
    }
    out->clear();
    return unescape(raw, out);
}

bool Reader::enter() {
    if (failed()) return false;
    if (++depth_ > kMaxJsonDepth) return fail("exceeded max depth");
    ++at_;
    return true;
}

bool Reader::next_key(std::string* key, bool* first) {
    if (failed()) return false;
    skip_blanks();
    if (at_ < text_.size() && text_[at_] == '}') {
        --depth_;
        ++at_;
        return false;
    }
    if (!*first) {
        if (at_ >= text_.size() || text_[at_] != ',')
            return fail_here("after object key:value pair");
        ++at_;
        skip_blanks();
    }
    *first = false;
    if (at_ >= text_.size() || text_[at_] != '"')
        return fail_here("looking for beginning of object key string");
    if (!take_string(key)) return false;
    skip_blanks();
    if (at_ >= text_.size() || text_[at_] != ':') return fail_here("after object key");
    ++at_;
    return true;
}

bool Reader::next_element(bool* first) {
    if (failed()) return false;
    skip_blanks();
    if (at_ < text_.size() && text_[at_] == ']') {
        --depth_;
        ++at_;
        return false;
    }
    if (!*first) {
        if (at_ >= text_.size() || text_[at_] != ',') return fail_here("after array element");
        ++at_;
        skip_blanks();
        if (at_ < text_.size() && text_[at_] == ']')
            return fail_here("looking for beginning of value");
    }
    *first = false;
    if (at_ >= text_.size()) return fail("unexpected end of JSON input");
    return true;
}

bool Reader::skip(std::string_view* out) {
    const Kind kind = peek();
    const std::size_t start = at_;
    bool first = true;
    bool flag = false;
    std::string_view raw;
    switch (kind) {
        case Kind::kBad:
            return false;
        case Kind::kNull:
            take_null();
            break;
        case Kind::kBool:
            take_bool(&flag);
            break;
        case Kind::kNumber:
            take_number(&raw);
            break;
        case Kind::kString: {
            // Escapes are checked, too: what is kept as text must be JSON.
            std::string unused;
            take_string(&unused);
            break;
        }
        case Kind::kArray:
            enter();
            while (next_element(&first))
                skip();
            break;
        case Kind::kObject: {
            enter();
            std::string key;
            while (next_key(&key, &first))
                skip();
            break;
        }
    }
    if (failed()) return false;
    if (out != nullptr) *out = text_.substr(start, at_ - start);
    return true;
}

bool Reader::copy_compact(std::string* out) {
    bool first = true;
    switch (peek()) {
        case Kind::kArray:
            enter();
            out->push_back('[');
            for (bool comma = false; next_element(&first); comma = true) {
                if (comma) out->push_back(',');
                copy_compact(out);
            }
            out->push_back(']');
            break;
        case Kind::kObject: {
            enter();
            out->push_back('{');
            std::string key;
            for (bool comma = false; next_key(&key, &first); comma = true) {
                if (comma) out->push_back(',');
                append_json_string(out, key);
                out->push_back(':');
                copy_compact(out);
            }
            out->push_back('}');
            break;
        }
        case Kind::kString: {
            std::string value;
            if (take_string(&value)) append_json_string(out, value);
            break;
        }
        default: {
            std::string_view raw;
            if (skip(&raw)) out->append(raw);
        }
    }
    return !failed();
}

bool Reader::at_end() {
    if (failed()) return false;
    skip_blanks();
    if (at_ == text_.size()) return true;
    return fail_here("after top-level value");
}

}  // namespace api::codec
