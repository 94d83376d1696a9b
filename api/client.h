#pragma once
// Client: the one way to the Kubernetes API for controllers, the scheduler and tools. Two
// implementations: in process (apiserver/local_client.h: nothing is serialized, objects are shared)
// and over HTTP (api/http_client.h). A client belongs to one loop, on which its coroutines are
// awaited.
//
// Errors carry a metav1.Status (api/status.h). Every call has a deadline of its own; a write that
// fails with DeadlineExceeded or Unavailable may have happened.

#include <optional>
#include <string>
#include <vector>

#include "api/object.h"
#include "base/coro.h"

namespace api {

struct ListOptions {
    std::string label_selector;
    std::string field_selector;
    std::int64_t limit = 0;
    std::string continue_token;
    // "" the newest, "0" whatever is there; with a match: "NotOlderThan" or "Exact".
    std::string resource_version;
    std::string resource_version_match;
};

struct List {
    std::vector<ObjectPtr> items;
    std::string resource_version;
    std::string continue_token;
};

struct WatchOptions {
    std::string label_selector;
    std::string field_selector;
    // Events after this one; "" or "0" with send_initial_events: the state first, then a bookmark.
    std::string resource_version;
    bool send_initial_events = false;
};

enum class EventType { kAdded, kModified, kDeleted, kBookmark };

struct WatchEvent {
    EventType type = EventType::kAdded;
    ObjectPtr object;                 // of a bookmark only metadata.resourceVersion is set
    bool initial_events_end = false;  // this bookmark ends the initial events
};

// Dropping it ends the watch.
class WatchStream {
  public:
    virtual ~WatchStream() = default;
    // The next event; nullopt when the server ended the watch in good order (watch again from the
    // last version). An error with HTTP code 410 means that the version is too old: list again. One
    // caller at a time.
    virtual base::Task<std::optional<WatchEvent>> next() = 0;
    // Ends a pending next(), too, with Cancelled.
    virtual void cancel() = 0;
};

enum class PatchType { kJson, kMerge, kStrategic };

struct DeleteOptions {
    std::optional<std::int64_t> grace_period_seconds;
    std::string propagation_policy;  // "", "Orphan", "Background", "Foreground"
    std::string uid;                 // preconditions, where not empty
    std::string resource_version;
};

class Client {
  public:
    virtual ~Client() = default;

    virtual base::Task<ObjectPtr> get(const ResourceInfo& resource, std::string namespace_name,
                                      std::string name) = 0;
    // All namespaces when `namespace_name` is empty.
    virtual base::Task<List> list(const ResourceInfo& resource, std::string namespace_name,
                                  ListOptions options) = 0;
    virtual base::Task<std::shared_ptr<WatchStream>> watch(const ResourceInfo& resource,
                                                           std::string namespace_name,
                                                           WatchOptions options) = 0;
    // `object`'s metadata says namespace and name. With a subresource (binding, eviction, …) the
    // object is of that one's kind and `name` is the parent's.
    virtual base::Task<ObjectPtr> create(const ResourceInfo& resource, ObjectPtr object) = 0;
    virtual base::Task<ObjectPtr> create_sub(const ResourceInfo& resource,
                                             std::string namespace_name, std::string name,
                                             std::string subresource, ObjectPtr object) = 0;
    // A resourceVersion in the object makes it conditional: Conflict (409) when it is not the
    // present one.
    virtual base::Task<ObjectPtr> update(const ResourceInfo& resource, ObjectPtr object,
                                         std::string subresource = {}) = 0;
    virtual base::Task<ObjectPtr> patch(const ResourceInfo& resource, std::string namespace_name,
                                        std::string name, PatchType type, std::string body,
                                        std::string subresource = {}) = 0;
    virtual base::Task<void> remove(const ResourceInfo& resource, std::string namespace_name,
                                    std::string name, DeleteOptions options) = 0;
    virtual base::Task<void> remove_all(const ResourceInfo& resource, std::string namespace_name,
                                        ListOptions which, DeleteOptions options) = 0;

    // The same by type.
    template <class T>
    base::Task<Ptr<T>> get(std::string namespace_name, std::string name) {
        CO_TRY(ObjectPtr object,
               co_await get(resource_of<T>(), std::move(namespace_name), std::move(name)));
        co_return as<T>(object);
    }
    template <class T>
    base::Task<Ptr<T>> create(std::shared_ptr<T> object) {
        ObjectPtr plain = std::move(object);
        CO_TRY(ObjectPtr made, co_await create(resource_of<T>(), std::move(plain)));
        co_return as<T>(made);
    }
    template <class T>
    base::Task<Ptr<T>> update(std::shared_ptr<T> object) {
        ObjectPtr plain = std::move(object);
        CO_TRY(ObjectPtr made, co_await update(resource_of<T>(), std::move(plain), std::string()));
        co_return as<T>(made);
    }
    template <class T>
    base::Task<Ptr<T>> update_status(std::shared_ptr<T> object) {
        ObjectPtr plain = std::move(object);
        CO_TRY(ObjectPtr made,
               co_await update(resource_of<T>(), std::move(plain), std::string("status")));
        co_return as<T>(made);
    }
    template <class T>
    base::Task<void> remove(std::string namespace_name, std::string name, DeleteOptions options) {
        co_return co_await remove(resource_of<T>(), std::move(namespace_name), std::move(name),
                                  std::move(options));
    }
    // An overload and no default argument, which GCC 12 would destroy twice in a co_await.
    template <class T>
    base::Task<void> remove(std::string namespace_name, std::string name) {
        DeleteOptions options;
        co_return co_await remove(resource_of<T>(), std::move(namespace_name), std::move(name),
                                  std::move(options));
    }
};

}  // namespace api
