#pragma once
// The OpenAPI documents of the built-in resources, made from the descriptors and the resource
// table. They are built at each call (tens of milliseconds): who serves them keeps them. Pure; any
// thread.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace api {

// "api/v1", "apis/apps/v1", …: the group versions that have a v3 document.
std::vector<std::string> openapi_v3_paths();
// The document of one of them; nullopt for any other.
std::optional<std::string> openapi_v3(std::string_view path);
// {"paths":{"api/v1":{"serverRelativeURL":"/openapi/v3/api/v1?hash=…"},…}}
std::string openapi_v3_index();

// The whole API as Swagger 2.0 in JSON. (Its Protobuf form, which clients before 1.27 ask for, is
// not made.)
std::string openapi_v2_json();

}  // namespace api
