#pragma once
// What every handler is given, and the answers that all of them use.

#include <memory>
#include <string>
#include <vector>

#include "api/codec/json.h"
#include "api/scheme.h"
#include "apiserver/auth/user.h"
#include "apiserver/http/negotiate.h"
#include "apiserver/http/request_info.h"
#include "apiserver/registry/registry.h"
#include "net/server.h"

namespace apiserver {

// One request on its way through the handlers; owned by the coroutine that serves it.
struct RequestContext {
    std::shared_ptr<net::Exchange> exchange;
    RequestInfo info;
    User user;
    Accepted accepted;
    const api::ResourceInfo* resource = nullptr;  // of resource requests
    std::vector<std::string> warnings;            // become Warning headers

    WriteContext write_context();
};

inline constexpr std::size_t kMaxBody = std::size_t{3} << 20;

// Answers. Each ends the exchange.
void respond_object(RequestContext& context, int status, const api::Message& object,
                    api::TypeMeta type);
void respond_cached(RequestContext& context, const Cached& object);
void respond_json(RequestContext& context, int status, std::string body,
                  std::string_view content_type = "application/json");
void respond_error(RequestContext& context, const base::Error& error);

// The request's body as an object. `expected` is the kind that the path implies; another kind is a
// bad request. Unknown fields are treated as ?fieldValidation says.
struct DecodedBody {
    std::unique_ptr<api::Message> object;
    api::TypeMeta type;
};
base::Result<DecodedBody> decode_body(RequestContext& context, std::string_view body,
                                      std::string_view message_name, api::TypeMeta expected);
// What ?fieldValidation says of unknown and duplicate fields: Ignore; Warn (as when absent), which
// becomes warnings; Strict, which is a bad request.
base::Status judge_unknown(RequestContext& context, const api::JsonProblems& problems);
// From the body and the query, which may say the same things.
base::Result<api::DeleteOptions> decode_delete_options(RequestContext& context,
                                                       std::string_view body);

}  // namespace apiserver
