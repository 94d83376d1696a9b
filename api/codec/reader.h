#pragma once
// Reader: JSON text, token by token, in one pass and without a tree. The first fault sticks: after
// it every step fails, and `error()` tells it in the words of Go's encoding/json. Pure.

#include <string>
#include <string_view>

namespace api::codec {

class Reader {
  public:
    enum class Kind { kNull, kBool, kNumber, kString, kArray, kObject, kBad };

    explicit Reader(std::string_view text) : text_(text) {}

    // What comes next, blanks skipped.
    Kind peek();
    // Each takes the value that peek() announced.
    bool take_null();
    bool take_bool(bool* out);
    // The number as it is written; checked to be one.
    bool take_number(std::string_view* out);
    // Unescaped; what is not UTF-8 becomes U+FFFD. `out` is replaced.
    bool take_string(std::string* out);
    // Enters '{' or '['; at most `kMaxJsonDepth` deep.
    bool enter();
    // In an object: the next key with its ':'; false at its end ('}' is taken) or on a fault.
    bool next_key(std::string* key, bool* first);
    // In an array: whether another element follows; false at its end or on a fault.
    bool next_element(bool* first);
    // Takes any value; its text is `out`, where given.
    bool skip(std::string_view* out = nullptr);
    // Takes any value and appends it without blanks.
    bool copy_compact(std::string* out);
    // Nothing but blanks is left.
    bool at_end();

    bool failed() const { return !error_.empty(); }
    const std::string& error() const { return error_; }
    std::size_t position() const { return at_; }

  private:
    bool fail(std::string message);
    // "invalid character 'x' `where`", or the unexpected end.
    bool fail_here(std::string_view where);
    void skip_blanks();
    bool take_word(std::string_view word);
    bool scan_string(std::string_view* raw, bool* plain);
    bool unescape(std::string_view raw, std::string* out);

    std::string_view text_;
    std::size_t at_ = 0;
    int depth_ = 0;
    std::string error_;
};

// Appends `text` as a JSON string with its quotes; what is not UTF-8 becomes U+FFFD.
void append_json_string(std::string* out, std::string_view text);
// Length of the UTF-8 sequence at the front of `text` (1–4); 0 when it is none.
std::size_t utf8_length(std::string_view text);
void append_utf8(std::string* out, char32_t c);

}  // namespace api::codec
