#pragma once
// Registry: reads and writes of objects with all that Kubernetes promises about them: names and
// uids, generations, conflicts on resourceVersion, finalizers and graceful deletion, admission,
// validation. HTTP handlers and the in-process client both end here. Objects come and go in the
// version of the resource that is asked for; inside, they are what is stored. API loop; errors
// carry a metav1.Status.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/client.h"
#include "api/object.h"
#include "apiserver/auth/user.h"
#include "apiserver/cache/object_cache.h"
#include "kvstore/client.h"

namespace apiserver {

class Admission;

// On whose behalf, and how, something is written.
struct WriteContext {
    User user;
    bool dry_run = false;
    // Warnings for the client, as they come up.
    std::vector<std::string>* warnings = nullptr;
};

struct RemoveOptions {
    api::DeleteOptions options;
    bool dry_run = false;
};

struct Removed {
    api::ObjectPtr object;    // its last state
    bool immediately = true;  // gone; false: marked, and waiting for its grace or its finalizers
};

class Registry {
  public:
    Registry(kvstore::Client& store, CacheSet& caches);
    ~Registry();

    CacheSet& caches() { return caches_; }
    kvstore::Client& store() { return store_; }
    Admission& admission() { return *admission_; }

    // The object as of now (not older than any write acknowledged before the call). NotFound.
    base::Task<CachedPtr> get(const api::ResourceInfo& resource, std::string namespace_name,
                              std::string name);

    // Stores a new object. `object` is completed: name, uid, defaults, what admission adds.
    base::Task<api::ObjectPtr> create(const api::ResourceInfo& resource, std::string namespace_name,
                                      std::unique_ptr<api::Message> object, WriteContext context);

    // Answers the object that shall replace `current`. May be called again when somebody else wrote
    // meanwhile.
    using Transform =
        std::function<base::Result<std::unique_ptr<api::Message>>(const api::Message& current)>;
    // A resourceVersion in what `transform` answers must be the present one (Conflict).
    // `subresource`: "", "status", ….
    base::Task<api::ObjectPtr> update(const api::ResourceInfo& resource, std::string namespace_name,
                                      std::string name, std::string subresource,
                                      Transform transform, WriteContext context);

    base::Task<Removed> remove(const api::ResourceInfo& resource, std::string namespace_name,
                               std::string name, RemoveOptions options, WriteContext context);

  private:
    // The same in the stored version. `asked` is what was asked for: errors name it.
    base::Task<api::ObjectPtr> create_stored(const api::ResourceInfo& resource,
                                             const api::ResourceInfo& asked,
                                             std::string namespace_name,
                                             std::unique_ptr<api::Message> object,
                                             WriteContext context);
    base::Task<api::ObjectPtr> update_stored(const api::ResourceInfo& resource,
                                             const api::ResourceInfo& asked,
                                             std::string namespace_name, std::string name,
                                             std::string subresource, Transform transform,
                                             WriteContext context);
    base::Task<Removed> remove_stored(const api::ResourceInfo& resource,
                                      const api::ResourceInfo& asked, std::string namespace_name,
                                      std::string name, RemoveOptions options,
                                      WriteContext context);
    base::Task<CachedPtr> read_store(const api::ResourceInfo& resource, std::string key);
    // Writes `object` over what is at `at_revision` (0: nothing). Answers the new object, or
    // nullopt when something else is there; `found` is then what. `ttl_seconds`: 0 or how long it
    // lives.
    base::Task<std::optional<api::ObjectPtr>> write(const api::ResourceInfo& resource,
                                                    std::string key,
                                                    std::shared_ptr<api::Message> object,
                                                    std::int64_t at_revision, CachedPtr* found);
    base::Task<bool> erase(const api::ResourceInfo& resource, std::string key,
                           std::int64_t at_revision, CachedPtr* found);
    base::Task<std::int64_t> event_lease();
    std::string encode(const api::ResourceInfo& resource, const api::Message& object) const;

    kvstore::Client& store_;
    CacheSet& caches_;
    std::unique_ptr<Admission> admission_;
    // Events written within some minutes share a lease, so that a lease a minute expires, not one
    // an event.
    std::int64_t lease_id_ = 0;
    base::SteadyTime lease_renew_at_{};
};

}  // namespace apiserver
