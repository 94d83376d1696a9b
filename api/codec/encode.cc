// Messages to JSON.

#include <algorithm>
#include <boost/json/parse.hpp>
#include <charconv>

#include "api/codec/json.h"
#include "api/codec/reader.h"
#include "api/codec/scalars.h"
#include "api/codec/types.h"
#include "base/bytes.h"
#include "base/check.h"

namespace api {
namespace codec {
namespace {

class Encoder {
  public:
    explicit Encoder(std::string* out) : out_(*out) {}

    void message(const Message& m, const TypeInfo& info, const TypeMeta* type);

  private:
    void fields(const Message& m, const TypeInfo& info);
    void field(const Message& m, const Reflection& r, const FieldInfo& f);
    void single(const Message& m, const Reflection& r, const FieldInfo& f);
    void nested(const Message& m, const Reflection& r, const FieldInfo& f);
    void list(const Message& m, const Reflection& r, const FieldInfo& f, int size);
    void map(const Message& m, const FieldInfo& f);
    void map_entry_value(const google::protobuf::MapValueConstRef& v, const FieldInfo& f);

    void key(const FieldInfo& f) {
        if (out_.back() != '{') out_.push_back(',');
        out_.append(f.key);
    }
    void raw_json(const std::string& text);
    void strings(const Message& m, const FieldDescriptor* f);
    template <class T>
    void number(T v) {
        char buffer[24];
        out_.append(buffer, std::to_chars(buffer, buffer + sizeof buffer, v).ptr);
    }
    void text(const std::string& v, FieldDescriptor::Type type) {
        if (type == FieldDescriptor::TYPE_BYTES) {
            out_.push_back('"');
            out_.append(base::base64_encode(v));
            out_.push_back('"');
        } else {
            append_json_string(&out_, v);
        }
    }
    void boolean(bool v) { out_.append(v ? "true" : "false"); }

    std::string& out_;
    std::string scratch_;
};

const FieldDescriptor* only_field(const TypeInfo& info, int index = 0) {
    return info.descriptor->field(index);
}

Instant instant_of(const Message& m, const TypeInfo& info) {
    const auto& r = *m.GetReflection();
    return {r.GetInt64(m, only_field(info, 0)), r.GetInt32(m, only_field(info, 1))};
}

// Whether a value that is not a pointer is left out.
bool is_zero(const Message& m, const TypeInfo& info) {
    const auto& r = *m.GetReflection();
    switch (info.form) {
        case Form::kTime:
        case Form::kMicroTime:
            return !r.HasField(m, only_field(info, 0)) && !r.HasField(m, only_field(info, 1));
        case Form::kStringArray:
            return r.FieldSize(m, only_field(info)) == 0;
        default:
            return m.ByteSizeLong() == 0;
    }
}

void Encoder::raw_json(const std::string& raw) {
    if (raw.empty()) {
        out_.append("null");
        return;
    }
    // What came by Protobuf may be anything.
    const std::size_t before = out_.size();
    Reader reader(raw);
    if (!reader.copy_compact(&out_) || !reader.at_end()) {
        out_.resize(before);
        out_.append("null");
    }
}

void Encoder::strings(const Message& m, const FieldDescriptor* f) {
    const auto& r = *m.GetReflection();
    out_.push_back('[');
    for (int i = 0, n = r.FieldSize(m, f); i < n; ++i) {
        if (i > 0) out_.push_back(',');
        append_json_string(&out_, r.GetRepeatedStringReference(m, f, i, &scratch_));
    }
    out_.push_back(']');
}

void Encoder::message(const Message& m, const TypeInfo& info, const TypeMeta* type) {
    const auto& r = *m.GetReflection();
    const auto string_of = [&](int index) -> const std::string& {
        return r.GetStringReference(m, only_field(info, index), &scratch_);
    };
    switch (info.form) {
        case Form::kObject:
            out_.push_back('{');
            if (type != nullptr && info.type_meta) {
                out_.append("\"kind\":");
                append_json_string(&out_, type->kind);
                out_.append(",\"apiVersion\":");
                append_json_string(&out_, type->api_version);
            }
            fields(m, info);
            out_.push_back('}');
            return;
        case Form::kQuantity: {
            const std::string& s = string_of(0);
            append_json_string(&out_, s.empty() ? std::string_view("0") : std::string_view(s));
            return;
        }
        case Form::kTime:
        case Form::kMicroTime:
            if (is_zero(m, info)) {
                out_.append("null");
                return;
            }
            out_.push_back('"');
            append_rfc3339(&out_, instant_of(m, info), info.form == Form::kMicroTime);
            out_.push_back('"');
            return;
        case Form::kDuration:
            append_json_string(&out_, go_duration(r.GetInt64(m, only_field(info))));
            return;
        case Form::kIntOrString:
            if (r.GetInt64(m, only_field(info)) == 0)
                number(r.GetInt32(m, only_field(info, 1)));
            else
                append_json_string(&out_, string_of(2));
            return;
        case Form::kRawJson:
            raw_json(string_of(0));
            return;
        case Form::kStringArray:
            strings(m, only_field(info));
            return;
        case Form::kSchemaOrBool:
            if (r.HasField(m, only_field(info, 1)))
                message(r.GetMessage(m, only_field(info, 1)), info.fields[1].child(), nullptr);
            else
                boolean(r.GetBool(m, only_field(info)));
            return;
        case Form::kSchemaOrArray:
        case Form::kSchemaOrStringArray:
            if (r.FieldSize(m, only_field(info, 1)) > 0)
                list(m, r, info.fields[1], r.FieldSize(m, only_field(info, 1)));
            else if (r.HasField(m, only_field(info)))
                message(r.GetMessage(m, only_field(info)), info.fields[0].child(), nullptr);
            else
                out_.append("null");
            return;
    }
}

void Encoder::fields(const Message& m, const TypeInfo& info) {
    const auto& r = *m.GetReflection();
    for (const FieldInfo& f : info) {
        if (f.inlined) {
            if (f.message != nullptr) fields(r.GetMessage(m, f.field), f.child());
        } else if (!f.key.empty()) {
            field(m, r, f);
        }
    }
}

void Encoder::field(const Message& m, const Reflection& r, const FieldInfo& f) {
    if (f.map) {
        if (f.always || map_size(m, f.field) > 0) {
            key(f);
            map(m, f);
        }
    } else if (f.repeated) {
        const int size = r.FieldSize(m, f.field);
        if (f.always || size > 0) {
            key(f);
            list(m, r, f, size);
        }
    } else if (f.pointer && !r.HasField(m, f.field)) {
        if (f.always) {
            key(f);
            out_.append("null");
        }
    } else if (f.message != nullptr) {
        nested(m, r, f);
    } else {
        single(m, r, f);
    }
}

void Encoder::nested(const Message& m, const Reflection& r, const FieldInfo& f) {
    const bool unset = !f.pointer && !r.HasField(m, f.field);
    if (unset && !f.always) return;
    const Message& sub = r.GetMessage(m, f.field);
    const TypeInfo& info = f.child();
    if (!f.pointer && !f.always && is_zero(sub, info)) return;
    key(f);
    message(sub, info, nullptr);
}

void Encoder::single(const Message& m, const Reflection& r, const FieldInfo& f) {
    const bool keep = f.always || f.pointer;
    switch (f.cpp_type) {
        case FieldDescriptor::CPPTYPE_STRING: {
            const std::string& v = r.GetStringReference(m, f.field, &scratch_);
            if (!keep && v.empty()) return;
            key(f);
            text(v, f.type);
            return;
        }
        case FieldDescriptor::CPPTYPE_BOOL: {
            const bool v = r.GetBool(m, f.field);
            if (!keep && !v) return;
            key(f);
            boolean(v);
            return;
        }
        case FieldDescriptor::CPPTYPE_INT32: {
            const auto v = r.GetInt32(m, f.field);
            if (!keep && v == 0) return;
            key(f);
            number(v);
            return;
        }
        case FieldDescriptor::CPPTYPE_INT64: {
            const auto v = r.GetInt64(m, f.field);
            if (!keep && v == 0) return;
            key(f);
            number(v);
            return;
        }
        case FieldDescriptor::CPPTYPE_DOUBLE: {
            const double v = r.GetDouble(m, f.field);
            if (!keep && v == 0) return;
            key(f);
            append_double(&out_, v);
            return;
        }
        default:
            CHECK(false, "{}: a type that no table has", f.field->full_name());
    }
}

void Encoder::list(const Message& m, const Reflection& r, const FieldInfo& f, int size) {
    TypeMeta nested_type;
    if (f.nested_kind != nullptr) nested_type = {"v1", f.nested_kind};
    out_.push_back('[');
    for (int i = 0; i < size; ++i) {
        if (i > 0) out_.push_back(',');
        switch (f.cpp_type) {
            case FieldDescriptor::CPPTYPE_MESSAGE:
                message(r.GetRepeatedMessage(m, f.field, i), f.child(),
                        f.nested_kind != nullptr ? &nested_type : nullptr);
                break;
            case FieldDescriptor::CPPTYPE_STRING:
                text(r.GetRepeatedStringReference(m, f.field, i, &scratch_), f.type);
                break;
            case FieldDescriptor::CPPTYPE_BOOL:
                boolean(r.GetRepeatedBool(m, f.field, i));
                break;
            case FieldDescriptor::CPPTYPE_INT32:
                number(r.GetRepeatedInt32(m, f.field, i));
                break;
            case FieldDescriptor::CPPTYPE_INT64:
                number(r.GetRepeatedInt64(m, f.field, i));
                break;
            case FieldDescriptor::CPPTYPE_DOUBLE:
                append_double(&out_, r.GetRepeatedDouble(m, f.field, i));
                break;
            default:
                CHECK(false, "{}: a type that no table has", f.field->full_name());
        }
    }
    out_.push_back(']');
}

void Encoder::map_entry_value(const google::protobuf::MapValueConstRef& v, const FieldInfo& f) {
    switch (f.cpp_type) {
        case FieldDescriptor::CPPTYPE_MESSAGE:
            message(v.GetMessageValue(), f.child(), nullptr);
            return;
        case FieldDescriptor::CPPTYPE_STRING:
            text(v.GetStringValue(), f.type);
            return;
        default:
            CHECK(false, "{}: a type that no table has", f.field->full_name());
    }
}

void Encoder::map(const Message& m, const FieldInfo& f) {
    struct Entry {
        std::string key;
        google::protobuf::MapValueConstRef value;
    };
    std::vector<Entry> entries;
    entries.reserve(static_cast<std::size_t>(map_size(m, f.field)));
    const auto end = map_end(m, f.field);
    for (auto it = map_begin(m, f.field); it != end; ++it)
        entries.push_back({it.GetKey().GetStringValue(), it.GetValueRef()});
    std::sort(entries.begin(), entries.end(),
              [](const Entry& a, const Entry& b) { return a.key < b.key; });
    out_.push_back('{');
    for (const Entry& e : entries) {
        if (out_.back() != '{') out_.push_back(',');
        append_json_string(&out_, e.key);
        out_.push_back(':');
        map_entry_value(e.value, f);
    }
    out_.push_back('}');
}

}  // namespace
}  // namespace codec

void append_json(std::string* out, const google::protobuf::Message& message, const TypeMeta& type) {
    const bool typed = !type.kind.empty() || !type.api_version.empty();
    codec::Encoder(out).message(message, codec::type_info(message.GetDescriptor()),
                                typed ? &type : nullptr);
}

std::string to_json(const google::protobuf::Message& message, const TypeMeta& type) {
    std::string out;
    // JSON is about one and a half times as long as Protobuf.
    out.reserve(message.ByteSizeLong() * 3 / 2 + 128);
    append_json(&out, message, type);
    return out;
}

boost::json::value to_value(const google::protobuf::Message& message, const TypeMeta& type) {
    boost::json::parse_options options;
    options.max_depth = 2 * kMaxJsonDepth;
    return boost::json::parse(to_json(message, type), {}, options);
}

}  // namespace api
