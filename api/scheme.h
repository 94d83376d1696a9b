#pragma once
// The built-in resources: what Kubernetes calls them, how they are addressed, where they are
// stored, and which message they are. One constant table (api/resources.inc); any thread.

#include <string>
#include <string_view>
#include <vector>

namespace google::protobuf {
class Descriptor;
class Message;
}  // namespace google::protobuf

namespace api {

struct Subresource {
    std::string_view name;
    std::string_view group_version;  // of its kind where that is another than the resource's
                                     // ("policy/v1"); else ""
    std::string_view kind;
    std::vector<std::string_view> verbs;
};

struct ResourceInfo {
    std::string_view group;  // "" is the legacy core group
    std::string_view version;
    std::string_view kind;
    std::string_view plural;
    std::string_view singular;
    std::vector<std::string_view> short_names;
    std::vector<std::string_view> categories;
    bool namespaced = false;
    std::vector<std::string_view> verbs;
    std::vector<Subresource> subresources;
    std::string_view storage_prefix;   // "/registry/pods"; "" for what is not stored
    std::string_view storage_version;  // "apps/v1": what is encoded in the store
    std::string_view storage_version_hash;
    std::string_view message_name;

    // "apps/v1", "v1".
    std::string api_version() const;
    // "deployments.apps", "pods": how errors name it.
    std::string qualified() const;
    bool has_verb(std::string_view verb) const;
    // Null when there is none.
    const Subresource* subresource(std::string_view name) const;
    // An empty object of its message, for New() and its descriptor.
    const google::protobuf::Message& prototype() const;
    // "/registry/pods/ns/name"; without a name, the prefix of a namespace's or of all objects, with
    // '/' at its end.
    std::string storage_key(std::string_view namespace_name, std::string_view name) const;
};

// In the order of discovery documents.
const std::vector<ResourceInfo>& all_resources();
// Null when there is none.
const ResourceInfo* find_resource(std::string_view group, std::string_view version,
                                  std::string_view plural);
const ResourceInfo* find_kind(std::string_view api_version, std::string_view kind);
// The resource whose objects are this message; it must be one.
const ResourceInfo& resource_of(const google::protobuf::Descriptor* descriptor);

template <class T>
const ResourceInfo& resource_of() {
    return resource_of(T::descriptor());
}

// A new empty message by its full Protobuf name or by a kind ("policy/v1", "Eviction"); null when
// there is none.
google::protobuf::Message* new_message(std::string_view full_name);
// "k8s.io.api.policy.v1.Eviction" for ("policy/v1", "Eviction"); meta kinds (DeleteOptions, Status,
// …) stand in every group version. "" when there is none.
std::string message_name_of(std::string_view api_version, std::string_view kind);

}  // namespace api
