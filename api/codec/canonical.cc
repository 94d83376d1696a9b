// One message, one form: what came by Protobuf as if it had come by JSON.

#include "api/codec/canonical.h"

#include "api/codec/json.h"
#include "api/quantity.h"

namespace api {
namespace codec {

bool is_zero_value(const Message& m, const TypeInfo& info) {
    if (info.form != Form::kQuantity) return m.ByteSizeLong() == 0;
    std::string scratch;
    return m.GetReflection()->GetStringReference(m, info.fields[0].field, &scratch) == "0";
}

namespace {

// What Go writes though it is zero.
base::Status canonical(Message* m, const TypeInfo& info);

bool is_unset(const Message& m, const FieldInfo& f) {
    const auto& r = *m.GetReflection();
    switch (f.cpp_type) {
        case FieldDescriptor::CPPTYPE_STRING: {
            std::string scratch;
            return r.GetStringReference(m, f.field, &scratch).empty();
        }
        case FieldDescriptor::CPPTYPE_BOOL:
            return !r.GetBool(m, f.field);
        case FieldDescriptor::CPPTYPE_INT32:
            return r.GetInt32(m, f.field) == 0;
        case FieldDescriptor::CPPTYPE_INT64:
            return r.GetInt64(m, f.field) == 0;
        case FieldDescriptor::CPPTYPE_DOUBLE:
            return r.GetDouble(m, f.field) == 0;
        default:
            return is_zero_value(r.GetMessage(m, f.field), f.child());
    }
}

base::Status canonical_field(Message* m, const FieldInfo& f) {
    const auto& r = *m->GetReflection();
    if (f.map) {
        if (f.message == nullptr) return {};
        const auto end = map_end(*m, f.field);
        for (auto it = map_begin(*m, f.field); it != end; ++it)
            TRY_VOID(canonical(it.MutableValueRef()->MutableMessageValue(), f.child()));
        return {};
    }
    if (f.repeated) {
        for (int i = 0; f.message != nullptr && i < r.FieldSize(*m, f.field); ++i)
            TRY_VOID(canonical(r.MutableRepeatedMessage(m, f.field, i), f.child()));
        return {};
    }
    if (!r.HasField(*m, f.field)) return {};
    if (f.message != nullptr) TRY_VOID(canonical(r.MutableMessage(m, f.field), f.child()));
    if (!f.pointer && is_unset(*m, f)) r.ClearField(m, f.field);
    return {};
}

base::Status canonical(Message* m, const TypeInfo& info) {
    const auto& r = *m->GetReflection();
    switch (info.form) {
        case Form::kQuantity: {
            std::string scratch;
            const std::string& text = r.GetStringReference(*m, info.fields[0].field, &scratch);
            TRY(std::string better, canonical_quantity(text.empty() ? "0" : text));
            if (better != text) r.SetString(m, info.fields[0].field, std::move(better));
            return {};
        }
        case Form::kTime:
            r.ClearField(m, info.fields[1].field);
            return {};
        case Form::kMicroTime:
            if (r.GetInt32(*m, info.fields[1].field) == 0) r.ClearField(m, info.fields[1].field);
            return {};
        default:
            break;
    }
    for (const FieldInfo& f : info)
        TRY_VOID(canonical_field(m, f));
    return {};
}

}  // namespace
}  // namespace codec

base::Status canonicalize(google::protobuf::Message* message) {
    return codec::canonical(message, codec::type_info(message->GetDescriptor()));
}

}  // namespace api
