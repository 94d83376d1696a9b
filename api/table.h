#pragma once
// Objects as rows of a meta.k8s.io Table: what `kubectl get` prints. Pure; any thread.

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "api/object.h"

namespace api {

struct TableOptions {
    std::string version = "v1";  // of meta.k8s.io: "v1" or "v1beta1"
    std::string include_object;  // "", "Metadata", "Object" or "None"
    std::chrono::system_clock::time_point now;
    bool without_columns = false;  // columnDefinitions is null: a watch's later events
};

// The whole Table. `list_meta` is the JSON of its ListMeta.
std::string table_json(const ResourceInfo& resource, const std::vector<ObjectPtr>& objects,
                       std::string_view list_meta, const TableOptions& options);

// The object as a PartialObjectMetadata of meta.k8s.io's `version`.
std::string partial_metadata_json(const Message& object, std::string_view version = "v1");

// "5s", "5m12s", "3d4h", "2y117d": how long ago, as kubectl prints it.
std::string human_duration(std::chrono::seconds age);

}  // namespace api
