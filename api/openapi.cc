#include "api/openapi.h"

#include <fmt/format.h>
#include <google/protobuf/message.h>
#include <openssl/evp.h>

#include <algorithm>
#include <boost/json.hpp>

#include "api/openapi_schema.h"
#include "api/openapi_v2.h"
#include "base/bytes.h"

namespace api {

namespace json = boost::json;
using openapi::Dialect;
using openapi::Schemas;

namespace {

constexpr const char* kVersion = "v1.36.0";

json::string text(std::string_view s) {
    return json::string(s.data(), s.size());
}

const google::protobuf::Descriptor* message_type(std::string_view api_version,
                                                 std::string_view kind) {
    return google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(
        message_name_of(api_version, kind));
}

// The paths of a document, and the schemas that they speak of.
class Paths {
  public:
    Paths(Dialect dialect, Schemas* schemas) : dialect_(dialect), schemas_(*schemas) {}

    void add(const ResourceInfo& r);
    json::object take() { return std::move(paths_); }

  private:
    struct Operation {
        const char* method;  // of HTTP
        const char* action;  // x-kubernetes-action
        std::string id;
        std::string api_version;  // the kind that it is about
        std::string kind;
        const google::protobuf::Descriptor* answer;
        const google::protobuf::Descriptor* body;  // null: none
    };
    void operation(const std::string& path, const Operation& o, const ResourceInfo& r);
    void subresource(const std::string& path, const ResourceInfo& r, const Subresource& s);
    json::object parameter(const char* name, const char* in, const char* type) const;
    json::object content(const google::protobuf::Descriptor* d);

    Dialect dialect_;
    Schemas& schemas_;
    json::object paths_;
};

json::object Paths::parameter(const char* name, const char* in, const char* type) const {
    json::object out{{"name", name}, {"in", in}};
    if (std::string_view(in) == "path") out["required"] = true;
    if (dialect_ == Dialect::kV3)
        out["schema"] = json::object{{"type", type}};
    else
        out["type"] = type;
    return out;
}

json::object Paths::content(const google::protobuf::Descriptor* d) {
    const json::object schema{{"schema", schemas_.reference(d)}};
    if (dialect_ == Dialect::kV2) return schema;
    json::object types;
    for (const char* type :
         {"application/json", "application/yaml", "application/vnd.kubernetes.protobuf"})
        types[type] = schema;
    return {{"content", std::move(types)}};
}

void Paths::operation(const std::string& path, const Operation& o, const ResourceInfo& r) {
    const std::string_view action = o.action;
    json::array parameters;
    const auto query = [&](std::initializer_list<const char*> names, const char* type = "string") {
        for (const char* name : names)
            parameters.push_back(parameter(name, "query", type));
    };
    query({"pretty"});
    if (action == "list" || action == "deletecollection") {
        query({"labelSelector", "fieldSelector", "continue", "resourceVersion",
               "resourceVersionMatch"});
        query({"limit", "timeoutSeconds"}, "integer");
    }
    if (action == "list") query({"watch", "allowWatchBookmarks", "sendInitialEvents"}, "boolean");
    if (action == "post" || action == "put" || action == "patch")
        query({"dryRun", "fieldManager", "fieldValidation"});
    if (action == "patch") query({"force"}, "boolean");
    if (action == "delete" || action == "deletecollection") {
        query({"dryRun", "propagationPolicy"});
        query({"gracePeriodSeconds"}, "integer");
    }
    json::object out{{"tags", json::array{text(r.group.empty() ? "core" : r.group)}},
                     {"operationId", o.id}};
    if (o.body != nullptr) {
        json::object body = content(o.body);
        body["required"] = action != "delete" && action != "deletecollection";
        if (dialect_ == Dialect::kV3) {
            out["requestBody"] = std::move(body);
        } else {
            body["name"] = "body";
            body["in"] = "body";
            parameters.push_back(std::move(body));
        }
    }
    out["parameters"] = std::move(parameters);
    json::object response = content(o.answer);
    response["description"] = "OK";
    out["responses"] = json::object{{action == "post" ? "201" : "200", response},
                                    {"401", json::object{{"description", "Unauthorized"}}}};
    out["x-kubernetes-action"] = o.action;
    out["x-kubernetes-group-version-kind"] = openapi::gvk(o.api_version, o.kind);

    auto& item = paths_[path];
    if (!item.is_object()) {
        json::array in_path;
        if (path.find("{name}") != std::string::npos)
            in_path.push_back(parameter("name", "path", "string"));
        if (path.find("{namespace}") != std::string::npos)
            in_path.push_back(parameter("namespace", "path", "string"));
        item = json::object{};
        if (!in_path.empty()) item.get_object()["parameters"] = std::move(in_path);
    }
    item.get_object()[o.method] = std::move(out);
}

// "AppsV1NamespacedDeployment": the part of an operation's id that says what it is about.
std::string subject_of(const ResourceInfo& r) {
    std::string out;
    const auto capitalized = [&](std::string_view word) {
        bool start = true;
        for (char c : word) {
            if (start && c >= 'a' && c <= 'z') c = static_cast<char>(c - 32);
            start = c == '.' || c == '-';
            if (!start) out += c;
        }
    };
    capitalized(r.group.empty() ? "core" : r.group);
    capitalized(r.version);
    if (r.namespaced) out += "Namespaced";
    return out.append(r.kind);
}

void Paths::subresource(const std::string& path, const ResourceInfo& r, const Subresource& s) {
    const std::string api_version =
        s.group_version.empty() ? r.api_version() : std::string(s.group_version);
    const auto* type = message_type(api_version, s.kind);
    if (type == nullptr) return;
    std::string suffix(s.name);
    suffix[0] = static_cast<char>(suffix[0] - 32);
    struct Row {
        const char* verb;
        const char* method;
        const char* action;
    };
    constexpr Row kRows[] = {{"get", "get", "get"},
                             {"create", "post", "post"},
                             {"update", "put", "put"},
                             {"patch", "patch", "patch"}};
    for (const auto& row : kRows) {
        if (std::find(s.verbs.begin(), s.verbs.end(), row.verb) == s.verbs.end()) continue;
        const bool patch = std::string_view(row.verb) == "patch";
        const auto* body = std::string_view(row.verb) == "get" ? nullptr
                           : patch                             ? message_type("v1", "Patch")
                                                               : type;
        operation(path + "/" + std::string(s.name),
                  {row.method, row.action, row.action + subject_of(r) + suffix, api_version,
                   std::string(s.kind), type, body},
                  r);
    }
}

void Paths::add(const ResourceInfo& r) {
    const auto* type = r.prototype().GetDescriptor();
    const auto* list = message_type(r.api_version(), std::string(r.kind) + "List");
    const auto* status = message_type("v1", "Status");
    const auto* options = message_type("v1", "DeleteOptions");
    const std::string root = (r.group.empty() ? "/api/" : "/apis/") + r.api_version();
    const std::string collection =
        root + (r.namespaced ? "/namespaces/{namespace}/" : "/") + std::string(r.plural);
    const std::string one = collection + "/{name}";
    const std::string subject = subject_of(r);
    const auto add_if = [&](std::string_view verb, const std::string& path, const char* method,
                            const char* action, std::string id,
                            const google::protobuf::Descriptor* answer,
                            const google::protobuf::Descriptor* body) {
        if (!r.has_verb(verb) || answer == nullptr) return;
        operation(
            path,
            {method, action, std::move(id), r.api_version(), std::string(r.kind), answer, body}, r);
    };
    add_if("list", collection, "get", "list", "list" + subject, list, nullptr);
    if (r.namespaced)
        add_if("list", root + "/" + std::string(r.plural), "get", "list",
               "list" + subject + "ForAllNamespaces", list, nullptr);
    add_if("create", collection, "post", "post", "create" + subject, type, type);
    add_if("deletecollection", collection, "delete", "deletecollection",
           "deleteCollection" + subject, status, options);
    add_if("get", one, "get", "get", "read" + subject, type, nullptr);
    add_if("update", one, "put", "put", "replace" + subject, type, type);
    add_if("patch", one, "patch", "patch", "patch" + subject, type, message_type("v1", "Patch"));
    add_if("delete", one, "delete", "delete", "delete" + subject, status, options);
    for (const auto& s : r.subresources)
        subresource(one, r, s);
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

json::object v2_document() {
    Schemas schemas(Dialect::kV2);
    Paths paths(Dialect::kV2, &schemas);
    for (const auto& r : all_resources())
        paths.add(r);
    json::object found = paths.take();
    return {{"swagger", "2.0"},
            {"info", info()},
            {"paths", std::move(found)},
            {"definitions", schemas.take()}};
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
    Schemas schemas(Dialect::kV3);
    Paths paths(Dialect::kV3, &schemas);
    for (const auto& r : all_resources())
        if (path_of(r) == path) paths.add(r);
    json::object found = paths.take();
    if (found.empty()) return std::nullopt;
    return json::serialize(json::object{{"openapi", "3.0.0"},
                                        {"info", info()},
                                        {"paths", std::move(found)},
                                        {"components", json::object{{"schemas", schemas.take()}}}});
}

std::string openapi_v3_index() {
    // The documents follow from the program alone: its version names them well enough.
    json::object paths;
    for (const auto& path : openapi_v3_paths())
        paths[path] = json::object{
            {"serverRelativeURL", "/openapi/v3/" + path + "?hash=" + digest(path + kVersion)}};
    return json::serialize(json::object{{"paths", std::move(paths)}});
}

std::string openapi_v2_json() {
    return json::serialize(v2_document());
}

std::string openapi_v2_protobuf() {
    return openapi::v2_to_protobuf(v2_document());
}

}  // namespace api
