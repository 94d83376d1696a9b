#include "apiserver/http/selection.h"

#include <fmt/format.h>

#include <map>
#include <set>

#include "api/codec/json.h"
#include "api/status.h"

namespace apiserver {
namespace {

struct Row {
    std::string_view kind;
    std::string_view group_version;
    std::string_view selector;
    std::string_view path;
};
constexpr Row kRows[] = {
#include "apiserver/http/selectors.inc"
};

// Field label → path, of one kind. Every kind has its name and namespace.
std::map<std::string_view, std::string_view> selectable(const api::ResourceInfo& resource) {
    std::map<std::string_view, std::string_view> out{{"metadata.name", "metadata.name"},
                                                     {"metadata.namespace", "metadata.namespace"}};
    for (const auto& row : kRows)
        if (row.kind == resource.kind && row.group_version == resource.api_version())
            out[row.selector] = row.path;
    return out;
}

std::string scalar_text(const api::Message& m, const google::protobuf::FieldDescriptor* f) {
    const auto* r = m.GetReflection();
    switch (f->cpp_type()) {
        case google::protobuf::FieldDescriptor::CPPTYPE_STRING:
            return r->GetString(m, f);
        case google::protobuf::FieldDescriptor::CPPTYPE_BOOL:
            return r->GetBool(m, f) ? "true" : "false";
        case google::protobuf::FieldDescriptor::CPPTYPE_INT32:
            return std::to_string(r->GetInt32(m, f));
        case google::protobuf::FieldDescriptor::CPPTYPE_INT64:
            return std::to_string(r->GetInt64(m, f));
        default:
            return {};
    }
}

}  // namespace

std::string selectable_field(const api::Message& object, std::string_view path) {
    const api::Message* at = &object;
    for (;;) {
        const auto dot = path.find('.');
        const auto* f = at->GetDescriptor()->FindFieldByName(std::string(path.substr(0, dot)));
        if (f == nullptr) return {};
        if (f->is_repeated()) {
            // status.podIPs: the first one.
            if (at->GetReflection()->FieldSize(*at, f) == 0 || f->message_type() == nullptr)
                return {};
            const auto& first = at->GetReflection()->GetRepeatedMessage(*at, f, 0);
            const auto* ip = first.GetDescriptor()->FindFieldByName("ip");
            return ip == nullptr ? std::string() : scalar_text(first, ip);
        }
        if (f->message_type() == nullptr)
            return dot == std::string_view::npos ? scalar_text(*at, f) : std::string();
        at = &at->GetReflection()->GetMessage(*at, f);
        if (dot == std::string_view::npos) {
            // A source of an event is selected by its component.
            const auto* component = at->GetDescriptor()->FindFieldByName("component");
            return component == nullptr ? std::string() : scalar_text(*at, component);
        }
        path.remove_prefix(dot + 1);
    }
}

base::Result<Selection> Selection::parse(const api::ResourceInfo& resource,
                                         std::string namespace_name, std::string name,
                                         std::string_view labels, std::string_view fields) {
    Selection out;
    out.prefix_ = resource.storage_key(namespace_name, "");
    out.name_ = std::move(name);
    auto parsed_labels = api::LabelSelector::parse(labels);
    if (!parsed_labels) return api::bad_request(parsed_labels.error().message);
    out.labels_ = std::move(*parsed_labels);
    auto parsed_fields = api::FieldSelector::parse(fields);
    if (!parsed_fields) return api::bad_request(parsed_fields.error().message);
    out.fields_ = std::move(*parsed_fields);
    const auto known = selectable(resource);
    for (auto& term : out.fields_.terms()) {
        const auto it = known.find(term.field);
        if (it == known.end()) {
            if (known.size() == 2)
                return api::bad_request(
                    fmt::format("\"{}\" is not a known field selector: only \"metadata.name\", "
                                "\"metadata.namespace\"",
                                term.field));
            return api::bad_request("field label not supported: " + term.field);
        }
        term.field = it->second;
    }
    return out;
}

bool Selection::matches(const Cached& object) const {
    if (!name_.empty() && !object.key().ends_with("/" + name_)) return false;
    if (labels_.empty() && fields_.empty()) return true;
    const auto held = object.object();
    if (!labels_.matches(api::meta_of(*held).labels())) return false;
    return fields_.matches([&](std::string_view path) { return selectable_field(*held, path); });
}

}  // namespace apiserver
