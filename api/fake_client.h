#pragma once
// FakeClient: an API server's behaviour in memory, for tests: resource versions, conflicts,
// generations, status and other subresources, finalizers and graceful deletion of pods, watches,
// label selectors. No validation, no defaults, no admission. It can be told to fail. Used on one
// loop.

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/client.h"

namespace api {

class FakeClient : public Client, public std::enable_shared_from_this<FakeClient> {
  public:
    struct Action {
        std::string verb;  // get, list, watch, create, update, patch, delete, deletecollection
        std::string resource;
        std::string subresource;
        std::string namespace_name;
        std::string name;
        ObjectPtr object;
    };
    // Asked before each call; an error is the call's answer.
    using Reactor = std::function<std::optional<base::Error>(const Action&)>;

    FakeClient();
    ~FakeClient() override;

    using Client::create;
    using Client::get;
    using Client::remove;
    using Client::update;

    base::Task<ObjectPtr> get(const ResourceInfo& resource, std::string namespace_name,
                              std::string name) override;
    base::Task<List> list(const ResourceInfo& resource, std::string namespace_name,
                          ListOptions options) override;
    base::Task<std::shared_ptr<WatchStream>> watch(const ResourceInfo& resource,
                                                   std::string namespace_name,
                                                   WatchOptions options) override;
    base::Task<ObjectPtr> create(const ResourceInfo& resource, ObjectPtr object) override;
    base::Task<ObjectPtr> create_sub(const ResourceInfo& resource, std::string namespace_name,
                                     std::string name, std::string subresource,
                                     ObjectPtr object) override;
    base::Task<ObjectPtr> update(const ResourceInfo& resource, ObjectPtr object,
                                 std::string subresource) override;
    base::Task<ObjectPtr> patch(const ResourceInfo& resource, std::string namespace_name,
                                std::string name, PatchType type, std::string body,
                                std::string subresource) override;
    base::Task<void> remove(const ResourceInfo& resource, std::string namespace_name,
                            std::string name, DeleteOptions options) override;
    base::Task<void> remove_all(const ResourceInfo& resource, std::string namespace_name,
                                ListOptions which, DeleteOptions options) override;

    // The tests' side: at once, past the reactor and without an action.
    ObjectPtr put(std::shared_ptr<Message> object);  // creates or replaces, status and all
    ObjectPtr find(const ResourceInfo& resource, const std::string& key) const;
    template <class T>
    Ptr<T> find(const std::string& key) const {
        return as<T>(find(resource_of<T>(), key));
    }
    std::vector<ObjectPtr> all(const ResourceInfo& resource) const;
    template <class T>
    std::vector<Ptr<T>> all() const {
        std::vector<Ptr<T>> out;
        for (const auto& object : all(resource_of<T>()))
            out.push_back(as<T>(object));
        return out;
    }
    // Takes it away whatever its finalizers say.
    void erase(const ResourceInfo& resource, const std::string& key);

    Reactor reactor;
    std::vector<Action> actions;  // writes only
    int count(std::string_view verb, std::string_view resource) const;
    // Ends all watches in good order.
    void close_watches();
    // Forgets the history: a watch from before now is answered with 410.
    void expire_history();
    void send_bookmarks();
    std::int64_t version() const { return version_; }

  private:
    class Stream;
    struct Event {
        EventType type;
        const ResourceInfo* resource;
        ObjectPtr object;
        ObjectPtr before;
        std::int64_t version;
    };
    using Objects = std::map<std::string, ObjectPtr>;

    base::Status ask(Action action);
    Objects& objects(const ResourceInfo& resource);
    ObjectPtr store(const ResourceInfo& resource, std::unique_ptr<Message> object, EventType type);
    void drop(const ResourceInfo& resource, const std::string& key);
    void emit(EventType type, const ResourceInfo& resource, ObjectPtr object, ObjectPtr before);
    base::Result<ObjectPtr> write(const ResourceInfo& resource, const Message& wanted,
                                  const std::string& subresource);
    base::Status delete_one(const ResourceInfo& resource, const std::string& key,
                            const DeleteOptions& options);

    std::map<const ResourceInfo*, Objects> objects_;
    std::deque<Event> history_;
    std::vector<std::weak_ptr<Stream>> streams_;
    std::int64_t version_ = 1;
    std::int64_t oldest_ = 0;
    std::int64_t next_uid_ = 1;
};

}  // namespace api
