#include "api/scheme.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <map>

#include "base/check.h"

namespace api {
namespace {

const google::protobuf::Message* prototype_of(std::string_view full_name) {
    const auto* pool = google::protobuf::DescriptorPool::generated_pool();
    const auto* descriptor = pool->FindMessageTypeByName(std::string(full_name));
    return descriptor == nullptr
               ? nullptr
               : google::protobuf::MessageFactory::generated_factory()->GetPrototype(descriptor);
}

struct Index {
    std::map<std::tuple<std::string_view, std::string_view, std::string_view>, const ResourceInfo*>
        by_plural;
    std::map<std::pair<std::string, std::string_view>, const ResourceInfo*> by_kind;
    std::map<std::string_view, const ResourceInfo*> by_message;

    Index() {
        for (const auto& r : all_resources()) {
            by_plural[{r.group, r.version, r.plural}] = &r;
            by_kind[{r.api_version(), r.kind}] = &r;
            by_message[r.message_name] = &r;
        }
    }
};

const Index& index() {
    static const auto* instance = new Index;
    return *instance;
}

}  // namespace

const std::vector<ResourceInfo>& all_resources() {
    static const auto* rows = new std::vector<ResourceInfo>{
#include "api/resources.inc"
    };
    return *rows;
}

std::string ResourceInfo::api_version() const {
    return group.empty() ? std::string(version) : std::string(group) + "/" + std::string(version);
}

std::string ResourceInfo::qualified() const {
    return group.empty() ? std::string(plural) : std::string(plural) + "." + std::string(group);
}

bool ResourceInfo::has_verb(std::string_view verb) const {
    return std::find(verbs.begin(), verbs.end(), verb) != verbs.end();
}

const Subresource* ResourceInfo::subresource(std::string_view name) const {
    const auto it = std::find_if(subresources.begin(), subresources.end(),
                                 [&](const auto& s) { return s.name == name; });
    return it == subresources.end() ? nullptr : &*it;
}

const google::protobuf::Message& ResourceInfo::prototype() const {
    const auto* message = prototype_of(message_name);
    CHECK(message != nullptr, "{} is no message", message_name);
    return *message;
}

std::string ResourceInfo::storage_key(std::string_view namespace_name,
                                      std::string_view name) const {
    std::string out(storage_prefix);
    out += '/';
    if (namespaced && !namespace_name.empty()) {
        out += namespace_name;
        out += '/';
    }
    out += name;
    return out;
}

const ResourceInfo* find_resource(std::string_view group, std::string_view version,
                                  std::string_view plural) {
    const auto it = index().by_plural.find({group, version, plural});
    return it == index().by_plural.end() ? nullptr : it->second;
}

const ResourceInfo* find_kind(std::string_view api_version, std::string_view kind) {
    const auto it = index().by_kind.find({std::string(api_version), kind});
    return it == index().by_kind.end() ? nullptr : it->second;
}

const ResourceInfo& resource_of(const google::protobuf::Descriptor* descriptor) {
    const auto it = index().by_message.find(descriptor->full_name());
    CHECK(it != index().by_message.end(), "{} is not the message of a resource",
          descriptor->full_name());
    return *it->second;
}

google::protobuf::Message* new_message(std::string_view full_name) {
    const auto* prototype = prototype_of(full_name);
    return prototype == nullptr ? nullptr : prototype->New();
}

std::string message_name_of(std::string_view api_version, std::string_view kind) {
    const auto slash = api_version.find('/');
    const auto group =
        slash == std::string_view::npos ? std::string_view() : api_version.substr(0, slash);
    const auto version =
        slash == std::string_view::npos ? api_version : api_version.substr(slash + 1);
    std::string package = "k8s.io.api.";
    if (group.empty())
        package += "core";
    else if (group == "apiextensions.k8s.io")
        package = "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions";
    else if (group == "apiregistration.k8s.io")
        package = "k8s.io.kube_aggregator.pkg.apis.apiregistration";
    else
        package += group.substr(0, group.find('.'));
    const auto* pool = google::protobuf::DescriptorPool::generated_pool();
    for (std::string name : {package + "." + std::string(version) + "." + std::string(kind),
                             "k8s.io.apimachinery.pkg.apis.meta.v1." + std::string(kind)})
        if (pool->FindMessageTypeByName(name) != nullptr) return name;
    return {};
}

}  // namespace api
