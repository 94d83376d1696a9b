#pragma once
// RequestInfo: what a request's method, path and query ask for, in Kubernetes' words. Pure. It is
// what authorization, audit and the handlers look at. Source: the API's URL conventions (/api/v1/…,
// /apis/<group>/<version>/…).

#include <string>
#include <string_view>
#include <vector>

#include "net/http.h"

namespace apiserver {

struct RequestInfo {
    // /api/… and /apis/… paths that name a resource; everything else is a non-resource path.
    bool is_resource = false;
    // Lower-case: get, list, watch, create, update, patch, delete, deletecollection; for other
    // paths the HTTP method in lower case.
    std::string verb;
    std::string path;
    net::QueryParams query;

    std::string api_group;  // "" for the legacy core group
    std::string api_version;
    std::string namespace_;  // "" when the path has none
    std::string resource;
    std::string subresource;
    std::string name;
    // What follows a subresource (proxy paths).
    std::string rest;

    // The first value of a query parameter; "" when absent.
    std::string_view param(std::string_view key) const;
    // True for "true", "1" and a bare "?key".
    bool flag(std::string_view key) const;
};

// `target` is the raw request target. InvalidArgument for a path with a broken escape.
base::Result<RequestInfo> parse_request(std::string_view method, std::string_view target);

}  // namespace apiserver
