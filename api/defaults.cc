#include "api/defaults.h"

#include <charconv>
#include <vector>

#include "api/codec/types.h"
#include "api/defaults_internal.h"
#include "api/proto/quantity.pb.h"
#include "api/quantity.h"
#include "api/v1.h"
#include "base/check.h"

namespace api {
namespace {

using codec::FieldDescriptor;
using codec::FieldInfo;
using codec::TypeInfo;
using google::protobuf::Message;

// What there is to do in a message of a type.
struct Plan {
    struct Constant {
        const FieldInfo* field;
        std::string_view text;
        std::int64_t number = 0;
    };
    struct Inner {
        const FieldInfo* field;
        const Plan* plan;
    };
    std::vector<defaults::Hook> hooks;
    std::vector<Constant> constants;
    std::vector<const FieldInfo*> resource_lists;
    std::vector<Inner> inner;

    bool empty() const {
        return hooks.empty() && constants.empty() && resource_lists.empty() && inner.empty();
    }
};

std::string_view short_name(const std::string& full_name) {
    constexpr std::string_view kPackage = "k8s.io.api.";
    std::string_view out = full_name;
    if (out.starts_with(kPackage)) out.remove_prefix(kPackage.size());
    return out;
}

const FieldInfo& field_named(const TypeInfo& info, std::string_view name) {
    for (const auto& f : info)
        if (f.field->name() == name) return f;
    CHECK(false, "{} has no {}", info.descriptor->full_name(), name);
}

const Plan& plan_of(const codec::Descriptor* d);

std::unique_ptr<const Plan> make_plan(const codec::Descriptor* d) {
    auto plan = std::make_unique<Plan>();
    const TypeInfo& info = codec::type_info(d);
    if (info.form != codec::Form::kObject) return plan;
    const auto type = short_name(d->full_name());
    for (const auto hook :
         {defaults::core_hook(type), defaults::workload_hook(type), defaults::other_hook(type)})
        if (hook != nullptr) plan->hooks.push_back(hook);
    const auto [rules, count] = defaults::rules();
    for (std::size_t i = 0; i < count; ++i) {
        if (rules[i].type != type) continue;
        Plan::Constant c{&field_named(info, rules[i].field), rules[i].value};
        std::from_chars(c.text.data(), c.text.data() + c.text.size(), c.number);
        plan->constants.push_back(c);
    }
    // Schemas hold themselves, and have no defaults.
    if (d->name() == "JSONSchemaProps") return plan;
    for (const auto& f : info) {
        if (f.message == nullptr) continue;
        if (f.map && f.message == resource::Quantity::descriptor())
            plan->resource_lists.push_back(&f);
        else if (!f.map && !plan_of(f.message).empty())
            plan->inner.push_back({&f, &plan_of(f.message)});
    }
    return plan;
}

const Plan& plan_of(const codec::Descriptor* d) {
    static codec::PerType<Plan> plans;
    return plans.get(d, make_plan);
}

bool is_unset(const Message& m, const FieldInfo& f) {
    const auto& r = *m.GetReflection();
    if (f.repeated) return r.FieldSize(m, f.field) == 0;
    if (!r.HasField(m, f.field)) return true;
    if (f.pointer || f.message != nullptr) return false;
    std::string scratch;
    switch (f.cpp_type) {
        case FieldDescriptor::CPPTYPE_STRING:
            return r.GetStringReference(m, f.field, &scratch).empty();
        case FieldDescriptor::CPPTYPE_INT32:
            return r.GetInt32(m, f.field) == 0;
        case FieldDescriptor::CPPTYPE_INT64:
            return r.GetInt64(m, f.field) == 0;
        default:
            return false;
    }
}

void set_constant(Message* m, const Plan::Constant& c) {
    const auto& r = *m->GetReflection();
    const FieldDescriptor* f = c.field->field;
    switch (c.field->cpp_type) {
        case FieldDescriptor::CPPTYPE_MESSAGE:
            r.MutableMessage(m, f);
            return;
        case FieldDescriptor::CPPTYPE_STRING:
            if (c.field->repeated)
                r.AddString(m, f, std::string(c.text));
            else
                r.SetString(m, f, std::string(c.text));
            return;
        case FieldDescriptor::CPPTYPE_BOOL:
            r.SetBool(m, f, c.text == "true");
            return;
        case FieldDescriptor::CPPTYPE_INT32:
            r.SetInt32(m, f, static_cast<std::int32_t>(c.number));
            return;
        case FieldDescriptor::CPPTYPE_INT64:
            r.SetInt64(m, f, c.number);
            return;
        default:
            CHECK(false, "{}: no default of this type", f->full_name());
    }
}

// Amounts are kept to a thousandth; only those with a smaller suffix can be finer.
void round_up(Message* m, const FieldInfo& f) {
    const auto end = codec::map_end(*m, f.field);
    for (auto it = codec::map_begin(*m, f.field); it != end; ++it) {
        const auto& value =
            static_cast<const resource::Quantity&>(it.GetValueRef().GetMessageValue());
        const std::string& text = value.string();
        if (!text.ends_with('n') && !text.ends_with('u') && text.find("e-") == std::string::npos)
            continue;
        static_cast<resource::Quantity*>(it.MutableValueRef()->MutableMessageValue())
            ->set_string(Quantity::from(value).rounded_up_to_milli().to_string());
    }
}

void apply(Message* m, const Plan& plan) {
    const auto& r = *m->GetReflection();
    for (const auto hook : plan.hooks)
        hook(m);
    for (const auto& c : plan.constants)
        if (is_unset(*m, *c.field)) set_constant(m, c);
    for (const auto* f : plan.resource_lists)
        if (codec::map_size(*m, f->field) > 0) round_up(m, *f);
    for (const auto& [f, inner] : plan.inner) {
        if (f->repeated) {
            for (int i = 0, n = r.FieldSize(*m, f->field); i < n; ++i)
                apply(r.MutableRepeatedMessage(m, f->field, i), *inner);
        } else if (r.HasField(*m, f->field)) {
            apply(r.MutableMessage(m, f->field), *inner);
        } else if (!f->pointer && !f->inlined) {
            // A struct that is not a pointer is always there; kept when it got something.
            Message* sub = r.MutableMessage(m, f->field);
            apply(sub, *inner);
            if (sub->ByteSizeLong() == 0) r.ClearField(m, f->field);
        }
    }
}

}  // namespace

void set_defaults(google::protobuf::Message* object) {
    apply(object, plan_of(object->GetDescriptor()));
}

}  // namespace api
