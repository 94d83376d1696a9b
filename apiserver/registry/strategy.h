#pragma once
// Strategy: what is particular to a resource when its objects are written. The generic rules
// (metadata, spec against status, generations) are in strategy.cc; a resource adds a row to the
// table there and, where it has rules of its own, functions in a file of its own. Pure: objects in,
// objects and field errors out.

#include <vector>

#include "api/object.h"
#include "api/status.h"

namespace k8s::io::api::core::v1 {
class PodSpec;
}

namespace apiserver {

using FieldErrors = std::vector<api::FieldError>;

struct Strategy {
    // The generation counts changes of the spec.
    bool generation = false;
    // What a client sends as status with a new object is kept (nodes register themselves with it).
    bool keep_status_on_create = false;
    // A PUT on a name that does not exist creates it.
    bool create_on_update = false;
    // Validates metadata.name; answers what is wrong with it, "" for nothing.
    std::string (*bad_name)(std::string_view name) = nullptr;
    // Sets what a new object begins with (a phase, …). Null: nothing.
    void (*prepare_create)(api::Message* object) = nullptr;
    // Adjusts `object` against what is stored. `subresource` is "" for the object itself.
    void (*prepare_update)(api::Message* object, const api::Message& old,
                           std::string_view subresource) = nullptr;
    void (*validate)(const api::Message& object, FieldErrors* errors) = nullptr;
    void (*validate_update)(const api::Message& object, const api::Message& old,
                            std::string_view subresource, FieldErrors* errors) = nullptr;
};

const Strategy& strategy_of(const api::ResourceInfo& resource);

// The rules that hold for all. `object` has its name, or a generateName that is completed by then.
void prepare_create(const api::ResourceInfo& resource, api::Message* object);
void prepare_update(const api::ResourceInfo& resource, api::Message* object,
                    const api::Message& old, std::string_view subresource);
FieldErrors validate_create(const api::ResourceInfo& resource, const api::Message& object);
FieldErrors validate_update(const api::ResourceInfo& resource, const api::Message& object,
                            const api::Message& old, std::string_view subresource);

// Resources' own rules, a file each.
void validate_pod(const api::Message& object, FieldErrors* errors);
void prepare_pod(api::Message* object);
void prepare_pod_update(api::Message* object, const api::Message& old,
                        std::string_view subresource);
void validate_pod_update(const api::Message& object, const api::Message& old,
                         std::string_view subresource, FieldErrors* errors);
// Containers, names, policies: of pods and of the templates of workloads.
void validate_pod_spec(const api::core::PodSpec& spec, const std::string& path,
                       FieldErrors* errors);
void validate_workload(const api::Message& object, FieldErrors* errors);
void validate_workload_update(const api::Message& object, const api::Message& old,
                              std::string_view subresource, FieldErrors* errors);
void validate_service(const api::Message& object, FieldErrors* errors);
void validate_service_update(const api::Message& object, const api::Message& old,
                             std::string_view subresource, FieldErrors* errors);

}  // namespace apiserver
