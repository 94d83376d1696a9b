#include "api/openapi_schema.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <unordered_map>
#include <vector>

#include "api/codec/types.h"
#include "api/proto/options.pb.h"

namespace api::openapi {

namespace json = boost::json;
using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

namespace {

json::string text(std::string_view s) {
    return json::string(s.data(), s.size());
}

const coxswain::api::FieldTraits& traits(const FieldDescriptor* f) {
    return f->options().GetExtension(coxswain::api::field);
}

struct Required {
    std::string_view message;
    int field;
};
constexpr Required kRequired[] = {
#include "api/openapi_required.inc"
};

bool is_required(const FieldDescriptor* f) {
    static const auto* all = [] {
        auto* out = new std::unordered_map<std::string_view, std::set<int>>;
        for (const auto& r : kRequired)
            (*out)[r.message].insert(r.field);
        return out;
    }();
    const auto it = all->find(f->containing_type()->full_name());
    return it != all->end() && it->second.contains(f->number());
}

// What the API calls each message: its kinds, by the message's name.
using Kinds = std::unordered_map<std::string, std::vector<json::object>>;

const Kinds& kinds() {
    static const auto* all = [] {
        auto* out = new Kinds;
        const auto add = [&](std::string_view api_version, std::string_view kind) {
            const std::string name = message_name_of(api_version, kind);
            if (name.empty()) return;
            auto& list = (*out)[name];
            auto entry = gvk(api_version, kind);
            if (std::find(list.begin(), list.end(), entry) == list.end())
                list.push_back(std::move(entry));
        };
        for (const auto& r : all_resources()) {
            add(r.api_version(), r.kind);
            if (r.has_verb("list")) add(r.api_version(), std::string(r.kind) + "List");
            for (const auto& s : r.subresources)
                add(s.group_version.empty() ? r.api_version() : std::string(s.group_version),
                    s.kind);
        }
        add("v1", "Status");
        add("v1", "DeleteOptions");
        return out;
    }();
    return *all;
}

json::object scalar(const FieldDescriptor* f) {
    switch (f->cpp_type()) {
        case FieldDescriptor::CPPTYPE_BOOL:
            return {{"type", "boolean"}};
        case FieldDescriptor::CPPTYPE_INT32:
            return {{"type", "integer"}, {"format", "int32"}};
        case FieldDescriptor::CPPTYPE_INT64:
            return {{"type", "integer"}, {"format", "int64"}};
        case FieldDescriptor::CPPTYPE_DOUBLE:
            return {{"type", "number"}, {"format", "double"}};
        default:
            break;
    }
    if (f->type() == FieldDescriptor::TYPE_BYTES) return {{"type", "string"}, {"format", "byte"}};
    return {{"type", "string"}};
}

json::object typed(const char* type) {
    return {{"type", type}};
}

// One type or the other; version 2 cannot say so and says `v2`.
json::object either(Dialect dialect, const char* one, const char* other, const char* v2) {
    if (dialect == Dialect::kV2) return typed(v2);
    return {{"oneOf", json::array{typed(one), typed(other)}}};
}

// The schema of a message whose JSON is no object of its fields.
json::object special(codec::Form form, const Descriptor* d, Dialect dialect) {
    switch (form) {
        case codec::Form::kTime:
        case codec::Form::kMicroTime:
            return {{"type", "string"}, {"format", "date-time"}};
        case codec::Form::kDuration:
            return typed("string");
        case codec::Form::kQuantity:
            return either(dialect, "string", "number", "string");
        case codec::Form::kIntOrString: {
            json::object out = either(dialect, "integer", "string", "string");
            out["format"] = "int-or-string";
            return out;
        }
        case codec::Form::kStringArray:
            return {{"type", "array"}, {"items", typed("string")}};
        case codec::Form::kRawJson:
            return d->name() == "JSON" ? json::object() : typed("object");
        default:
            return {};
    }
}

// What can be said of a field from its name alone.
const char* description_of(std::string_view name) {
    if (name == "metadata") return "The name, labels and other metadata of the object.";
    if (name == "spec") return "The state that is wanted.";
    if (name == "status") return "The state that was last observed.";
    if (name == "items") return "The objects of the list.";
    return nullptr;
}

}  // namespace

std::string schema_name(const Descriptor* d) {
    std::string name = d->full_name();
    constexpr std::string_view kRoot = "k8s.io.";
    if (name.starts_with(kRoot)) name = "io.k8s." + name.substr(kRoot.size());
    for (auto& c : name)
        if (c == '_') c = '-';
    return name;
}

json::object gvk(std::string_view api_version, std::string_view kind) {
    const auto slash = api_version.find('/');
    const bool core = slash == std::string_view::npos;
    return {{"group", text(core ? std::string_view() : api_version.substr(0, slash))},
            {"version", text(core ? api_version : api_version.substr(slash + 1))},
            {"kind", text(kind)}};
}

json::object Schemas::reference(const Descriptor* d) {
    add(d);
    const char* prefix = dialect_ == Dialect::kV3 ? "#/components/schemas/" : "#/definitions/";
    return {{"$ref", prefix + schema_name(d)}};
}

json::object Schemas::take() {
    json::object out;
    out.reserve(all_.size());
    for (auto& [name, schema] : all_)
        out[name] = std::move(schema);
    all_.clear();
    seen_.clear();
    return out;
}

void Schemas::add(const Descriptor* d) {
    if (!seen_.insert(d).second) return;
    const auto form = codec::type_info(d).form;
    json::object schema =
        form == codec::Form::kObject ? object_schema(d) : special(form, d, dialect_);
    schema["description"] = fmt::format("{} of the Kubernetes API.", d->name());
    if (const auto it = kinds().find(d->full_name()); it != kinds().end()) {
        json::array list;
        for (const auto& kind : it->second)
            list.push_back(kind);
        schema["x-kubernetes-group-version-kind"] = std::move(list);
    }
    all_[schema_name(d)] = std::move(schema);
}

json::object Schemas::object_schema(const Descriptor* d) {
    json::object properties;
    json::array required;
    if (codec::type_info(d).type_meta) {
        properties["apiVersion"] =
            json::object{{"type", "string"},
                         {"description", "The group and version that the object is written in."}};
        properties["kind"] =
            json::object{{"type", "string"}, {"description", "What kind of object this is."}};
    }
    add_fields(d, &properties, &required);
    json::object out = typed("object");
    if (!properties.empty()) out["properties"] = std::move(properties);
    if (!required.empty()) out["required"] = std::move(required);
    return out;
}

void Schemas::add_fields(const Descriptor* d, json::object* properties, json::array* required) {
    for (const auto& f : codec::type_info(d)) {
        if (f.inlined && f.message != nullptr) {
            add_fields(f.message, properties, required);
        } else if (!f.name.empty()) {
            (*properties)[f.name] = property(f.field, f.name);
            if (is_required(f.field)) required->push_back(text(f.name));
        }
    }
}

json::object Schemas::property(const FieldDescriptor* f, std::string_view name) {
    json::object out;
    if (f->is_map()) {
        out = typed("object");
        out["additionalProperties"] = value_of(f->message_type()->map_value());
    } else if (f->is_repeated()) {
        out = typed("array");
        out["items"] = value_of(f);
    } else {
        out = value_of(f);
        // In version 3.0 nothing may stand beside a $ref.
        if (dialect_ == Dialect::kV3 && out.contains("$ref"))
            out = json::object{{"allOf", json::array{std::move(out)}}};
    }
    const auto& t = traits(f);
    const auto set = [&](const char* key, const std::string& value) {
        if (!value.empty()) out[key] = text(value);
    };
    if (const char* description = description_of(name)) out["description"] = description;
    set("x-kubernetes-patch-strategy", t.patch_strategy());
    set("x-kubernetes-patch-merge-key", t.patch_merge_key());
    set("x-kubernetes-list-type", t.list_type());
    set("x-kubernetes-map-type", t.map_type().empty() ? t.struct_type() : t.map_type());
    if (t.list_map_key_size() > 0) {
        json::array keys;
        for (const auto& key : t.list_map_key())
            keys.push_back(text(key));
        out["x-kubernetes-list-map-keys"] = std::move(keys);
    }
    return out;
}

json::object Schemas::value_of(const FieldDescriptor* f) {
    return f->message_type() == nullptr ? scalar(f) : reference(f->message_type());
}

}  // namespace api::openapi
