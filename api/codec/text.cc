// JSON that has no type: text, values, and what can be said without a message.

#include <fmt/format.h>

#include <boost/json/value.hpp>
#include <charconv>

#include "api/codec/json.h"
#include "api/codec/reader.h"
#include "api/codec/scalars.h"

namespace api {
namespace {

template <class T>
void append_number(std::string* out, T v) {
    char buffer[24];
    out->append(buffer, std::to_chars(buffer, buffer + sizeof buffer, v).ptr);
}

void append_value(std::string* out, const boost::json::value& v) {
    switch (v.kind()) {
        case boost::json::kind::null:
            out->append("null");
            return;
        case boost::json::kind::bool_:
            out->append(v.get_bool() ? "true" : "false");
            return;
        case boost::json::kind::int64:
            append_number(out, v.get_int64());
            return;
        case boost::json::kind::uint64:
            append_number(out, v.get_uint64());
            return;
        case boost::json::kind::double_:
            codec::append_double(out, v.get_double());
            return;
        case boost::json::kind::string:
            codec::append_json_string(out, v.get_string());
            return;
        case boost::json::kind::array:
            out->push_back('[');
            for (bool comma = false; const auto& item : v.get_array()) {
                if (std::exchange(comma, true)) out->push_back(',');
                append_value(out, item);
            }
            out->push_back(']');
            return;
        case boost::json::kind::object:
            out->push_back('{');
            for (bool comma = false; const auto& [key, item] : v.get_object()) {
                if (std::exchange(comma, true)) out->push_back(',');
                codec::append_json_string(out, key);
                out->push_back(':');
                append_value(out, item);
            }
            out->push_back('}');
            return;
    }
}

}  // namespace

std::string json_text(const boost::json::value& value) {
    std::string out;
    append_value(&out, value);
    return out;
}

base::Result<std::string> compact_json(std::string_view text) {
    codec::Reader in(text);
    std::string out;
    out.reserve(text.size());
    if (!in.copy_compact(&out) || !in.at_end()) return base::invalid_argument(in.error());
    return out;
}

base::Result<TypeMeta> peek_type(std::string_view text) {
    codec::Reader in(text);
    TypeMeta out;
    if (in.peek() == codec::Reader::Kind::kObject) {
        in.enter();
        std::string key;
        bool first = true;
        while (in.next_key(&key, &first)) {
            const bool wanted = key == "kind" || key == "apiVersion";
            if (wanted && in.peek() == codec::Reader::Kind::kString)
                in.take_string(key == "kind" ? &out.kind : &out.api_version);
            else
                in.skip();
        }
    } else {
        in.skip();
    }
    if (!in.at_end()) return base::invalid_argument(in.error());
    return out;
}

std::string strict_decoding_error(const JsonProblems& problems) {
    return fmt::format("strict decoding error: {}", fmt::join(problems, ", "));
}

}  // namespace api
