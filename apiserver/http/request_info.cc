#include "apiserver/http/request_info.h"

#include <algorithm>

namespace apiserver {
namespace {

base::Result<std::vector<std::string>> split_path(std::string_view path) {
    std::vector<std::string> out;
    while (!path.empty()) {
        const auto slash = path.find('/');
        const auto part = path.substr(0, slash);
        if (!part.empty()) {
            TRY(std::string decoded, net::percent_decode(part));
            out.push_back(std::move(decoded));
        }
        if (slash == std::string_view::npos) break;
        path.remove_prefix(slash + 1);
    }
    return out;
}

std::string lower(std::string_view text) {
    std::string out(text);
    std::transform(out.begin(), out.end(), out.begin(),
                   [](unsigned char c) { return std::tolower(c); });
    return out;
}

std::string resource_verb(std::string_view method, const RequestInfo& info) {
    if (method == "POST") return "create";
    if (method == "PUT") return "update";
    if (method == "PATCH") return "patch";
    if (method == "DELETE") return info.name.empty() ? "deletecollection" : "delete";
    if (method != "GET" && method != "HEAD") return lower(method);
    // A watch of one object by name comes as a list with a field selector, or in the old way as
    // ?watch on the object.
    if (info.flag("watch")) return "watch";
    return info.name.empty() ? "list" : "get";
}

}  // namespace

std::string_view RequestInfo::param(std::string_view key) const {
    return net::query_value(query, key).value_or(std::string_view());
}

bool RequestInfo::flag(std::string_view key) const {
    const auto value = net::query_value(query, key);
    if (!value) return false;
    return value->empty() || *value == "1" || net::equals_ignoring_case(*value, "true");
}

base::Result<RequestInfo> parse_request(std::string_view method, std::string_view target) {
    RequestInfo info;
    const auto question = target.find('?');
    info.path = target.substr(0, question);
    if (question != std::string_view::npos)
        info.query = net::parse_query(target.substr(question + 1));
    info.verb = lower(method);
    TRY(auto parts, split_path(info.path));

    std::size_t at = 0;
    if (parts.size() >= 3 && parts[0] == "api") {
        info.api_version = parts[1];
        at = 2;
    } else if (parts.size() >= 4 && parts[0] == "apis") {
        info.api_group = parts[1];
        info.api_version = parts[2];
        at = 3;
    } else {
        return info;
    }
    info.is_resource = true;

    // The old form /api/v1/watch/… says the verb in the path.
    bool old_watch = false;
    if (parts[at] == "watch" && parts.size() > at + 1) {
        old_watch = true;
        ++at;
    }
    // /namespaces/x/pods is about pods, /namespaces/x, …/status and …/finalize are about the
    // namespace.
    if (parts[at] == "namespaces" && parts.size() > at + 2 && parts[at + 2] != "status" &&
        parts[at + 2] != "finalize") {
        info.namespace_ = parts[at + 1];
        at += 2;
    } else if (parts[at] == "namespaces" && parts.size() > at + 1) {
        info.namespace_ = parts[at + 1];
    }
    info.resource = parts[at++];
    if (at < parts.size()) info.name = parts[at++];
    if (at < parts.size()) info.subresource = parts[at++];
    for (; at < parts.size(); ++at)
        info.rest += "/" + parts[at];
    info.verb = old_watch ? "watch" : resource_verb(method, info);
    return info;
}

}  // namespace apiserver
