#include "api/codec/types.h"

#include "api/proto/options.pb.h"
#include "base/check.h"

// Protobuf 3.21 gives a map's entries only to its friends; this name is one of them, left for code
// outside the library (the public way copies each map into a list that stays with the message).
namespace google::protobuf::expr {
class CelMapReflectionFriend {
  public:
    static MapIterator begin(const Reflection* r, Message* m, const FieldDescriptor* f) {
        return r->MapBegin(m, f);
    }
    static MapIterator end(const Reflection* r, Message* m, const FieldDescriptor* f) {
        return r->MapEnd(m, f);
    }
    static int size(const Reflection* r, const Message& m, const FieldDescriptor* f) {
        return r->MapSize(m, f);
    }
    static bool insert(const Reflection* r, Message* m, const FieldDescriptor* f, const MapKey& k,
                       MapValueRef* v) {
        return r->InsertOrLookupMapValue(m, f, k, v);
    }
};
}  // namespace google::protobuf::expr

namespace api::codec {
namespace {

using MapFriend = google::protobuf::expr::CelMapReflectionFriend;

Form form_of(const Descriptor& d, const std::string& json_form) {
    if (json_form.empty()) return Form::kObject;
    const std::string& name = d.name();
    static const std::unordered_map<std::string_view, Form> kForms = {
        {"Quantity", Form::kQuantity},
        {"QuantityValue", Form::kQuantity},
        {"Time", Form::kTime},
        {"MicroTime", Form::kMicroTime},
        {"Duration", Form::kDuration},
        {"IntOrString", Form::kIntOrString},
        {"FieldsV1", Form::kRawJson},
        {"RawExtension", Form::kRawJson},
        {"JSON", Form::kRawJson},
        {"Verbs", Form::kStringArray},
        {"ExtraValue", Form::kStringArray},
        {"AttestationValue", Form::kStringArray},
        {"JSONSchemaPropsOrArray", Form::kSchemaOrArray},
        {"JSONSchemaPropsOrBool", Form::kSchemaOrBool},
        {"JSONSchemaPropsOrStringArray", Form::kSchemaOrStringArray},
    };
    const auto it = kForms.find(name);
    return it == kForms.end() ? Form::kObject : it->second;
}

void fill_field(FieldInfo* out, const FieldDescriptor* f) {
    const auto& traits = f->options().GetExtension(coxswain::api::field);
    out->field = f;
    out->map = f->is_map();
    out->repeated = f->is_repeated() && !out->map;
    const FieldDescriptor* value = out->map ? f->message_type()->map_value() : f;
    out->cpp_type = value->cpp_type();
    out->type = value->type();
    out->message = value->message_type();
    out->inlined = traits.inlined();
    out->always = traits.always();
    out->pointer = traits.pointer();
    if (!out->inlined) out->name = traits.has_json() ? traits.json() : f->name();
    if (out->name == "-") out->name.clear();
    if (!out->name.empty()) out->key = "\"" + out->name + "\":";
    if (f->full_name() == "k8s.io.api.apps.v1.StatefulSetSpec.volumeClaimTemplates")
        out->nested_kind = "PersistentVolumeClaim";
}

void add_slot(TypeInfo* info, std::string_view name, Slot slot) {
    slot.index = info->slots.size();
    CHECK(slot.index < kMaxSlots, "{} has too many fields", info->descriptor->full_name());
    info->slots.emplace(name, std::move(slot));
}

std::unique_ptr<const TypeInfo> build(const Descriptor* d) {
    CHECK(message_files() != nullptr);
    auto info = std::make_unique<TypeInfo>();
    const auto& traits = d->options().GetExtension(coxswain::api::message);
    info->descriptor = d;
    info->form = form_of(*d, traits.json_form());
    info->type_meta = traits.type_meta();
    info->field_count = static_cast<std::size_t>(d->field_count());
    info->fields = std::make_unique<FieldInfo[]>(info->field_count);
    if (info->type_meta) {
        add_slot(info.get(), "kind", {});
        add_slot(info.get(), "apiVersion", {});
    }
    for (int i = 0; i < d->field_count(); ++i) {
        FieldInfo& f = info->fields[static_cast<std::size_t>(i)];
        fill_field(&f, d->field(i));
        if (f.inlined && f.message != nullptr) {
            for (const auto& [name, inner] : f.child().slots) {
                Slot slot = inner;
                slot.through.insert(slot.through.begin(), f.field);
                add_slot(info.get(), name, std::move(slot));
            }
        } else if (!f.name.empty()) {
            Slot slot;
            slot.field = &f;
            add_slot(info.get(), f.name, std::move(slot));
        }
    }
    return info;
}

PerType<TypeInfo> g_types;

}  // namespace

const TypeInfo& type_info(const Descriptor* d) {
    return g_types.get(d, build);
}

const TypeInfo& FieldInfo::child() const {
    const TypeInfo* have = child_.load(std::memory_order_acquire);
    if (have == nullptr) {
        have = &type_info(message);
        child_.store(have, std::memory_order_release);
    }
    return *have;
}

std::string go_type(const Descriptor* d) {
    const std::string& package = d->file()->package();
    std::string last = package.substr(package.rfind('.') + 1);
    if (d->name() == "Quantity" || d->name() == "QuantityValue") last = "resource";
    return last + "." + d->name();
}

std::string go_type(const FieldInfo& f) {
    std::string inner;
    switch (f.cpp_type) {
        case FieldDescriptor::CPPTYPE_MESSAGE:
            inner = go_type(f.message);
            break;
        case FieldDescriptor::CPPTYPE_BOOL:
            inner = "bool";
            break;
        case FieldDescriptor::CPPTYPE_INT32:
            inner = "int32";
            break;
        case FieldDescriptor::CPPTYPE_INT64:
            inner = "int64";
            break;
        case FieldDescriptor::CPPTYPE_DOUBLE:
            inner = "float64";
            break;
        default:
            inner = f.type == FieldDescriptor::TYPE_BYTES ? "[]uint8" : "string";
    }
    if (f.map) return inner == "resource.Quantity" ? "v1.ResourceList" : "map[string]" + inner;
    return f.repeated ? "[]" + inner : inner;
}

google::protobuf::MapIterator map_begin(const Message& m, const FieldDescriptor* f) {
    // The iterator does not change the map; only its type knows no constness.
    return MapFriend::begin(m.GetReflection(), const_cast<Message*>(&m), f);
}
google::protobuf::MapIterator map_end(const Message& m, const FieldDescriptor* f) {
    return MapFriend::end(m.GetReflection(), const_cast<Message*>(&m), f);
}
int map_size(const Message& m, const FieldDescriptor* f) {
    return MapFriend::size(m.GetReflection(), m, f);
}
google::protobuf::MapValueRef map_value(Message* m, const FieldDescriptor* f,
                                        const std::string& key, bool* added) {
    google::protobuf::MapKey k;
    k.SetStringValue(key);
    google::protobuf::MapValueRef v;
    *added = MapFriend::insert(m->GetReflection(), m, f, k, &v);
    return v;
}

}  // namespace api::codec
