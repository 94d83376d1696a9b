#include "api/openapi.h"

#include <fmt/format.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <openssl/evp.h>

#include <boost/json.hpp>
#include <map>
#include <set>

#include "api/proto/options.pb.h"
#include "api/scheme.h"
#include "base/bytes.h"

namespace api {

namespace json = boost::json;
using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

namespace {

constexpr const char* kVersion = "v1.36.0";

json::string text(std::string_view s) {
    return json::string(s.data(), s.size());
}

const ::coxswain::api::FieldTraits& traits(const FieldDescriptor* f) {
    return f->options().GetExtension(::coxswain::api::field);
}
const ::coxswain::api::MessageTraits& traits(const Descriptor* d) {
    return d->options().GetExtension(::coxswain::api::message);
}

// k8s.io.api.core.v1.Pod → io.k8s.api.core.v1.Pod, as upstream names its definitions.
std::string schema_name(const Descriptor* d) {
    std::string name = d->full_name();
    constexpr std::string_view kRoot = "k8s.io.";
    if (name.starts_with(kRoot)) name = "io.k8s." + name.substr(kRoot.size());
    for (auto& c : name)
        if (c == '_') c = '-';
    return name;
}

// Which documents a schema goes into: they differ in how they refer to one another.
struct Dialect {
    const char* ref_prefix;
    bool v3;
};
constexpr Dialect kV3{"#/components/schemas/", true};
constexpr Dialect kV2{"#/definitions/", false};

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

// The schema of a message that is no object of its fields in JSON; empty when it is one.
json::object special(const Descriptor* d) {
    const std::string& form = traits(d).json_form();
    if (form.empty()) return {};
    const std::string& name = d->name();
    if (name == "Time") return {{"type", "string"}, {"format", "date-time"}};
    if (name == "MicroTime") return {{"type", "string"}, {"format", "date-time"}};
    if (name == "IntOrString") return {{"type", "string"}, {"format", "int-or-string"}};
    if (name == "Quantity" || name == "QuantityValue" || name == "Duration")
        return {{"type", "string"}};
    if (form == "array of string")
        return {{"type", "array"}, {"items", json::object{{"type", "string"}}}};
    return {{"type", "object"}};
}

class Schemas {
  public:
    explicit Schemas(Dialect dialect) : dialect_(dialect) {}

    std::string reference(const Descriptor* d) {
        add(d);
        return dialect_.ref_prefix + schema_name(d);
    }

    void add(const Descriptor* d) {
        if (!seen_.insert(d).second) return;
        json::object schema = special(d);
        if (schema.empty()) schema = object_schema(d);
        if (const auto* resource = resource_with(d)) {
            schema["x-kubernetes-group-version-kind"] =
                json::array{json::object{{"group", text(resource->group)},
                                         {"version", text(resource->version)},
                                         {"kind", text(resource->kind)}}};
        }
        all_[schema_name(d)] = std::move(schema);
    }

    json::object take() {
        json::object out;
        for (auto& [name, schema] : all_)
            out[name] = std::move(schema);
        return out;
    }

  private:
    static const ResourceInfo* resource_with(const Descriptor* d) {
        for (const auto& r : all_resources())
            if (r.message_name == d->full_name()) return &r;
        return nullptr;
    }

    json::object property(const FieldDescriptor* f) {
        json::object out;
        if (f->is_map()) {
            out["type"] = "object";
            out["additionalProperties"] = value_of(f->message_type()->FindFieldByNumber(2));
        } else if (f->is_repeated()) {
            out["type"] = "array";
            out["items"] = value_of(f);
        } else {
            out = value_of(f);
        }
        const auto& t = traits(f);
        if (!t.patch_strategy().empty()) out["x-kubernetes-patch-strategy"] = t.patch_strategy();
        if (!t.patch_merge_key().empty()) out["x-kubernetes-patch-merge-key"] = t.patch_merge_key();
        if (!t.list_type().empty()) out["x-kubernetes-list-type"] = t.list_type();
        if (t.list_map_key_size() > 0)
            out["x-kubernetes-list-map-keys"] =
                json::array(t.list_map_key().begin(), t.list_map_key().end());
        if (!t.map_type().empty()) out["x-kubernetes-map-type"] = t.map_type();
        return out;
    }

    json::object value_of(const FieldDescriptor* f) {
        if (f->message_type() == nullptr) return scalar(f);
        const std::string ref = reference(f->message_type());
        // In 3.0 nothing stands beside a $ref, so it is wrapped where something has to.
        if (dialect_.v3)
            return {{"allOf", json::array{json::object{{"$ref", ref}}}},
                    {"default", json::object{}}};
        return {{"$ref", ref}};
    }

    void add_fields(const Descriptor* d, json::object* properties, json::array* required) {
        for (int i = 0; i < d->field_count(); ++i) {
            const auto* f = d->field(i);
            const auto& t = traits(f);
            if (t.inlined()) {
                if (f->message_type() != nullptr)
                    add_fields(f->message_type(), properties, required);
                continue;
            }
            const std::string name = t.json().empty() ? f->name() : t.json();
            if (name == "-") continue;
            (*properties)[name] = property(f);
            if (t.required() || is_key_field(d, name)) required->push_back(text(name));
        }
    }

    // Names of list items, the fields that other rules refer to.
    static bool is_key_field(const Descriptor* d, std::string_view name) {
        return (name == "name" && (d->name() == "Container" || d->name() == "Volume" ||
                                   d->name() == "EnvVar" || d->name() == "EphemeralContainer")) ||
               (name == "containerPort" && d->name() == "ContainerPort") ||
               (name == "port" && d->name() == "ServicePort");
    }

    json::object object_schema(const Descriptor* d) {
        json::object properties;
        json::array required;
        if (traits(d).type_meta()) {
            properties["apiVersion"] =
                json::object{{"type", "string"},
                             {"description", "The version of this representation of the object."}};
            properties["kind"] =
                json::object{{"type", "string"}, {"description", "What kind of object this is."}};
        }
        add_fields(d, &properties, &required);
        json::object out{{"type", "object"},
                         {"description", fmt::format("{} of the Kubernetes API.", d->name())}};
        if (!properties.empty()) out["properties"] = std::move(properties);
        if (!required.empty()) out["required"] = std::move(required);
        return out;
    }

    Dialect dialect_;
    std::set<const Descriptor*> seen_;
    std::map<std::string, json::object> all_;
};

json::object gvk(const ResourceInfo& r) {
    return {{"group", text(r.group)}, {"version", text(r.version)}, {"kind", text(r.kind)}};
}

json::object query(const char* name, const char* type) {
    return {{"name", name}, {"in", "query"}, {"schema", json::object{{"type", type}}}};
}

json::object query_of(const Dialect& dialect, const char* name, const char* type) {
    if (dialect.v3) return query(name, type);
    return {{"name", name}, {"in", "query"}, {"type", type}};
}

json::object operation(const Dialect& dialect, const ResourceInfo& r, const char* action,
                       const std::string& schema_ref) {
    json::array parameters{query_of(dialect, "pretty", "string")};
    const std::string_view a = action;
    if (a == "list" || a == "deletecollection" || a == "watch")
        for (const char* name : {"labelSelector", "fieldSelector", "continue", "resourceVersion",
                                 "resourceVersionMatch"})
            parameters.push_back(query_of(dialect, name, "string"));
    if (a == "post" || a == "put" || a == "patch")
        for (const char* name : {"dryRun", "fieldManager", "fieldValidation"})
            parameters.push_back(query_of(dialect, name, "string"));
    if (a == "patch") parameters.push_back(query_of(dialect, "force", "boolean"));
    json::object response{{"description", "OK"}};
    if (dialect.v3)
        response["content"] = json::object{
            {"application/json", json::object{{"schema", json::object{{"$ref", schema_ref}}}}}};
    else
        response["schema"] = json::object{{"$ref", schema_ref}};
    return {{"tags", json::array{text(r.group.empty() ? "core_v1" : r.group)}},
            {"operationId", fmt::format("{}{}{}", action, std::string(r.kind),
                                        r.group.empty() ? "Core" : std::string(r.group))},
            {"parameters", std::move(parameters)},
            {"responses", json::object{{"200", std::move(response)}}},
            {"x-kubernetes-action", action},
            {"x-kubernetes-group-version-kind", gvk(r)}};
}

void add_paths(const Dialect& dialect, const ResourceInfo& r, Schemas* schemas,
               json::object* paths) {
    const std::string ref = schemas->reference(r.prototype().GetDescriptor());
    std::string list_ref = ref;
    const std::string list = message_name_of(r.api_version(), std::string(r.kind) + "List");
    if (const auto* d =
            google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(list))
        list_ref = schemas->reference(d);
    const std::string root = (r.group.empty() ? "/api/" : "/apis/") + r.api_version();
    const std::string collection =
        root + (r.namespaced ? "/namespaces/{namespace}/" : "/") + std::string(r.plural);
    auto at = [&](const std::string& path) -> json::object& {
        auto& item = (*paths)[path];
        if (!item.is_object()) item = json::object{};
        return item.as_object();
    };
    if (r.has_verb("list")) at(collection)["get"] = operation(dialect, r, "list", list_ref);
    if (r.has_verb("list") && r.namespaced)
        at(root + "/" + std::string(r.plural))["get"] = operation(dialect, r, "list", list_ref);
    if (r.has_verb("create")) at(collection)["post"] = operation(dialect, r, "post", ref);
    if (r.has_verb("deletecollection"))
        at(collection)["delete"] = operation(dialect, r, "deletecollection", ref);
    const std::string one = collection + "/{name}";
    if (r.has_verb("get")) at(one)["get"] = operation(dialect, r, "get", ref);
    if (r.has_verb("update")) at(one)["put"] = operation(dialect, r, "put", ref);
    if (r.has_verb("patch")) at(one)["patch"] = operation(dialect, r, "patch", ref);
    if (r.has_verb("delete")) at(one)["delete"] = operation(dialect, r, "delete", ref);
}

std::string path_of(const ResourceInfo& r) {
    return (r.group.empty() ? "api/" : "apis/") + r.api_version();
}

std::string digest(std::string_view bytes) {
    unsigned char out[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    EVP_Digest(bytes.data(), bytes.size(), out, &size, EVP_sha512(), nullptr);
    return base::hex_encode(std::string_view(reinterpret_cast<char*>(out), size));
}

json::object info() {
    return {{"title", "Kubernetes"}, {"version", kVersion}};
}

}  // namespace

std::vector<std::string> openapi_v3_paths() {
    std::vector<std::string> out;
    for (const auto& r : all_resources()) {
        const std::string path = path_of(r);
        if (std::find(out.begin(), out.end(), path) == out.end()) out.push_back(path);
    }
    return out;
}

std::optional<std::string> openapi_v3(std::string_view path) {
    Schemas schemas(kV3);
    json::object paths;
    for (const auto& r : all_resources())
        if (path_of(r) == path) add_paths(kV3, r, &schemas, &paths);
    if (paths.empty()) return std::nullopt;
    json::object out{{"openapi", "3.0.0"},
                     {"info", info()},
                     {"paths", std::move(paths)},
                     {"components", json::object{{"schemas", schemas.take()}}}};
    return json::serialize(out);
}

std::string openapi_v3_index() {
    // The documents follow from the program alone: its version and table name them well enough.
    json::object paths;
    for (const auto& path : openapi_v3_paths())
        paths[path] = json::object{
            {"serverRelativeURL", "/openapi/v3/" + path + "?hash=" + digest(path + kVersion)}};
    return json::serialize(json::object{{"paths", std::move(paths)}});
}

std::string openapi_v2_json() {
    Schemas schemas(kV2);
    json::object paths;
    for (const auto& r : all_resources())
        add_paths(kV2, r, &schemas, &paths);
    json::object out{{"swagger", "2.0"},
                     {"info", info()},
                     {"paths", std::move(paths)},
                     {"definitions", schemas.take()}};
    return json::serialize(out);
}

}  // namespace api
