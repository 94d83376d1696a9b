#pragma once
// The handlers of resource requests, a function a verb. Each answers the exchange, or an error that
// the caller turns into a Status. API loop. `server` outlives every request.

#include "apiserver/http/context.h"

namespace apiserver {

class ApiServer;

base::Task<void> handle_get(ApiServer& server, std::shared_ptr<RequestContext> context);
base::Task<void> handle_list(ApiServer& server, std::shared_ptr<RequestContext> context);
base::Task<void> handle_watch(ApiServer& server, std::shared_ptr<RequestContext> context);
base::Task<void> handle_create(ApiServer& server, std::shared_ptr<RequestContext> context);
base::Task<void> handle_update(ApiServer& server, std::shared_ptr<RequestContext> context);
base::Task<void> handle_patch(ApiServer& server, std::shared_ptr<RequestContext> context);
base::Task<void> handle_delete(ApiServer& server, std::shared_ptr<RequestContext> context);
base::Task<void> handle_delete_collection(ApiServer& server,
                                          std::shared_ptr<RequestContext> context);
// pods/binding, pods/eviction, …/scale.
base::Task<void> handle_subresource(ApiServer& server, std::shared_ptr<RequestContext> context);
// POST of a Binding to the collection: the binding names its pod.
base::Task<void> handle_binding(ApiServer& server, std::shared_ptr<RequestContext> context);
// What is created and only answered: access and token reviews.
bool is_review(const api::ResourceInfo& resource);
base::Task<void> handle_review(ApiServer& server, std::shared_ptr<RequestContext> context);

// Shared with the in-process client.
struct ListPage {
    std::vector<CachedPtr> items;
    std::int64_t revision = 0;
    std::string continue_token;
    std::int64_t remaining = 0;
};
struct ListQuery {
    const api::ResourceInfo* resource = nullptr;
    std::string namespace_name;
    std::string name;
    api::ListOptions options;
};
base::Task<ListPage> list_objects(Registry& registry, ListQuery query);
// The components of the cluster and how they are now.
base::Task<std::vector<CachedPtr>> component_statuses(CacheSet& caches);
base::Task<api::ObjectPtr> bind_pod(Registry& registry, std::string namespace_name,
                                    std::string name, api::ObjectPtr binding, WriteContext context);
base::Task<void> evict_pod(Registry& registry, std::string namespace_name, std::string name,
                           api::ObjectPtr eviction, WriteContext context);
// The patched object, from JSON patch, merge patch or strategic merge patch.
base::Result<std::unique_ptr<api::Message>> apply_patch(const api::Message& current,
                                                        api::TypeMeta type,
                                                        api::PatchType patch_type,
                                                        std::string_view body,
                                                        api::JsonProblems* problems);
// The same as what Registry::update() is given. `judge` (or null) says what becomes of unknown
// fields.
Registry::Transform patch_with(api::TypeMeta type, api::PatchType patch_type, std::string body,
                               std::function<base::Status(const api::JsonProblems&)> judge);
// Removes all that the query selects.
base::Task<void> remove_collection(Registry& registry, ListQuery query, RemoveOptions options,
                                   WriteContext context);

}  // namespace apiserver
