#pragma once
// Admission: what the cluster itself adds to a write or has against it, between authorization and
// the store. Each plug-in is a few functions in a file of its own; this is the chain, in upstream's
// order. API loop.

#include <memory>

#include "apiserver/registry/registry.h"

namespace apiserver {

class Admission {
  public:
    explicit Admission(Registry& registry) : registry_(registry) {}

    // May change the object. Forbidden, NotFound, … with the plug-in's reason.
    base::Task<void> admit_create(const api::ResourceInfo& resource,
                                  std::shared_ptr<api::Message> object,
                                  const WriteContext& context);
    base::Task<void> admit_update(const api::ResourceInfo& resource,
                                  std::shared_ptr<api::Message> object, api::ObjectPtr old,
                                  std::string subresource, const WriteContext& context);
    base::Task<void> admit_delete(const api::ResourceInfo& resource, api::ObjectPtr object,
                                  const WriteContext& context);
    // Gives back what was allocated for an object that was not stored, or is gone.
    base::Awaitable<void> release(const api::ResourceInfo& resource, api::ObjectPtr object);

  private:
    base::Task<void> namespace_lifecycle(const api::ResourceInfo& resource,
                                         std::string namespace_name);

    Registry& registry_;
};

// Cluster IPs are IPAddress objects, so that active-active API servers cannot give one out twice;
// node ports are keys below /registry/ranges/. `service` gets what it does not have.
base::Task<void> allocate_service(Registry& registry, std::shared_ptr<api::Message> service,
                                  WriteContext context);
base::Awaitable<void> release_service(Registry& registry, api::ObjectPtr service);

// The range of cluster IPs: 10.96.0.0/12, its first address is the service `kubernetes`.
inline constexpr std::uint32_t kServiceNetwork = (10U << 24) | (96U << 16);
inline constexpr std::uint32_t kServiceHosts = 1U << 20;
inline constexpr const char* kKubernetesServiceIp = "10.96.0.1";

}  // namespace apiserver
