#pragma once
// Informer: a local copy of one resource, kept by list and watch. Handlers are told of each change
// and only enqueue keys. Informers: the shared ones of a process's role, one a resource. Objects
// are immutable and shared. Used on its loop; the client belongs to the same.

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "api/client.h"

namespace api {

struct InformerOptions {
    std::string namespace_name;  // "" is all
    std::string label_selector;
    std::string field_selector;
    base::Millis first_backoff{200};
    base::Millis max_backoff{10 * 1000};
};

class Informer {
  public:
    // Values under which an object is found.
    using IndexFunction = std::function<std::vector<std::string>(const Message&)>;
    // `before` is null for a new object, `now` for one that is gone. Called on the loop, after the
    // cache has changed.
    using Handler = std::function<void(const ObjectPtr& before, const ObjectPtr& now)>;

    // The index of the uid of the controlling owner.
    static constexpr std::string_view kByController = "controller";

    Informer(base::Loop& loop, std::shared_ptr<Client> client, const ResourceInfo& resource,
             InformerOptions options = {});
    ~Informer();
    Informer(const Informer&) = delete;
    Informer& operator=(const Informer&) = delete;

    // Any time; an index that exists already stays as it is. What is in the cache is indexed, too.
    void add_index(std::string_view name, IndexFunction function);
    void index_by_controller();
    // A handler added late is told of what is in the cache as new.
    void on_change(Handler handler);

    void start();
    // Ends the watch and waits for it.
    base::Awaitable<void> stop();
    // True once the first list is in the cache and the handlers were told.
    bool has_synced() const { return synced_; }
    const ResourceInfo& resource() const { return resource_; }
    // Lists since the start, for tests and metrics.
    int lists() const { return lists_; }

    // Null when there is none. `key` is "namespace/name" or "name".
    ObjectPtr get(const std::string& key) const;
    std::vector<ObjectPtr> list() const;
    std::vector<ObjectPtr> in_namespace(std::string_view namespace_name) const;
    std::vector<ObjectPtr> by_index(std::string_view index, const std::string& value) const;
    std::size_t size() const { return objects_.size(); }
    void for_each(const std::function<void(const ObjectPtr&)>& visit) const;

    template <class T>
    Ptr<T> get_as(const std::string& key) const {
        return as<T>(get(key));
    }
    template <class T>
    static std::vector<Ptr<T>> all_as(const std::vector<ObjectPtr>& objects) {
        std::vector<Ptr<T>> out;
        out.reserve(objects.size());
        for (const auto& object : objects)
            out.push_back(as<T>(object));
        return out;
    }

  private:
    struct Index {
        IndexFunction function;
        // Keys, as views of those in objects_.
        std::unordered_map<std::string, std::set<std::string_view>> keys;
    };

    base::Awaitable<void> run();
    base::Task<void> list_all();
    base::Task<void> watch_on();
    void replace(std::vector<ObjectPtr> items);
    void put(ObjectPtr object);
    void erase(const std::string& key, const ObjectPtr& last);
    void index_add(Index* index, std::string_view key, const Message& object) const;
    void index_remove(std::string_view key, const Message& object);
    void notify(const ObjectPtr& before, const ObjectPtr& now);

    base::Loop& loop_;
    std::shared_ptr<Client> client_;
    const ResourceInfo& resource_;
    InformerOptions options_;
    base::TaskGroup tasks_;
    std::map<std::string, ObjectPtr, std::less<>> objects_;
    std::map<std::string, Index, std::less<>> indexes_;
    std::vector<Handler> handlers_;
    std::shared_ptr<WatchStream> stream_;
    std::string version_;  // where the next watch begins; "" means that a list is due
    bool started_ = false;
    bool synced_ = false;
    int lists_ = 0;
    base::Millis backoff_{0};
};

class Informers {
  public:
    Informers(base::Loop& loop, std::shared_ptr<Client> client);
    ~Informers();

    // Made at the first call.
    Informer& of(const ResourceInfo& resource);
    template <class T>
    Informer& of() {
        return of(resource_of<T>());
    }
    void start();
    bool has_synced() const;
    // Returns when all have synced; Cancelled when stopped before.
    base::Task<void> wait_synced();
    base::Awaitable<void> stop();

  private:
    base::Loop& loop_;
    std::shared_ptr<Client> client_;
    std::map<std::string, std::unique_ptr<Informer>> informers_;
    bool started_ = false;
    bool stopped_ = false;
};

}  // namespace api
