// The client of the same process: calls are posted to the API loop, where they run as any request
// does after authentication and authorization; objects are shared, nothing is encoded but patches.

#include <boost/asio/co_spawn.hpp>

#include "api/status.h"
#include "apiserver/http/handlers.h"
#include "apiserver/http/watch.h"
#include "apiserver/server.h"
#include "base/log.h"

namespace apiserver {

namespace {

// Runs `task` on the API loop and resolves with what it answers. The resolver is called in every
// case, so that nobody waits for ever.
template <class T>
base::Awaitable<void> run_and_resolve(
    base::Task<T> task, std::shared_ptr<base::UniqueFunction<void(base::Result<T>)>> resolve) {
    base::Result<T> result = base::internal_error("the call did not run");
    try {
        result = co_await std::move(task);
    } catch (const std::exception& e) {
        result = base::internal_error(e.what());
    }
    (*resolve)(std::move(result));
}

// `make` is called on the API loop and answers the task to run there.
template <class T, class Make>
base::Task<T> on_api_loop(base::Loop* api_loop, Make make) {
    auto start = [api_loop, make = std::move(make)](
                     base::UniqueFunction<void(base::Result<T>)> resolve) mutable {
        auto shared =
            std::make_shared<base::UniqueFunction<void(base::Result<T>)>>(std::move(resolve));
        api_loop->post([api_loop, make = std::move(make), shared]() mutable {
            boost::asio::co_spawn(api_loop->context(), run_and_resolve<T>(make(), shared),
                                  [](std::exception_ptr) {});
        });
    };
    co_return co_await base::suspend<base::Result<T>>(std::move(start));
}

// Hands a CacheWatch of the API loop to a coroutine on another.
class LocalWatch final : public api::WatchStream, public std::enable_shared_from_this<LocalWatch> {
  public:
    LocalWatch(base::Loop& api_loop, std::shared_ptr<CacheWatch> watch)
        : api_loop_(api_loop), watch_(std::move(watch)) {}
    ~LocalWatch() override { release(); }

    base::Task<std::optional<api::WatchEvent>> next() override {
        if (cancelled_) co_return base::cancelled("the watch was cancelled");
        auto make = [watch = watch_] { return take(watch); };
        auto event =
            co_await on_api_loop<std::optional<api::WatchEvent>>(&api_loop_, std::move(make));
        if (cancelled_) co_return base::cancelled("the watch was cancelled");
        co_return event;
    }

    void cancel() override {
        cancelled_ = true;
        api_loop_.post([watch = watch_] { watch->cancel(); });
    }

  private:
    static base::Task<std::optional<api::WatchEvent>> take(std::shared_ptr<CacheWatch> watch) {
        auto item = co_await watch->next();
        if (!item) {
            if (!watch->ended()) co_return watch->ended().error();
            co_return std::optional<api::WatchEvent>();
        }
        api::WatchEvent event;
        event.type = static_cast<api::EventType>(item->type);
        event.initial_events_end = item->initial_events_end;
        if (item->object) {
            event.object = item->object->object();
        } else {
            auto mark = std::make_shared<api::meta::PartialObjectMetadata>();
            mark->mutable_metadata()->set_resourceversion(std::to_string(item->revision));
            event.object = std::move(mark);
        }
        co_return std::optional<api::WatchEvent>(std::move(event));
    }
    // It is the API loop's: it ends there.
    void release() {
        api_loop_.post([watch = std::move(watch_)]() mutable {
            watch->cancel();
            watch.reset();
        });
    }

    base::Loop& api_loop_;
    std::shared_ptr<CacheWatch> watch_;
    bool cancelled_ = false;
};

class LocalClient final : public api::Client {
  public:
    LocalClient(ApiServer& server, User user) : server_(server), user_(std::move(user)) {}

    base::Task<api::ObjectPtr> get(const api::ResourceInfo& resource, std::string ns,
                                   std::string name) override {
        auto make = [this, r = &resource, ns = std::move(ns), name = std::move(name)] {
            return do_get(r, ns, name);
        };
        co_return co_await on_api_loop<api::ObjectPtr>(&server_.loop(), std::move(make));
    }

    base::Task<api::List> list(const api::ResourceInfo& resource, std::string ns,
                               api::ListOptions options) override {
        auto make = [this, r = &resource, ns = std::move(ns), o = std::move(options)] {
            return do_list(r, ns, o);
        };
        co_return co_await on_api_loop<api::List>(&server_.loop(), std::move(make));
    }

    base::Task<std::shared_ptr<api::WatchStream>> watch(const api::ResourceInfo& resource,
                                                        std::string ns,
                                                        api::WatchOptions options) override {
        auto make = [this, r = &resource, ns = std::move(ns), o = std::move(options)] {
            return do_watch(r, ns, o);
        };
        co_return co_await on_api_loop<std::shared_ptr<api::WatchStream>>(&server_.loop(),
                                                                          std::move(make));
    }

    base::Task<api::ObjectPtr> create(const api::ResourceInfo& resource,
                                      api::ObjectPtr object) override {
        auto make = [this, r = &resource, object = std::move(object)] {
            return server_.registry().create(*r, api::meta_of(*object).namespace_(),
                                             api::clone(*object), context());
        };
        co_return co_await on_api_loop<api::ObjectPtr>(&server_.loop(), std::move(make));
    }

    base::Task<api::ObjectPtr> create_sub(const api::ResourceInfo& resource, std::string ns,
                                          std::string name, std::string subresource,
                                          api::ObjectPtr object) override {
        auto make = [this, r = &resource, ns = std::move(ns), name = std::move(name),
                     sub = std::move(subresource), object = std::move(object)] {
            return do_create_sub(r, ns, name, sub, object);
        };
        co_return co_await on_api_loop<api::ObjectPtr>(&server_.loop(), std::move(make));
    }

    base::Task<api::ObjectPtr> update(const api::ResourceInfo& resource, api::ObjectPtr object,
                                      std::string subresource) override {
        auto make = [this, r = &resource, object = std::move(object),
                     sub = std::move(subresource)] {
            Registry::Transform replace =
                [object](const api::Message&) -> base::Result<std::unique_ptr<api::Message>> {
                return api::clone(*object);
            };
            const auto& m = api::meta_of(*object);
            return server_.registry().update(*r, m.namespace_(), m.name(), sub, std::move(replace),
                                             context());
        };
        co_return co_await on_api_loop<api::ObjectPtr>(&server_.loop(), std::move(make));
    }

    base::Task<api::ObjectPtr> patch(const api::ResourceInfo& resource, std::string ns,
                                     std::string name, api::PatchType type, std::string body,
                                     std::string subresource) override {
        auto make = [this, r = &resource, ns = std::move(ns), name = std::move(name), type,
                     body = std::move(body), sub = std::move(subresource)] {
            const api::TypeMeta meta{r->api_version(), std::string(r->kind)};
            auto change = patch_with(meta, type, body, nullptr);
            return server_.registry().update(*r, ns, name, sub, std::move(change), context());
        };
        co_return co_await on_api_loop<api::ObjectPtr>(&server_.loop(), std::move(make));
    }

    base::Task<void> remove(const api::ResourceInfo& resource, std::string ns, std::string name,
                            api::DeleteOptions options) override {
        auto make = [this, r = &resource, ns = std::move(ns), name = std::move(name),
                     o = std::move(options)] { return do_remove(r, ns, name, o); };
        co_return co_await on_api_loop<void>(&server_.loop(), std::move(make));
    }

    base::Task<void> remove_all(const api::ResourceInfo& resource, std::string ns,
                                api::ListOptions which, api::DeleteOptions options) override {
        auto make = [this, r = &resource, ns = std::move(ns), w = std::move(which),
                     o = std::move(options)] { return do_remove_all(r, ns, w, o); };
        co_return co_await on_api_loop<void>(&server_.loop(), std::move(make));
    }

  private:
    WriteContext context() const {
        WriteContext out;
        out.user = user_;
        return out;
    }

    base::Task<api::ObjectPtr> do_get(const api::ResourceInfo* r, std::string ns,
                                      std::string name) {
        CO_TRY(auto found, co_await server_.registry().get(*r, std::move(ns), std::move(name)));
        auto object = found->object();
        co_return object;
    }

    base::Task<api::List> do_list(const api::ResourceInfo* r, std::string ns,
                                  api::ListOptions options) {
        ListQuery query;
        query.resource = r;
        query.namespace_name = std::move(ns);
        query.options = std::move(options);
        CO_TRY(auto page, co_await list_objects(server_.registry(), std::move(query)));
        api::List out;
        for (const auto& item : page.items)
            out.items.push_back(item->object());
        out.resource_version = std::to_string(page.revision);
        out.continue_token = std::move(page.continue_token);
        co_return out;
    }

    base::Task<std::shared_ptr<api::WatchStream>> do_watch(const api::ResourceInfo* r,
                                                           std::string ns,
                                                           api::WatchOptions options) {
        CacheWatch::Options watch;
        watch.resource = r;
        CO_TRY(watch.selection, Selection::parse(*r, std::move(ns), "", options.label_selector,
                                                 options.field_selector));
        watch.initial_events = options.send_initial_events;
        watch.bookmarks = true;
        if (!options.resource_version.empty())
            watch.since = std::strtoll(options.resource_version.c_str(), nullptr, 10);
        if (watch.since > 0)
            CO_TRY_VOID(co_await server_.caches().wait_for(watch.since, base::Millis(3000)));
        else
            CO_TRY_VOID(co_await server_.caches().wait_fresh());
        CO_TRY(auto opened, CacheWatch::open(server_.loop(), server_.caches().of(*r),
                                             server_.caches().revision(), std::move(watch)));
        server_.track(opened);
        co_return std::shared_ptr<api::WatchStream>(
            std::make_shared<LocalWatch>(server_.loop(), std::move(opened)));
    }

    base::Task<api::ObjectPtr> do_create_sub(const api::ResourceInfo* r, std::string ns,
                                             std::string name, std::string sub,
                                             api::ObjectPtr object) {
        if (r->plural == "pods" && sub == "binding")
            co_return co_await bind_pod(server_.registry(), ns, name, object, context());
        if (r->plural == "pods" && sub == "eviction") {
            CO_TRY_VOID(co_await evict_pod(server_.registry(), ns, name, object, context()));
            co_return object;
        }
        co_return api::not_implemented("the subresource " + std::string(r->plural) + "/" + sub +
                                       " is not served yet");
    }

    base::Task<void> do_remove(const api::ResourceInfo* r, std::string ns, std::string name,
                               api::DeleteOptions options) {
        RemoveOptions remove;
        remove.options = std::move(options);
        CO_TRY_VOID(co_await server_.registry().remove(*r, std::move(ns), std::move(name),
                                                       std::move(remove), context()));
        co_return base::Status();
    }

    base::Task<void> do_remove_all(const api::ResourceInfo* r, std::string ns,
                                   api::ListOptions which, api::DeleteOptions options) {
        ListQuery query;
        query.resource = r;
        query.namespace_name = std::move(ns);
        query.options = std::move(which);
        RemoveOptions remove;
        remove.options = std::move(options);
        co_return co_await remove_collection(server_.registry(), std::move(query),
                                             std::move(remove), context());
    }

    ApiServer& server_;
    User user_;
};

}  // namespace

std::shared_ptr<api::Client> ApiServer::make_client(User user) {
    return std::make_shared<LocalClient>(*this, std::move(user));
}

}  // namespace apiserver
