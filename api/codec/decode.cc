// JSON to messages.

#include <fmt/format.h>

#include <algorithm>
#include <bitset>
#include <charconv>

#include "api/codec/canonical.h"
#include "api/codec/json.h"
#include "api/codec/reader.h"
#include "api/codec/scalars.h"
#include "api/codec/types.h"
#include "api/quantity.h"
#include "base/bytes.h"
#include "base/check.h"

namespace api {
namespace codec {
namespace {

using Kind = Reader::Kind;
using google::protobuf::MapValueRef;

constexpr std::size_t kMaxProblems = 100;

std::string_view go_kind(Kind kind) {
    switch (kind) {
        case Kind::kBool:
            return "bool";
        case Kind::kNumber:
            return "number";
        case Kind::kString:
            return "string";
        case Kind::kArray:
            return "array";
        case Kind::kObject:
            return "object";
        default:
            return "null";
    }
}

// Where the reader is: the way from the top, and the struct that the innermost field stands in.
class Path {
  public:
    struct Mark {
        std::size_t steps;
        const TypeInfo* owner;
    };
    Mark field(const TypeInfo* owner, const std::string* name) {
        const Mark mark{steps_.size(), owner_};
        owner_ = owner;
        steps_.push_back({name, 0, true});
        return mark;
    }
    void map_key(const std::string* key) { steps_.push_back({key, 0, false}); }
    void index(std::size_t i) { steps_.push_back({nullptr, i, false}); }
    void pop() { steps_.pop_back(); }
    void pop(const Mark& mark) {
        steps_.resize(mark.steps);
        owner_ = mark.owner;
    }
    const TypeInfo* owner() const { return owner_; }

    // spec.containers[0].image, with `last` as one more step.
    std::string full(std::string_view last) const {
        std::string out;
        for (const Step& s : steps_) {
            if (s.name == nullptr) {
                out += fmt::format("[{}]", s.index);
            } else {
                if (!out.empty()) out += '.';
                out += *s.name;
            }
        }
        if (!out.empty()) out += '.';
        return out.append(last);
    }
    // spec.containers.image: fields only, as type errors tell it.
    std::string fields() const {
        std::string out;
        for (const Step& s : steps_) {
            if (!s.is_field) continue;
            if (!out.empty()) out += '.';
            out += *s.name;
        }
        return out;
    }

  private:
    struct Step {
        const std::string* name;
        std::size_t index;
        bool is_field;
    };
    std::vector<Step> steps_;
    const TypeInfo* owner_ = nullptr;
};

class Decoder {
  public:
    Decoder(std::string_view text, TypeMeta* type, JsonProblems* problems)
        : in_(text), type_(type), problems_(problems) {}

    base::Status run(Message* m) {
        const TypeInfo& info = type_info(m->GetDescriptor());
        if (message(m, info, true)) in_.at_end();
        if (!error_.empty()) return base::invalid_argument(std::move(error_));
        if (in_.failed()) return base::invalid_argument(in_.error());
        return {};
    }

  private:
    // Each takes one value, or fails and returns false.
    bool message(Message* m, const TypeInfo& info, bool top = false);
    bool object(Message* m, const TypeInfo& info, bool top);
    bool slot_value(Message* m, const Slot& slot, std::string_view name, bool top);
    bool inner_field(Message* m, const Slot& slot, std::size_t depth);
    bool meta_value(std::string_view name, bool top);
    bool field(Message* m, const FieldInfo& f);
    bool single(Message* m, const Reflection& r, const FieldInfo& f);
    bool list(Message* m, const Reflection& r, const FieldInfo& f);
    bool element(Message* m, const Reflection& r, const FieldInfo& f);
    bool map(Message* m, const FieldInfo& f);
    bool map_entry_value(MapValueRef v, const FieldInfo& f);
    bool strings(Message* m, const TypeInfo& info);
    bool schema_or(Message* m, const TypeInfo& info);
    bool special(Message* m, const TypeInfo& info);
    bool quantity(Message* m, const TypeInfo& info);
    bool time(Message* m, const TypeInfo& info);
    bool int_or_string(Message* m, const TypeInfo& info);
    bool raw_json(Message* m, const TypeInfo& info);

    template <class T>
    bool integer(T* out, const char* go_name);
    bool real(double* out);
    bool boolean(bool* out);
    bool string(std::string* out, FieldDescriptor::Type type);

    bool fail(std::string message) {
        if (error_.empty()) error_ = std::move(message);
        return false;
    }
    bool mismatch(std::string_view found, std::string_view wanted);
    bool mismatch(Kind found, std::string_view wanted) {
        return found != Kind::kBad && mismatch(go_kind(found), wanted);
    }
    void problem(std::string_view what, std::string_view name);

    Reader in_;
    TypeMeta* type_;
    JsonProblems* problems_;
    Path path_;
    std::string error_;
    std::string scratch_;
};

const FieldDescriptor* nth(const TypeInfo& info, int i) {
    return info.descriptor->field(i);
}

bool Decoder::mismatch(std::string_view found, std::string_view wanted) {
    const std::string at = path_.fields();
    if (at.empty() || path_.owner() == nullptr)
        return fail(
            fmt::format("json: cannot unmarshal {} into Go value of type {}", found, wanted));
    return fail(fmt::format("json: cannot unmarshal {} into Go struct field {}.{} of type {}",
                            found, path_.owner()->descriptor->name(), at, wanted));
}

void Decoder::problem(std::string_view what, std::string_view name) {
    if (problems_ == nullptr || problems_->size() >= kMaxProblems) return;
    std::string text = fmt::format("{} field \"{}\"", what, path_.full(name));
    if (std::find(problems_->begin(), problems_->end(), text) == problems_->end())
        problems_->push_back(std::move(text));
}

bool Decoder::message(Message* m, const TypeInfo& info, bool top) {
    const Kind kind = in_.peek();
    if (kind == Kind::kNull && info.form != Form::kRawJson) return in_.take_null();
    if (info.form != Form::kObject) return special(m, info);
    if (kind != Kind::kObject) return mismatch(kind, go_type(info.descriptor));
    return object(m, info, top);
}

bool Decoder::object(Message* m, const TypeInfo& info, bool top) {
    std::bitset<kMaxSlots> seen;
    std::string key;
    bool first = true;
    in_.enter();
    while (in_.next_key(&key, &first)) {
        const auto it = info.slots.find(key);
        if (it == info.slots.end()) {
            problem("unknown", key);
            if (!in_.skip()) return false;
            continue;
        }
        if (seen.test(it->second.index)) problem("duplicate", key);
        seen.set(it->second.index);
        const auto mark = path_.field(&info, &key);
        const bool ok = slot_value(m, it->second, key, top);
        path_.pop(mark);
        if (!ok) return false;
    }
    return !in_.failed();
}

bool Decoder::slot_value(Message* m, const Slot& slot, std::string_view name, bool top) {
    if (slot.field == nullptr) return meta_value(name, top);
    if (in_.peek() == Kind::kNull) {
        // Unset what an earlier key of the same name may have set.
        for (const auto* f : slot.through) {
            if (!m->GetReflection()->HasField(*m, f)) return in_.take_null();
            m = m->GetReflection()->MutableMessage(m, f);
        }
        m->GetReflection()->ClearField(m, slot.field->field);
        return in_.take_null();
    }
    return inner_field(m, slot, 0);
}

// The field in the inlined messages around it; those that it leaves empty are unset again.
bool Decoder::inner_field(Message* m, const Slot& slot, std::size_t depth) {
    if (depth == slot.through.size()) return field(m, *slot.field);
    const auto& r = *m->GetReflection();
    Message* inner = r.MutableMessage(m, slot.through[depth]);
    if (!inner_field(inner, slot, depth + 1)) return false;
    if (inner->ByteSizeLong() == 0) r.ClearField(m, slot.through[depth]);
    return true;
}

bool Decoder::meta_value(std::string_view name, bool top) {
    const Kind kind = in_.peek();
    if (kind == Kind::kNull) return in_.take_null();
    if (kind != Kind::kString) return mismatch(kind, "string");
    if (!in_.take_string(&scratch_)) return false;
    if (top && type_ != nullptr) (name == "kind" ? type_->kind : type_->api_version) = scratch_;
    return true;
}

bool Decoder::field(Message* m, const FieldInfo& f) {
    const auto& r = *m->GetReflection();
    if (f.map) return map(m, f);
    if (f.repeated) return list(m, r, f);
    if (f.message == nullptr) return single(m, r, f);
    Message* sub = r.MutableMessage(m, f.field);
    if (!message(sub, f.child())) return false;
    if (!f.pointer && is_zero_value(*sub, f.child())) r.ClearField(m, f.field);
    return true;
}

template <class T>
bool Decoder::integer(T* out, const char* go_name) {
    const Kind kind = in_.peek();
    if (kind != Kind::kNumber) return mismatch(kind, go_name);
    std::string_view text;
    if (!in_.take_number(&text)) return false;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), *out);
    if (ec != std::errc() || end != text.data() + text.size())
        return mismatch(fmt::format("number {}", text), go_name);
    return true;
}

bool Decoder::real(double* out) {
    const Kind kind = in_.peek();
    if (kind != Kind::kNumber) return mismatch(kind, "float64");
    std::string_view text;
    if (!in_.take_number(&text)) return false;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), *out);
    if (ec != std::errc()) return mismatch(fmt::format("number {}", text), "float64");
    return true;
}

bool Decoder::boolean(bool* out) {
    const Kind kind = in_.peek();
    return kind == Kind::kBool ? in_.take_bool(out) : mismatch(kind, "bool");
}

bool Decoder::string(std::string* out, FieldDescriptor::Type type) {
    const Kind kind = in_.peek();
    const bool bytes = type == FieldDescriptor::TYPE_BYTES;
    if (kind != Kind::kString) return mismatch(kind, bytes ? "[]uint8" : "string");
    if (!in_.take_string(out)) return false;
    if (!bytes) return true;
    std::erase_if(*out, [](char c) { return c == '\n' || c == '\r'; });
    auto decoded = base::base64_decode(*out);
    if (!decoded) {
        const auto at = out->find_first_not_of(
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
        return fail(fmt::format("illegal base64 data at input byte {}",
                                at == std::string::npos ? out->size() / 4 * 4 : at));
    }
    *out = std::move(*decoded);
    return true;
}

// What is not a pointer and zero is unset: one message has one form.
bool Decoder::single(Message* m, const Reflection& r, const FieldInfo& f) {
    const auto put = [&](bool zero, auto set) {
        if (zero && !f.pointer)
            r.ClearField(m, f.field);
        else
            set();
        return true;
    };
    switch (f.cpp_type) {
        case FieldDescriptor::CPPTYPE_STRING: {
            std::string v;
            return string(&v, f.type) &&
                   put(v.empty(), [&] { r.SetString(m, f.field, std::move(v)); });
        }
        case FieldDescriptor::CPPTYPE_BOOL: {
            bool v = false;
            return boolean(&v) && put(!v, [&] { r.SetBool(m, f.field, v); });
        }
        case FieldDescriptor::CPPTYPE_INT32: {
            std::int32_t v = 0;
            return integer(&v, "int32") && put(v == 0, [&] { r.SetInt32(m, f.field, v); });
        }
        case FieldDescriptor::CPPTYPE_INT64: {
            std::int64_t v = 0;
            return integer(&v, "int64") && put(v == 0, [&] { r.SetInt64(m, f.field, v); });
        }
        case FieldDescriptor::CPPTYPE_DOUBLE: {
            double v = 0;
            return real(&v) && put(v == 0, [&] { r.SetDouble(m, f.field, v); });
        }
        default:
            CHECK(false, "{}: a type that no table has", f.field->full_name());
    }
}

bool Decoder::list(Message* m, const Reflection& r, const FieldInfo& f) {
    r.ClearField(m, f.field);
    const Kind kind = in_.peek();
    if (kind == Kind::kNull) return in_.take_null();
    if (kind != Kind::kArray) return mismatch(kind, go_type(f));
    in_.enter();
    bool first = true;
    for (std::size_t i = 0; in_.next_element(&first); ++i) {
        path_.index(i);
        const bool ok = element(m, r, f);
        path_.pop();
        if (!ok) return false;
    }
    return !in_.failed();
}

// A null is the zero value of its type.
bool Decoder::element(Message* m, const Reflection& r, const FieldInfo& f) {
    const bool null = in_.peek() == Kind::kNull;
    if (null && f.message == nullptr && !in_.take_null()) return false;
    switch (f.cpp_type) {
        case FieldDescriptor::CPPTYPE_MESSAGE:
            return message(r.AddMessage(m, f.field), f.child());
        case FieldDescriptor::CPPTYPE_STRING: {
            std::string v;
            if (!null && !string(&v, f.type)) return false;
            r.AddString(m, f.field, std::move(v));
            return true;
        }
        case FieldDescriptor::CPPTYPE_BOOL: {
            bool v = false;
            if (!null && !boolean(&v)) return false;
            r.AddBool(m, f.field, v);
            return true;
        }
        case FieldDescriptor::CPPTYPE_INT32: {
            std::int32_t v = 0;
            if (!null && !integer(&v, "int32")) return false;
            r.AddInt32(m, f.field, v);
            return true;
        }
        case FieldDescriptor::CPPTYPE_INT64: {
            std::int64_t v = 0;
            if (!null && !integer(&v, "int64")) return false;
            r.AddInt64(m, f.field, v);
            return true;
        }
        default:
            CHECK(false, "{}: a type that no table has", f.field->full_name());
    }
}

bool Decoder::map(Message* m, const FieldInfo& f) {
    const Kind kind = in_.peek();
    if (kind == Kind::kNull) return in_.take_null();
    if (kind != Kind::kObject) return mismatch(kind, go_type(f));
    in_.enter();
    std::string key;
    bool first = true;
    while (in_.next_key(&key, &first)) {
        bool added = false;
        MapValueRef value = map_value(m, f.field, key, &added);
        if (!added) problem("duplicate", key);
        path_.map_key(&key);
        const bool ok = map_entry_value(value, f);
        path_.pop();
        if (!ok) return false;
    }
    return !in_.failed();
}

bool Decoder::map_entry_value(MapValueRef v, const FieldInfo& f) {
    if (f.cpp_type == FieldDescriptor::CPPTYPE_MESSAGE) {
        Message* m = v.MutableMessageValue();
        m->Clear();
        if (!message(m, f.child())) return false;
        if (f.child().form == Form::kQuantity && m->ByteSizeLong() == 0)
            m->GetReflection()->SetString(m, nth(f.child(), 0), "0");
        return true;
    }
    CHECK(f.cpp_type == FieldDescriptor::CPPTYPE_STRING);
    std::string text;
    if (in_.peek() == Kind::kNull) {
        if (!in_.take_null()) return false;
    } else if (!string(&text, f.type)) {
        return false;
    }
    v.SetStringValue(text);
    return true;
}

bool Decoder::special(Message* m, const TypeInfo& info) {
    switch (info.form) {
        case Form::kQuantity:
            return quantity(m, info);
        case Form::kTime:
        case Form::kMicroTime:
            return time(m, info);
        case Form::kDuration: {
            const Kind kind = in_.peek();
            if (kind != Kind::kString) return mismatch(kind, "string");
            if (!in_.take_string(&scratch_)) return false;
            auto parsed = parse_go_duration(scratch_);
            if (!parsed) return fail(parsed.error().message);
            if (*parsed != 0) m->GetReflection()->SetInt64(m, nth(info, 0), *parsed);
            return true;
        }
        case Form::kIntOrString:
            return int_or_string(m, info);
        case Form::kRawJson:
            return raw_json(m, info);
        case Form::kStringArray:
            return strings(m, info);
        case Form::kSchemaOrArray:
        case Form::kSchemaOrBool:
        case Form::kSchemaOrStringArray:
            return schema_or(m, info);
        case Form::kObject:
            break;
    }
    CHECK(false, "{} is an object", info.descriptor->full_name());
}

bool Decoder::quantity(Message* m, const TypeInfo& info) {
    const Kind kind = in_.peek();
    std::string_view number;
    if (kind == Kind::kString) {
        if (!in_.take_string(&scratch_)) return false;
    } else if (kind == Kind::kNumber) {
        if (!in_.take_number(&number)) return false;
        scratch_.assign(number);
    } else {
        return kind != Kind::kBad && fail(canonical_quantity("").error().message);
    }
    auto canonical = canonical_quantity(scratch_);
    if (!canonical) return fail(canonical.error().message);
    m->GetReflection()->SetString(m, nth(info, 0), std::move(*canonical));
    return true;
}

bool Decoder::time(Message* m, const TypeInfo& info) {
    const Kind kind = in_.peek();
    const auto& r = *m->GetReflection();
    if (kind != Kind::kString) return mismatch(kind, "string");
    if (!in_.take_string(&scratch_)) return false;
    const bool micros = info.form == Form::kMicroTime;
    auto parsed = parse_rfc3339(scratch_, micros);
    if (!parsed) return fail(parsed.error().message);
    r.SetInt64(m, nth(info, 0), parsed->seconds);
    r.ClearField(m, nth(info, 1));
    if (micros && parsed->nanos >= 1000) r.SetInt32(m, nth(info, 1), parsed->nanos / 1000 * 1000);
    return true;
}

bool Decoder::int_or_string(Message* m, const TypeInfo& info) {
    const auto& r = *m->GetReflection();
    m->Clear();
    if (in_.peek() == Kind::kString) {
        if (!in_.take_string(&scratch_)) return false;
        r.SetInt64(m, nth(info, 0), 1);
        if (!scratch_.empty()) r.SetString(m, nth(info, 2), scratch_);
        return true;
    }
    std::int32_t v = 0;
    if (!integer(&v, "int32")) return false;
    if (v != 0) r.SetInt32(m, nth(info, 1), v);
    return true;
}

bool Decoder::raw_json(Message* m, const TypeInfo& info) {
    m->Clear();
    // JSON keeps its null; the others are then unset.
    if (in_.peek() == Kind::kNull && info.descriptor->name() != "JSON") return in_.take_null();
    std::string text;
    if (!in_.copy_compact(&text)) return false;
    m->GetReflection()->SetString(m, nth(info, 0), std::move(text));
    return true;
}

bool Decoder::strings(Message* m, const TypeInfo& info) {
    return list(m, *m->GetReflection(), info.fields[0]);
}

bool Decoder::schema_or(Message* m, const TypeInfo& info) {
    const auto& r = *m->GetReflection();
    m->Clear();
    const Kind kind = in_.peek();
    const bool or_bool = info.form == Form::kSchemaOrBool;
    if (kind == Kind::kObject) {
        if (or_bool) r.SetBool(m, nth(info, 0), true);
        const auto& schema = info.fields[or_bool ? 1 : 0];
        return message(r.MutableMessage(m, schema.field), schema.child());
    }
    if (or_bool && kind == Kind::kBool) {
        bool v = false;
        if (!in_.take_bool(&v)) return false;
        if (v) r.SetBool(m, nth(info, 0), true);
        return true;
    }
    if (!or_bool && kind == Kind::kArray) return list(m, r, info.fields[1]);
    if (kind == Kind::kBad) return false;
    return fail(or_bool ? "boolean or JSON schema expected" : "array or JSON schema expected");
}

}  // namespace

}  // namespace codec

base::Status from_json(std::string_view text, google::protobuf::Message* message, TypeMeta* type,
                       JsonProblems* problems) {
    message->Clear();
    return codec::Decoder(text, type, problems).run(message);
}

base::Status from_value(const boost::json::value& value, google::protobuf::Message* message,
                        TypeMeta* type, JsonProblems* problems) {
    return from_json(json_text(value), message, type, problems);
}

}  // namespace api
