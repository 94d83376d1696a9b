#include "api/openapi_v2.h"

#include <boost/json.hpp>

#include "base/bytes.h"

namespace api::openapi {

namespace json = boost::json;

namespace {

// A message that is being written.
class Writer {
  public:
    void text(int field, std::string_view value) {
        base::append_varint(&out_, static_cast<std::uint64_t>(field) << 3 | 2);
        base::append_varint(&out_, value.size());
        out_.append(value);
    }
    void flag(int field, bool value) {
        if (!value) return;
        base::append_varint(&out_, static_cast<std::uint64_t>(field) << 3);
        out_.push_back(1);
    }
    void message(int field, const Writer& inner) { text(field, inner.out_); }
    std::string take() { return std::move(out_); }

  private:
    std::string out_;
};

std::string_view string_at(const json::object& o, std::string_view key) {
    const auto* v = o.if_contains(key);
    return v != nullptr && v->is_string() ? std::string_view(v->get_string()) : std::string_view();
}

const json::object* object_at(const json::object& o, std::string_view key) {
    const auto* v = o.if_contains(key);
    return v == nullptr ? nullptr : v->if_object();
}

void string_field(Writer* out, int field, const json::object& o, std::string_view key) {
    if (const auto value = string_at(o, key); !value.empty()) out->text(field, value);
}

// name = 1, value = 2, as every Named… message has them.
Writer named(std::string_view name, const Writer& value) {
    Writer out;
    out.text(1, name);
    out.message(2, value);
    return out;
}

// "x-…": YAML in an Any; JSON is YAML.
void extensions(Writer* out, int field, const json::object& o) {
    for (const auto& [key, value] : o) {
        if (!std::string_view(key).starts_with("x-")) continue;
        Writer any;
        any.text(2, json::serialize(value));
        out->message(field, named(key, any));
    }
}

Writer schema(const json::object& o) {
    Writer out;
    string_field(&out, 1, o, "$ref");
    string_field(&out, 2, o, "format");
    string_field(&out, 4, o, "description");
    if (const auto* required = o.if_contains("required");
        required != nullptr && required->is_array())
        for (const auto& name : required->get_array())
            out.text(19, name.get_string());
    if (const auto* inner = object_at(o, "additionalProperties")) {
        Writer item;
        item.message(1, schema(*inner));
        out.message(21, item);
    }
    if (const auto type = string_at(o, "type"); !type.empty()) {
        Writer item;
        item.text(1, type);
        out.message(22, item);
    }
    if (const auto* inner = object_at(o, "items")) {
        Writer item;
        item.message(1, schema(*inner));
        out.message(23, item);
    }
    if (const auto* properties = object_at(o, "properties")) {
        Writer all;
        for (const auto& [name, value] : *properties)
            all.message(1, named(name, schema(value.get_object())));
        out.message(25, all);
    }
    extensions(&out, 31, o);
    return out;
}

// A ParametersItem.
Writer parameter(const json::object& o) {
    const bool required = o.contains("required") && o.at("required").as_bool();
    const auto in = string_at(o, "in");
    Writer kind;
    if (in == "body") {
        Writer body;
        string_field(&body, 2, o, "name");
        body.text(3, in);
        body.flag(4, required);
        if (const auto* s = object_at(o, "schema")) body.message(5, schema(*s));
        kind.message(1, body);
    } else {
        const bool path = in == "path";
        Writer sub;
        sub.flag(1, required);
        sub.text(2, in);
        string_field(&sub, 4, o, "name");
        string_field(&sub, path ? 5 : 6, o, "type");
        Writer plain;
        plain.message(path ? 4 : 3, sub);
        kind.message(2, plain);
    }
    Writer out;
    out.message(1, kind);
    return out;
}

Writer responses(const json::object& o) {
    Writer out;
    for (const auto& [code, value] : o) {
        const auto& response = value.get_object();
        Writer inner;
        string_field(&inner, 1, response, "description");
        if (const auto* s = object_at(response, "schema")) {
            Writer item;
            item.message(1, schema(*s));
            inner.message(2, item);
        }
        Writer choice;
        choice.message(1, inner);
        out.message(1, named(code, choice));
    }
    return out;
}

Writer operation(const json::object& o) {
    Writer out;
    for (const auto& tag : o.at("tags").as_array())
        out.text(1, tag.get_string());
    string_field(&out, 5, o, "operationId");
    for (const auto& p : o.at("parameters").as_array())
        out.message(8, parameter(p.get_object()));
    out.message(9, responses(o.at("responses").as_object()));
    extensions(&out, 13, o);
    return out;
}

Writer path_item(const json::object& o) {
    struct Method {
        std::string_view name;
        int field;
    };
    constexpr Method kMethods[] = {
        {"get", 2}, {"put", 3}, {"post", 4}, {"delete", 5}, {"patch", 8}};
    Writer out;
    for (const auto& method : kMethods)
        if (const auto* found = object_at(o, method.name))
            out.message(method.field, operation(*found));
    if (const auto* parameters = o.if_contains("parameters"))
        for (const auto& p : parameters->as_array())
            out.message(9, parameter(p.get_object()));
    return out;
}

}  // namespace

std::string v2_to_protobuf(const json::object& document) {
    Writer out;
    string_field(&out, 1, document, "swagger");
    if (const auto* info = object_at(document, "info")) {
        Writer inner;
        string_field(&inner, 1, *info, "title");
        string_field(&inner, 2, *info, "version");
        out.message(2, inner);
    }
    Writer paths;
    for (const auto& [path, item] : document.at("paths").as_object())
        paths.message(2, named(path, path_item(item.get_object())));
    out.message(8, paths);
    Writer definitions;
    for (const auto& [name, value] : document.at("definitions").as_object())
        definitions.message(1, named(name, schema(value.get_object())));
    out.message(9, definitions);
    return out.take();
}

}  // namespace api::openapi
