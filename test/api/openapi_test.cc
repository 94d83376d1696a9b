#include "api/openapi.h"

#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/dynamic_message.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <set>
#include <sstream>

#include "api/scheme.h"

namespace {

namespace json = boost::json;
namespace pb = google::protobuf;

json::object parse(const std::string& text) {
    json::parse_options options;
    options.max_depth = 64;
    boost::system::error_code ec;
    auto value = json::parse(text, ec, {}, options);
    EXPECT_FALSE(ec) << ec.message();
    return value.is_object() ? value.get_object() : json::object();
}

// Calls `f` with every object in a document.
template <class F>
void walk(const json::value& v, const F& f) {
    if (v.is_array())
        for (const auto& item : v.get_array())
            walk(item, f);
    if (!v.is_object()) return;
    f(v.get_object());
    for (const auto& [key, item] : v.get_object())
        walk(item, f);
}

void check_references(const json::object& document, const json::object& schemas,
                      std::string_view prefix) {
    int references = 0;
    walk(json::value(document), [&](const json::object& o) {
        const auto* ref = o.if_contains("$ref");
        // JSONSchemaProps has a property of this name.
        if (ref == nullptr || !ref->is_string()) return;
        ++references;
        const std::string_view to = ref->get_string();
        ASSERT_TRUE(to.starts_with(prefix)) << to;
        EXPECT_TRUE(schemas.contains(to.substr(prefix.size()))) << to;
    });
    EXPECT_GT(references, 20);
}

TEST(OpenApi, EveryGroupVersionHasAWholeDocument) {
    const auto paths = api::openapi_v3_paths();
    EXPECT_GT(paths.size(), 15U);
    const auto index = parse(api::openapi_v3_index());
    EXPECT_FALSE(api::openapi_v3("apis/nope/v1").has_value());
    for (const auto& path : paths) {
        SCOPED_TRACE(path);
        const std::string_view url = index.at("paths").at(path).at("serverRelativeURL").as_string();
        EXPECT_TRUE(url.starts_with("/openapi/v3/" + path + "?hash="));
        const auto document = parse(api::openapi_v3(path).value_or(""));
        ASSERT_FALSE(document.empty());
        const auto& schemas = document.at("components").at("schemas").as_object();
        check_references(document, schemas, "#/components/schemas/");
        std::set<std::string_view> ids;
        walk(document.at("paths"), [&](const json::object& o) {
            const auto* id = o.if_contains("operationId");
            if (id == nullptr) return;
            EXPECT_TRUE(ids.insert(id->get_string()).second) << *id;
        });
    }
    for (const auto& r : api::all_resources()) {
        if (!r.has_verb("patch")) continue;
        const std::string root = (r.group.empty() ? "api/" : "apis/") + r.api_version();
        const auto document = parse(api::openapi_v3(root).value_or(""));
        const std::string path = "/" + root + (r.namespaced ? "/namespaces/{namespace}/" : "/") +
                                 std::string(r.plural) + "/{name}";
        const auto& patch = document.at("paths").at(path).at("patch");
        EXPECT_EQ(patch.at("x-kubernetes-group-version-kind").at("kind").as_string(), r.kind)
            << path;
        std::set<std::string> parameters;
        for (const auto& p : patch.at("parameters").as_array())
            parameters.emplace(p.at("name").as_string());
        EXPECT_TRUE(parameters.contains("fieldValidation")) << path;
        EXPECT_TRUE(parameters.contains("dryRun")) << path;
        if (r.group == "batch") break;  // enough of them
    }
}

TEST(OpenApi, SchemasSayWhatUpstreamsSay) {
    const auto document = parse(api::openapi_v3("apis/apps/v1").value());
    const auto& schemas = document.at("components").at("schemas").as_object();
    const auto& deployment = schemas.at("io.k8s.api.apps.v1.Deployment");
    EXPECT_EQ(deployment.at("x-kubernetes-group-version-kind"),
              json::parse(R"([{"group":"apps","version":"v1","kind":"Deployment"}])"));
    EXPECT_EQ(
        deployment.at("properties").at("spec").at("allOf"),
        json::parse(R"([{"$ref":"#/components/schemas/io.k8s.api.apps.v1.DeploymentSpec"}])"));
    EXPECT_EQ(schemas.at("io.k8s.api.apps.v1.DeploymentSpec").at("required"),
              json::parse(R"(["selector","template"])"));
    EXPECT_EQ(schemas.at("io.k8s.api.apps.v1.DeploymentSpec")
                  .at("properties")
                  .at("strategy")
                  .at("x-kubernetes-patch-strategy"),
              "retainKeys");
    const auto& containers =
        schemas.at("io.k8s.api.core.v1.PodSpec").at("properties").at("containers");
    EXPECT_EQ(containers.at("x-kubernetes-patch-merge-key"), "name");
    EXPECT_EQ(containers.at("x-kubernetes-patch-strategy"), "merge");
    EXPECT_EQ(containers.at("x-kubernetes-list-type"), "map");
    EXPECT_EQ(containers.at("x-kubernetes-list-map-keys"), json::parse(R"(["name"])"));
    EXPECT_EQ(containers.at("items").at("$ref"),
              "#/components/schemas/io.k8s.api.core.v1.Container");
    EXPECT_EQ(schemas.at("io.k8s.apimachinery.pkg.util.intstr.IntOrString").at("format"),
              "int-or-string");
    EXPECT_EQ(schemas.at("io.k8s.apimachinery.pkg.apis.meta.v1.Time").at("format"), "date-time");
    // What is inlined stands in its parent, and fields have their JSON names.
    EXPECT_TRUE(
        schemas.at("io.k8s.api.core.v1.Probe").at("properties").as_object().contains("httpGet"));
    EXPECT_FALSE(
        schemas.at("io.k8s.api.core.v1.Probe").at("properties").as_object().contains("handler"));
    EXPECT_EQ(schemas.at("io.k8s.api.core.v1.ResourceRequirements")
                  .at("properties")
                  .at("limits")
                  .at("additionalProperties")
                  .at("$ref"),
              "#/components/schemas/io.k8s.apimachinery.pkg.api.resource.Quantity");
}

// The messages of openapi.v2 that are used, as lines of "message field number type [repeated]".
constexpr const char* kGnostic = R"(
Document swagger 1 string
Document info 2 Info
Document paths 8 Paths
Document definitions 9 Definitions
Info title 1 string
Info version 2 string
Paths path 2 NamedPathItem *
NamedPathItem name 1 string
NamedPathItem value 2 PathItem
PathItem get 2 Operation
PathItem put 3 Operation
PathItem post 4 Operation
PathItem delete 5 Operation
PathItem patch 8 Operation
PathItem parameters 9 ParametersItem *
Operation tags 1 string *
Operation operation_id 5 string
Operation parameters 8 ParametersItem *
Operation responses 9 Responses
Operation vendor_extension 13 NamedAny *
ParametersItem parameter 1 Parameter
Parameter body_parameter 1 BodyParameter
Parameter non_body_parameter 2 NonBodyParameter
BodyParameter name 2 string
BodyParameter in 3 string
BodyParameter required 4 bool
BodyParameter schema 5 Schema
NonBodyParameter query_parameter_sub_schema 3 Query
NonBodyParameter path_parameter_sub_schema 4 Path
Query in 2 string
Query name 4 string
Query type 6 string
Path required 1 bool
Path in 2 string
Path name 4 string
Path type 5 string
Responses response_code 1 NamedResponseValue *
NamedResponseValue name 1 string
NamedResponseValue value 2 ResponseValue
ResponseValue response 1 Response
Response description 1 string
Response schema 2 SchemaItem
SchemaItem schema 1 Schema
Definitions additional_properties 1 NamedSchema *
NamedSchema name 1 string
NamedSchema value 2 Schema
Schema _ref 1 string
Schema format 2 string
Schema description 4 string
Schema required 19 string *
Schema additional_properties 21 AdditionalPropertiesItem
Schema type 22 TypeItem
Schema items 23 ItemsItem
Schema properties 25 Properties
Schema vendor_extension 31 NamedAny *
AdditionalPropertiesItem schema 1 Schema
TypeItem value 1 string *
ItemsItem schema 1 Schema *
Properties additional_properties 1 NamedSchema *
NamedAny name 1 string
NamedAny value 2 Any
Any yaml 2 string
)";

const pb::FileDescriptor* gnostic(pb::DescriptorPool* pool) {
    pb::FileDescriptorProto file;
    file.set_name("openapi_v2_test.proto");
    file.set_package("openapi.v2");
    std::map<std::string, pb::DescriptorProto*> messages;
    std::istringstream lines(kGnostic);
    std::string line;
    while (std::getline(lines, line)) {
        std::istringstream words(line);
        std::string message, name, type, many;
        int number = 0;
        if (!(words >> message >> name >> number >> type)) continue;
        words >> many;
        auto*& m = messages[message];
        if (m == nullptr) {
            m = file.add_message_type();
            m->set_name(message);
        }
        auto* f = m->add_field();
        f->set_name(name);
        f->set_number(number);
        f->set_label(many.empty() ? pb::FieldDescriptorProto::LABEL_OPTIONAL
                                  : pb::FieldDescriptorProto::LABEL_REPEATED);
        if (type == "string" || type == "bool") {
            f->set_type(type == "bool" ? pb::FieldDescriptorProto::TYPE_BOOL
                                       : pb::FieldDescriptorProto::TYPE_STRING);
        } else {
            f->set_type(pb::FieldDescriptorProto::TYPE_MESSAGE);
            f->set_type_name(".openapi.v2." + type);
        }
    }
    return pool->BuildFile(file);
}

// Nothing in a message is unknown to its type.
bool fully_known(const pb::Message& m) {
    const auto* r = m.GetReflection();
    if (!r->GetUnknownFields(m).empty()) return false;
    std::vector<const pb::FieldDescriptor*> set;
    r->ListFields(m, &set);
    for (const auto* f : set) {
        if (f->message_type() == nullptr) continue;
        for (int i = 0; f->is_repeated() && i < r->FieldSize(m, f); ++i)
            if (!fully_known(r->GetRepeatedMessage(m, f, i))) return false;
        if (!f->is_repeated() && !fully_known(r->GetMessage(m, f))) return false;
    }
    return true;
}

TEST(OpenApi, VersionTwoIsTheSameInProtobuf) {
    const auto document = parse(api::openapi_v2_json());
    EXPECT_EQ(document.at("swagger"), "2.0");
    const auto& definitions = document.at("definitions").as_object();
    EXPECT_GT(definitions.size(), 500U);
    check_references(document, definitions, "#/definitions/");
    pb::DescriptorPool pool;
    const auto* file = gnostic(&pool);
    ASSERT_NE(file, nullptr);
    pb::DynamicMessageFactory factory;
    std::unique_ptr<pb::Message> message(
        factory.GetPrototype(file->FindMessageTypeByName("Document"))->New());
    ASSERT_TRUE(message->ParseFromString(api::openapi_v2_protobuf()));
    EXPECT_TRUE(fully_known(*message));
    const std::string text = message->DebugString();
    const auto count = [&](std::string_view what) {
        std::size_t n = 0;
        for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1))
            ++n;
        return n;
    };
    std::size_t operations = 0;
    std::size_t references = 0;
    walk(json::value(document), [&](const json::object& o) {
        operations += o.contains("operationId") ? 1 : 0;
        references += o.contains("$ref") && o.at("$ref").is_string() ? 1 : 0;
    });
    EXPECT_EQ(count("operation_id: "), operations);
    EXPECT_EQ(count("_ref: "), references);
    EXPECT_EQ(count("name: \"x-kubernetes-action\""), operations);
    EXPECT_NE(text.find("_ref: \"#/definitions/io.k8s.api.core.v1.PodSpec\""), std::string::npos);
    EXPECT_NE(text.find("yaml: "
                        "\"{\\\"group\\\":\\\"apps\\\",\\\"version\\\":\\\"v1\\\",\\\"kind\\\":"
                        "\\\"Deployment\\\"}\""),
              std::string::npos);
}

}  // namespace
