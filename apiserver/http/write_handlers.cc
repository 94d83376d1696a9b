// POST, PUT, PATCH and DELETE of objects.

#include <boost/json.hpp>

#include "api/codec/json.h"
#include "api/codec/yaml.h"
#include "api/patch/patch.h"
#include "api/status.h"
#include "apiserver/http/handlers.h"
#include "apiserver/registry/strategy.h"
#include "apiserver/server.h"

namespace apiserver {

namespace {

api::TypeMeta type_of(const api::ResourceInfo& r) {
    return {r.api_version(), std::string(r.kind)};
}

base::Task<std::string> read_body(std::shared_ptr<RequestContext> context) {
    auto body = co_await context->exchange->read_body(kMaxBody);
    if (!body && body.error().code == base::Code::kResourceExhausted)
        co_return api::request_entity_too_large("limit is " + std::to_string(kMaxBody));
    co_return body;
}

}  // namespace

base::Task<void> handle_create(ApiServer& server, std::shared_ptr<RequestContext> context) {
    const auto& resource = *context->resource;
    const auto& info = context->info;
    if (resource.namespaced && info.namespace_.empty())
        co_return api::bad_request("an empty namespace may not be set during creation");
    CO_TRY(std::string body, co_await read_body(context));
    CO_TRY(auto decoded, decode_body(*context, body, resource.message_name, type_of(resource)));
    CO_TRY(auto created,
           co_await server.registry().create(resource, info.namespace_, std::move(decoded.object),
                                             context->write_context()));
    respond_object(*context, 201, *created, type_of(resource));
    co_return base::Status();
}

base::Task<void> handle_update(ApiServer& server, std::shared_ptr<RequestContext> context) {
    const auto& resource = *context->resource;
    const auto& info = context->info;
    CO_TRY(std::string body, co_await read_body(context));
    CO_TRY(auto decoded, decode_body(*context, body, resource.message_name, type_of(resource)));
    std::shared_ptr<api::Message> wanted = std::move(decoded.object);
    auto* m = api::mutable_meta(wanted.get());
    if (m->name().empty() && !m->generatename().empty())
        co_return api::bad_request("name is required");
    if (!m->name().empty() && m->name() != info.name)
        co_return api::bad_request("the name of the object (" + m->name() +
                                   ") does not match the name on the URL (" + info.name + ")");
    if (!m->namespace_().empty() && resource.namespaced && m->namespace_() != info.namespace_)
        co_return api::bad_request("the namespace of the object (" + m->namespace_() +
                                   ") does not match the namespace on the request (" +
                                   info.namespace_ + ")");
    Registry::Transform replace =
        [wanted](const api::Message&) -> base::Result<std::unique_ptr<api::Message>> {
        return api::clone(*wanted);
    };
    auto updated =
        co_await server.registry().update(resource, info.namespace_, info.name, info.subresource,
                                          std::move(replace), context->write_context());
    if (!updated && updated.error().code == base::Code::kNotFound &&
        strategy_of(resource).create_on_update && info.subresource.empty() &&
        m->resourceversion().empty()) {
        m->set_name(info.name);
        CO_TRY(auto created,
               co_await server.registry().create(resource, info.namespace_, api::clone(*wanted),
                                                 context->write_context()));
        respond_object(*context, 201, *created, type_of(resource));
        co_return base::Status();
    }
    if (!updated) co_return updated.error();
    respond_object(*context, 200, **updated, type_of(resource));
    co_return base::Status();
}

base::Result<std::unique_ptr<api::Message>> apply_patch(const api::Message& current,
                                                        api::TypeMeta type,
                                                        api::PatchType patch_type,
                                                        std::string_view body,
                                                        api::JsonProblems* problems) {
    boost::system::error_code ec;
    auto patch = boost::json::parse(body, ec);
    if (ec) {
        // YAML is a way to write a patch, too.
        auto yaml = api::parse_yaml(body);
        if (!yaml) return api::bad_request("the patch is no JSON: " + ec.message());
        patch = std::move(*yaml);
    }
    auto before = api::to_value(current, type);
    auto patched = patch_type == api::PatchType::kJson ? api::json_patch(before, patch)
                   : patch_type == api::PatchType::kMerge
                       ? base::Result<boost::json::value>(api::merge_patch(before, patch))
                       : api::strategic_merge_patch(before, patch, current.GetDescriptor());
    if (!patched) return patched.error();
    std::unique_ptr<api::Message> out(current.New());
    api::TypeMeta got;
    auto decoded = api::from_value(*patched, out.get(), &got, problems);
    if (!decoded) return api::bad_request(decoded.error().message);
    return out;
}

Registry::Transform patch_with(api::TypeMeta type, api::PatchType patch_type, std::string body,
                               std::function<base::Status(const api::JsonProblems&)> judge) {
    return [type = std::move(type), patch_type, body = std::move(body), judge = std::move(judge)](
               const api::Message& current) -> base::Result<std::unique_ptr<api::Message>> {
        api::JsonProblems problems;
        TRY(auto out, apply_patch(current, type, patch_type, body, &problems));
        if (judge) TRY_VOID(judge(problems));
        // A patch that does not speak of the version is applied to whatever is there.
        auto* m = api::mutable_meta(out.get());
        if (m->resourceversion() == api::meta_of(current).resourceversion())
            m->clear_resourceversion();
        return out;
    };
}

namespace {

base::Result<api::PatchType> patch_type_of(std::string_view content_type) {
    const auto type = media_type(content_type);
    if (type == "application/json-patch+json") return api::PatchType::kJson;
    if (type == "application/merge-patch+json") return api::PatchType::kMerge;
    if (type == "application/strategic-merge-patch+json") return api::PatchType::kStrategic;
    return api::unsupported_media_type({"application/json-patch+json",
                                        "application/merge-patch+json",
                                        "application/strategic-merge-patch+json"});
}

}  // namespace

base::Task<void> handle_patch(ApiServer& server, std::shared_ptr<RequestContext> context) {
    const auto& resource = *context->resource;
    const auto& info = context->info;
    CO_TRY(const api::PatchType patch_type,
           patch_type_of(context->exchange->header("content-type")));
    CO_TRY(std::string body, co_await read_body(context));
    auto judge = [context](const api::JsonProblems& problems) {
        return judge_unknown(*context, problems);
    };
    auto patch = patch_with(type_of(resource), patch_type, std::move(body), std::move(judge));
    CO_TRY(auto patched,
           co_await server.registry().update(resource, info.namespace_, info.name, info.subresource,
                                             std::move(patch), context->write_context()));
    respond_object(*context, 200, *patched, type_of(resource));
    co_return base::Status();
}

base::Task<void> handle_delete(ApiServer& server, std::shared_ptr<RequestContext> context) {
    const auto& resource = *context->resource;
    const auto& info = context->info;
    CO_TRY(std::string body, co_await read_body(context));
    RemoveOptions options;
    CO_TRY(options.options, decode_delete_options(*context, body));
    options.dry_run = info.param("dryRun") == "All";
    CO_TRY(auto removed,
           co_await server.registry().remove(resource, info.namespace_, info.name,
                                             std::move(options), context->write_context()));
    if (!removed.immediately) {
        respond_object(*context, 200, *removed.object, type_of(resource));
        co_return base::Status();
    }
    api::meta::Status status;
    status.set_status("Success");
    auto* details = status.mutable_details();
    details->set_name(info.name);
    if (!resource.group.empty()) details->set_group(std::string(resource.group));
    details->set_kind(std::string(resource.plural));
    details->set_uid(api::meta_of(*removed.object).uid());
    respond_object(*context, 200, status, {"v1", "Status"});
    co_return base::Status();
}

base::Task<void> remove_collection(Registry& registry, ListQuery query, RemoveOptions options,
                                   WriteContext context) {
    const auto& resource = *query.resource;
    CO_TRY(auto page, co_await list_objects(registry, std::move(query)));
    for (const auto& item : page.items) {
        const auto object = item->object();
        const auto& m = api::meta_of(*object);
        auto removed =
            co_await registry.remove(resource, m.namespace_(), m.name(), options, context);
        // Somebody else removed it first: so much the better.
        if (!removed && !api::is_not_found(removed.error())) co_return removed.error();
    }
    co_return base::Status();
}

base::Task<void> handle_delete_collection(ApiServer& server,
                                          std::shared_ptr<RequestContext> context) {
    const auto& resource = *context->resource;
    const auto& info = context->info;
    CO_TRY(std::string body, co_await read_body(context));
    RemoveOptions options;
    CO_TRY(options.options, decode_delete_options(*context, body));
    options.dry_run = info.param("dryRun") == "All";
    ListQuery query;
    query.resource = &resource;
    query.namespace_name = info.namespace_;
    query.options.label_selector = info.param("labelSelector");
    query.options.field_selector = info.param("fieldSelector");
    CO_TRY_VOID(co_await remove_collection(server.registry(), std::move(query), std::move(options),
                                           context->write_context()));
    api::meta::Status status;
    status.set_status("Success");
    status.mutable_details()->set_kind(std::string(resource.plural));
    if (!resource.group.empty()) status.mutable_details()->set_group(std::string(resource.group));
    respond_object(*context, 200, status, {"v1", "Status"});
    co_return base::Status();
}

}  // namespace apiserver
