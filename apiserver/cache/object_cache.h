#pragma once
// The watch cache: every stored object of every resource, and the recent changes, fed by one watch
// of the store. Reads, lists and watches of any number of clients are served from here; the store
// is asked only where it stands. Lives on the API loop.

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "api/object.h"
#include "base/coro.h"
#include "kvstore/client.h"
#include "net/http.h"

namespace apiserver {

// One revision of one stored object. Immutable; what is made from its bytes is made at the first
// asking and shared as long as anybody holds it, so that an event is encoded once for all its
// watchers.
class Cached {
  public:
    // Null when the bytes are no object of the resource (anybody may write below /registry):
    // logged, and to the API it is not there.
    static std::shared_ptr<const Cached> make(const api::ResourceInfo& resource, std::string key,
                                              std::int64_t revision, std::string bytes);
    // The same object as of another revision.
    std::shared_ptr<const Cached> at(std::int64_t revision) const;
    // The object in the version of `resource`; itself for the one that is stored.
    static std::shared_ptr<const Cached> in_version(const std::shared_ptr<const Cached>& object,
                                                    const api::ResourceInfo& resource);

    const api::ResourceInfo& resource() const { return resource_; }
    // Its key in the store.
    const std::string& key() const { return key_; }
    // Mod revision: the object's resourceVersion.
    std::int64_t revision() const { return revision_; }
    // As stored: upstream's protobuf envelope.
    const std::string& bytes() const { return bytes_; }
    // With metadata.resourceVersion set. Never null.
    api::ObjectPtr object() const;
    // Its JSON and its protobuf envelope as answers carry them.
    net::SharedBytes json() const;
    net::SharedBytes protobuf() const;

  private:
    Cached(const api::ResourceInfo& resource, std::string key, std::int64_t revision,
           std::string bytes)
        : resource_(resource),
          key_(std::move(key)),
          revision_(revision),
          bytes_(std::move(bytes)) {}
    // Null when the bytes are none.
    api::ObjectPtr decode() const;

    const api::ResourceInfo& resource_;
    std::string key_;
    std::int64_t revision_;
    std::string bytes_;
    // Of a view in another version: what is stored. Its views are shared as long as one is held.
    std::shared_ptr<const Cached> source_;
    mutable std::weak_ptr<const Cached> view_;
    mutable std::weak_ptr<const api::Message> object_;
    mutable std::weak_ptr<const std::string> json_;
    mutable std::weak_ptr<const std::string> protobuf_;
};
using CachedPtr = std::shared_ptr<const Cached>;

struct CacheEvent {
    std::int64_t revision = 0;
    CachedPtr object;    // null: deleted
    CachedPtr previous;  // null: created
    // What a deletion shows: the last state with the deletion's revision.
    CachedPtr tombstone;

    // What a client is shown of it.
    const Cached& shown() const { return object ? *object : *tombstone; }
};
using CacheEventPtr = std::shared_ptr<const CacheEvent>;

// All objects of one storage prefix.
class ObjectCache {
  public:
    explicit ObjectCache(const api::ResourceInfo& resource) : resource_(resource) {}

    // Who is told of changes. Its owner removes it before it goes.
    class Subscriber {
      public:
        virtual ~Subscriber() = default;
        virtual void on_event(const CacheEventPtr& event) = 0;
        // The whole cache stands at this revision now; nothing up to it is missing.
        virtual void on_progress(std::int64_t revision) = 0;
        // The cache was loaded anew and cannot tell what happened between: the watch is over (410).
        virtual void on_reset() = 0;
    };

    const api::ResourceInfo& resource() const { return resource_; }
    // Null when there is none.
    CachedPtr find(std::string_view key) const;
    // In key order, from `prefix` on those that begin with it.
    const std::map<std::string, CachedPtr, std::less<>>& objects() const { return objects_; }
    void for_each(std::string_view prefix, const std::function<bool(const CachedPtr&)>& f) const;
    // Number of objects that begin with `prefix`.
    std::size_t count(std::string_view prefix) const;

    // The events after `revision`, oldest first; false when some of them are no longer kept.
    bool events_since(std::int64_t revision, std::vector<CacheEventPtr>* out) const;
    void subscribe(Subscriber* subscriber) { subscribers_.push_back(subscriber); }
    void unsubscribe(Subscriber* subscriber) { std::erase(subscribers_, subscriber); }

    // The feed's side.
    void load(CachedPtr object) {
        if (object) objects_[object->key()] = std::move(object);
    }
    void loaded(std::int64_t revision);
    void clear();
    void apply(const kvstore::Event& event);
    void progress(std::int64_t revision);

  private:
    const api::ResourceInfo& resource_;
    std::map<std::string, CachedPtr, std::less<>> objects_;
    std::deque<CacheEventPtr> recent_;
    std::size_t recent_bytes_ = 0;
    // Every event above it is in recent_.
    std::int64_t complete_since_ = 0;
    std::vector<Subscriber*> subscribers_;
};

// All caches and the watch that feeds them.
class CacheSet {
  public:
    CacheSet(base::Loop& loop, kvstore::Client& store);
    ~CacheSet();
    CacheSet(const CacheSet&) = delete;
    CacheSet& operator=(const CacheSet&) = delete;

    // Starts the feed: loads everything, then watches; after trouble it loads again.
    void start();
    base::Awaitable<void> stop();

    // CHECKs that the resource is stored.
    ObjectCache& of(const api::ResourceInfo& resource);
    // Loaded, and told of every revision up to this one.
    bool ready() const { return ready_; }
    std::int64_t revision() const { return revision_; }

    // Returns once the caches hold everything that was acknowledged before the call. Unavailable
    // after `timeout`.
    base::Task<std::int64_t> wait_fresh(base::Millis timeout = base::Millis(10'000));
    // Returns once the caches stand at `revision` or later; Unavailable (a timeout) otherwise.
    base::Task<void> wait_for(std::int64_t revision, base::Millis timeout);

  private:
    base::Awaitable<void> feed();
    base::Task<void> load_and_watch();
    base::Task<std::int64_t> load();
    ObjectCache* cache_of_key(std::string_view key);
    void advance(std::int64_t revision);

    base::Loop& loop_;
    kvstore::Client& store_;
    base::TaskGroup tasks_;
    std::map<std::string, std::unique_ptr<ObjectCache>, std::less<>>
        caches_;  // by prefix with '/' at its end
    std::shared_ptr<kvstore::Watcher> watcher_;
    struct Waiter {
        std::int64_t revision;
        std::uint64_t id;
        base::UniqueFunction<void(bool)> resolve;
    };
    std::vector<Waiter> waiters_;
    std::uint64_t next_waiter_ = 0;
    bool ready_ = false;
    std::int64_t revision_ = 0;
};

}  // namespace apiserver
