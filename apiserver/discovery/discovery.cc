// Discovery: which groups, versions and resources there are, in the old form (a document a group
// version) and in the aggregated one (everything in one), and the OpenAPI documents.

#include <boost/json.hpp>
#include <map>

#include "api/openapi.h"
#include "api/status.h"
#include "apiserver/server.h"

namespace apiserver {

namespace json = boost::json;

namespace {

struct GroupVersion {
    std::string_view group;
    std::string_view version;
    std::vector<const api::ResourceInfo*> resources;
};

// In the table's order; the legacy group is "".
const std::vector<GroupVersion>& group_versions() {
    static const auto* all = [] {
        auto* out = new std::vector<GroupVersion>;
        for (const auto& r : api::all_resources()) {
            auto it = std::find_if(out->begin(), out->end(), [&](const auto& gv) {
                return gv.group == r.group && gv.version == r.version;
            });
            if (it == out->end())
                it = out->insert(out->end(), GroupVersion{r.group, r.version, {}});
            it->resources.push_back(&r);
        }
        return out;
    }();
    return *all;
}

template <class List>
json::array strings(const List& list) {
    json::array out;
    for (const auto& item : list)
        out.emplace_back(json::string_view(item.data(), item.size()));
    return out;
}
json::string text(std::string_view s) {
    return json::string(s.data(), s.size());
}

json::object api_resource(const api::ResourceInfo& r) {
    json::object out{{"name", text(r.plural)},
                     {"singularName", text(r.singular)},
                     {"namespaced", r.namespaced},
                     {"kind", text(r.kind)}};
    out["verbs"] = strings(r.verbs);
    if (!r.short_names.empty()) out["shortNames"] = strings(r.short_names);
    if (!r.categories.empty()) out["categories"] = strings(r.categories);
    if (!r.storage_version_hash.empty()) out["storageVersionHash"] = text(r.storage_version_hash);
    return out;
}

json::object resource_list(const GroupVersion& gv) {
    json::array resources;
    for (const auto* r : gv.resources) {
        resources.push_back(api_resource(*r));
        for (const auto& s : r->subresources) {
            json::object out{{"name", std::string(r->plural) + "/" + std::string(s.name)},
                             {"singularName", ""},
                             {"namespaced", r->namespaced},
                             {"kind", text(s.kind)}};
            out["verbs"] = strings(s.verbs);
            if (const auto slash = s.group_version.find('/'); slash != std::string_view::npos) {
                out["group"] = text(s.group_version.substr(0, slash));
                out["version"] = text(s.group_version.substr(slash + 1));
            }
            resources.push_back(std::move(out));
        }
    }
    const std::string name = gv.group.empty()
                                 ? std::string(gv.version)
                                 : std::string(gv.group) + "/" + std::string(gv.version);
    return {{"kind", "APIResourceList"},
            {"apiVersion", "v1"},
            {"groupVersion", name},
            {"resources", std::move(resources)}};
}

json::object group_object(std::string_view group) {
    json::array versions;
    json::value preferred;
    for (const auto& gv : group_versions()) {
        if (gv.group != group) continue;
        json::object version{{"groupVersion", std::string(group) + "/" + std::string(gv.version)},
                             {"version", text(gv.version)}};
        if (versions.empty()) preferred = version;
        versions.push_back(std::move(version));
    }
    return {{"name", text(group)},
            {"versions", std::move(versions)},
            {"preferredVersion", std::move(preferred)}};
}

json::object response_kind(std::string_view api_version, std::string_view kind) {
    const auto slash = api_version.find('/');
    const auto group =
        slash == std::string_view::npos ? std::string_view() : api_version.substr(0, slash);
    const auto version =
        slash == std::string_view::npos ? api_version : api_version.substr(slash + 1);
    return {{"group", text(group)}, {"version", text(version)}, {"kind", text(kind)}};
}

json::object aggregated_resource(const api::ResourceInfo& r) {
    json::object out{{"resource", text(r.plural)},
                     {"responseKind", response_kind(r.api_version(), r.kind)},
                     {"scope", r.namespaced ? "Namespaced" : "Cluster"},
                     {"singularResource", text(r.singular)},
                     {"verbs", strings(r.verbs)}};
    if (!r.short_names.empty()) out["shortNames"] = strings(r.short_names);
    if (!r.categories.empty()) out["categories"] = strings(r.categories);
    json::array subresources;
    for (const auto& s : r.subresources)
        subresources.push_back(
            json::object{{"subresource", text(s.name)},
                         {"responseKind",
                          response_kind(s.group_version.empty() ? std::string_view(r.api_version())
                                                                : s.group_version,
                                        s.kind)},
                         {"verbs", strings(s.verbs)}});
    if (!subresources.empty()) out["subresources"] = std::move(subresources);
    return out;
}

// `legacy`: the core group alone, or all others.
json::object aggregated(bool legacy) {
    std::map<std::string_view, std::size_t> at;
    json::array groups;
    for (const auto& gv : group_versions()) {
        if (gv.group.empty() != legacy) continue;
        auto [it, added] = at.emplace(gv.group, groups.size());
        if (added)
            groups.push_back(json::object{
                {"metadata",
                 json::object{{"name", text(gv.group)}, {"creationTimestamp", nullptr}}},
                {"versions", json::array{}}});
        json::array resources;
        for (const auto* r : gv.resources)
            resources.push_back(aggregated_resource(*r));
        groups[it->second].as_object()["versions"].as_array().push_back(
            json::object{{"version", text(gv.version)},
                         {"resources", std::move(resources)},
                         {"freshness", "Current"}});
    }
    return {{"kind", "APIGroupDiscoveryList"},
            {"apiVersion", "apidiscovery.k8s.io/v2"},
            {"metadata", json::object{}},
            {"items", std::move(groups)}};
}

// A document that never changes while the process runs: made at the first asking.
const std::string& document(const std::string& key, const std::function<std::string()>& make) {
    static auto* documents = new std::map<std::string, std::string>;
    const auto it = documents->find(key);
    return it != documents->end() ? it->second : documents->emplace(key, make()).first->second;
}

const GroupVersion* find_group_version(std::string_view group, std::string_view version) {
    for (const auto& gv : group_versions())
        if (gv.group == group && gv.version == version) return &gv;
    return nullptr;
}

bool serve_openapi(RequestContext& context, std::string_view path) {
    if (path == "/openapi/v2") {
        const auto accept = context.exchange->header("accept");
        if (accept.find("com.github.proto-openapi.spec.v2") != std::string_view::npos) {
            respond_json(context, 200, document("v2pb", [] { return api::openapi_v2_protobuf(); }),
                         "application/com.github.proto-openapi.spec.v2.v1.0+protobuf");
            return true;
        }
        respond_json(context, 200, document("v2", [] { return api::openapi_v2_json(); }));
        return true;
    }
    if (path == "/openapi/v3")
        return respond_json(context, 200, document("v3", [] { return api::openapi_v3_index(); })),
               true;
    constexpr std::string_view kPrefix = "/openapi/v3/";
    if (!path.starts_with(kPrefix)) return false;
    const std::string name(path.substr(kPrefix.size()));
    const auto paths = api::openapi_v3_paths();
    if (std::find(paths.begin(), paths.end(), name) == paths.end()) return false;
    respond_json(context, 200,
                 document(std::string(path), [&] { return api::openapi_v3(name).value_or("{}"); }));
    return true;
}

// A path of discovery in the old form; empty when it is none.
json::object legacy_document(std::string_view path, const ApiServer& server) {
    if (path == "/api")
        return {{"kind", "APIVersions"},
                {"versions", json::array{"v1"}},
                {"serverAddressByClientCIDRs",
                 json::array{json::object{
                     {"clientCIDR", "0.0.0.0/0"},
                     {"serverAddress", server.options().advertise_address + ":" +
                                           std::to_string(server.options().advertise_port)}}}}};
    if (path == "/api/v1") return resource_list(*find_group_version("", "v1"));
    if (path == "/apis") {
        json::array groups;
        std::string_view last;
        for (const auto& gv : group_versions()) {
            if (gv.group.empty() || gv.group == last) continue;
            groups.push_back(group_object(gv.group));
            last = gv.group;
        }
        return {{"kind", "APIGroupList"}, {"apiVersion", "v1"}, {"groups", std::move(groups)}};
    }
    if (!path.starts_with("/apis/")) return {};
    path.remove_prefix(6);
    const auto slash = path.find('/');
    const auto group = path.substr(0, slash);
    if (slash != std::string_view::npos) {
        const auto* gv = find_group_version(group, path.substr(slash + 1));
        return gv == nullptr ? json::object() : resource_list(*gv);
    }
    json::object found = group_object(group);
    if (found["versions"].as_array().empty()) return {};
    found["kind"] = "APIGroup";
    found["apiVersion"] = "v1";
    return found;
}

}  // namespace

base::Task<bool> serve_discovery(ApiServer& server, std::shared_ptr<RequestContext> context) {
    std::string path = context->info.path;
    if (path.size() > 1 && path.ends_with('/')) path.pop_back();
    if (serve_openapi(*context, path)) co_return true;
    if (path == "/") {
        json::array paths{"/api",     "/api/v1",     "/apis",       "/healthz", "/livez",
                          "/metrics", "/openapi/v2", "/openapi/v3", "/readyz",  "/version"};
        for (const auto& gv : group_versions())
            if (!gv.group.empty())
                paths.emplace_back("/apis/" + std::string(gv.group) + "/" +
                                   std::string(gv.version));
        json::object index{{"paths", std::move(paths)}};
        respond_json(*context, 200, json::serialize(index));
        co_return true;
    }
    if ((path == "/api" || path == "/apis") && context->accepted.as == "APIGroupDiscoveryList") {
        respond_json(*context, 200, json::serialize(aggregated(path == "/api")),
                     context->accepted.content_type());
        co_return true;
    }
    json::object found = legacy_document(path, server);
    if (found.empty()) co_return false;
    respond_json(*context, 200, json::serialize(found));
    co_return true;
}

}  // namespace apiserver
