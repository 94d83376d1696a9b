#include "api/status.h"

#include <fmt/format.h>

#include <algorithm>

namespace api {

using Status = ::k8s::io::apimachinery::pkg::apis::meta::v1::Status;
using base::Code;
using base::Error;

namespace {

std::string quoted(std::string_view text) {
    std::string out = "\"";
    for (char c : text) {
        if (c == '"' || c == '\\') out += '\\';
        if (c == '\n')
            out += "\\n";
        else
            out += c;
    }
    return out + "\"";
}

Error make(Code code, int http, std::string_view reason, std::string message, Status status = {}) {
    status.set_status("Failure");
    status.set_code(http);
    status.set_reason(std::string(reason));
    status.set_message(message);
    return {code, std::move(message), std::make_shared<StatusDetail>(std::move(status))};
}

// Details that name a resource: "deployments.apps" is its plural and its group.
Status about(std::string_view resource, std::string_view name) {
    Status s;
    auto* d = s.mutable_details();
    const auto dot = resource.find('.');
    if (!name.empty()) d->set_name(std::string(name));
    if (!resource.empty()) d->set_kind(std::string(resource.substr(0, dot)));
    if (dot != std::string_view::npos) d->set_group(std::string(resource.substr(dot + 1)));
    return s;
}

std::string joined(const std::vector<std::string>& items) {
    std::string out;
    for (const auto& i : items) out += (out.empty() ? "" : ", ") + i;
    return out;
}

struct CodeRow {
    Code code;
    int http;
    const char* reason;
};
// For errors that no Kubernetes layer made: the store's, the network's.
constexpr CodeRow kCodes[] = {
    {Code::kInvalidArgument, 400, "BadRequest"},       {Code::kNotFound, 404, "NotFound"},         {Code::kAlreadyExists, 409, "AlreadyExists"},
    {Code::kPermissionDenied, 403, "Forbidden"},       {Code::kUnauthenticated, 401, "Unauthorized"}, {Code::kResourceExhausted, 429, "TooManyRequests"},
    {Code::kDeadlineExceeded, 504, "Timeout"},         {Code::kUnavailable, 503, "ServiceUnavailable"}, {Code::kCancelled, 503, "ServiceUnavailable"},
    {Code::kOutOfRange, 410, "Expired"},               {Code::kUnimplemented, 501, "NotImplemented"},
};

}  // namespace

FieldError FieldError::not_found(std::string path, std::string_view value) { return {Type::kNotFound, std::move(path), quoted(value), ""}; }
FieldError FieldError::required(std::string path, std::string detail) { return {Type::kRequired, std::move(path), "", std::move(detail)}; }
FieldError FieldError::duplicate(std::string path, std::string_view value) { return {Type::kDuplicate, std::move(path), quoted(value), ""}; }
FieldError FieldError::invalid(std::string path, std::string_view value, std::string detail) {
    return {Type::kInvalid, std::move(path), quoted(value), std::move(detail)};
}
FieldError FieldError::invalid(std::string path, std::int64_t value, std::string detail) {
    return {Type::kInvalid, std::move(path), std::to_string(value), std::move(detail)};
}
FieldError FieldError::invalid_raw(std::string path, std::string value, std::string detail) {
    return {Type::kInvalid, std::move(path), std::move(value), std::move(detail)};
}
FieldError FieldError::not_supported(std::string path, std::string_view value, std::vector<std::string> supported) {
    for (auto& s : supported) s = quoted(s);
    std::sort(supported.begin(), supported.end());
    return {Type::kNotSupported, std::move(path), quoted(value), "supported values: " + joined(supported)};
}
FieldError FieldError::forbidden(std::string path, std::string detail) { return {Type::kForbidden, std::move(path), "", std::move(detail)}; }
FieldError FieldError::too_long(std::string path, std::size_t max_bytes) {
    return {Type::kTooLong, std::move(path), "", fmt::format("may not be more than {} bytes", max_bytes)};
}
FieldError FieldError::too_many(std::string path, std::size_t actual, std::size_t max) {
    return {Type::kTooMany, std::move(path), std::to_string(actual), fmt::format("must have at most {} items", max)};
}
FieldError FieldError::internal(std::string path, std::string detail) { return {Type::kInternal, std::move(path), "", std::move(detail)}; }
FieldError FieldError::type_invalid(std::string path, std::string value, std::string detail) {
    return {Type::kTypeInvalid, std::move(path), std::move(value), std::move(detail)};
}

std::string FieldError::body() const {
    const char* head = "";
    switch (type) {
        case Type::kNotFound: head = "Not found"; break;
        case Type::kRequired: head = "Required value"; break;
        case Type::kDuplicate: head = "Duplicate value"; break;
        case Type::kInvalid:
        case Type::kTypeInvalid: head = "Invalid value"; break;
        case Type::kNotSupported: head = "Unsupported value"; break;
        case Type::kForbidden: head = "Forbidden"; break;
        case Type::kTooLong: head = "Too long"; break;
        case Type::kTooMany: head = "Too many"; break;
        case Type::kInternal: head = "Internal error"; break;
    }
    std::string out = head;
    if (!value.empty()) out += ": " + value;
    if (!detail.empty()) out += ": " + detail;
    return out;
}

std::string FieldError::to_string() const { return path + ": " + body(); }

std::string_view FieldError::reason() const {
    switch (type) {
        case Type::kNotFound: return "FieldValueNotFound";
        case Type::kRequired: return "FieldValueRequired";
        case Type::kDuplicate: return "FieldValueDuplicate";
        case Type::kInvalid: return "FieldValueInvalid";
        case Type::kNotSupported: return "FieldValueNotSupported";
        case Type::kForbidden: return "FieldValueForbidden";
        case Type::kTooLong: return "FieldValueTooLong";
        case Type::kTooMany: return "FieldValueTooMany";
        case Type::kInternal: return "InternalError";
        case Type::kTypeInvalid: return "FieldValueTypeInvalid";
    }
    return "FieldValueInvalid";
}

Error not_found(std::string_view resource, std::string_view name) {
    return make(Code::kNotFound, 404, "NotFound", fmt::format("{} \"{}\" not found", resource, name), about(resource, name));
}
Error already_exists(std::string_view resource, std::string_view name) {
    return make(Code::kAlreadyExists, 409, "AlreadyExists", fmt::format("{} \"{}\" already exists", resource, name), about(resource, name));
}
Error conflict(std::string_view resource, std::string_view name, std::string_view why) {
    if (why.empty()) why = "the object has been modified; please apply your changes to the latest version and try again";
    return make(Code::kAborted, 409, "Conflict", fmt::format("Operation cannot be fulfilled on {} \"{}\": {}", resource, name, why), about(resource, name));
}

Error invalid(const TypeMeta& type, std::string_view name, std::vector<FieldError> errors) {
    Status s;
    auto* d = s.mutable_details();
    d->set_name(std::string(name));
    d->set_kind(type.kind);
    const auto slash = type.api_version.find('/');
    const std::string group = slash == std::string::npos ? "" : type.api_version.substr(0, slash);
    if (!group.empty()) d->set_group(group);
    std::vector<std::string> texts;
    for (const auto& e : errors) {
        auto* cause = d->add_causes();
        cause->set_reason(std::string(e.reason()));
        cause->set_message(e.body());
        cause->set_field(e.path);
        if (std::find(texts.begin(), texts.end(), e.to_string()) == texts.end()) texts.push_back(e.to_string());
    }
    const std::string all = texts.size() == 1 ? texts[0] : "[" + joined(texts) + "]";
    return make(Code::kInvalidArgument, 422, "Invalid", fmt::format("{} \"{}\" is invalid: {}", group.empty() ? type.kind : type.kind + "." + group, name, all), std::move(s));
}
Error invalid(const ResourceInfo& resource, std::string_view name, std::vector<FieldError> errors) {
    return invalid(TypeMeta{resource.api_version(), std::string(resource.kind)}, name, std::move(errors));
}

Error forbidden(std::string_view resource, std::string_view name, std::string_view why) {
    std::string message = resource.empty() ? fmt::format("forbidden: {}", why)
                          : name.empty()   ? fmt::format("{} is forbidden: {}", resource, why)
                                           : fmt::format("{} \"{}\" is forbidden: {}", resource, name, why);
    return make(Code::kPermissionDenied, 403, "Forbidden", std::move(message), about(resource, name));
}

Error namespace_terminating(std::string_view resource, std::string_view namespace_name) {
    const std::string why = fmt::format("unable to create new content in namespace {} because it is being terminated", namespace_name);
    Status s = about(resource, "");
    auto* cause = s.mutable_details()->add_causes();
    cause->set_reason("NamespaceTerminating");
    cause->set_message(fmt::format("namespace {} is being terminated", namespace_name));
    cause->set_field("metadata.namespace");
    return make(Code::kPermissionDenied, 403, "Forbidden", fmt::format("{} is forbidden: {}", resource, why), std::move(s));
}

Error bad_request(std::string_view message) { return make(Code::kInvalidArgument, 400, "BadRequest", std::string(message)); }
Error unauthorized(std::string_view message) { return make(Code::kUnauthenticated, 401, "Unauthorized", std::string(message)); }
Error expired(std::int64_t requested, std::int64_t oldest) {
    return make(Code::kOutOfRange, 410, "Expired", fmt::format("too old resource version: {} ({})", requested, oldest));
}
Error expired_continue() {
    return make(Code::kOutOfRange, 410, "Expired",
                "The provided continue parameter is too old to display a consistent list result. You must start a new list without the continue parameter.");
}
Error expired_reset() { return make(Code::kOutOfRange, 410, "Expired", "too old resource version: the history of changes was lost"); }
Error gone(std::string_view message) { return make(Code::kOutOfRange, 410, "Gone", std::string(message)); }

Error too_large_version(std::int64_t requested, std::int64_t current) {
    Status s;
    auto* d = s.mutable_details();
    d->set_retryafterseconds(1);
    auto* cause = d->add_causes();
    cause->set_reason("ResourceVersionTooLarge");
    cause->set_message("Too large resource version");
    return make(Code::kDeadlineExceeded, 504, "Timeout", fmt::format("Too large resource version: {}, current: {}", requested, current), std::move(s));
}

Error method_not_supported(std::string_view resource, std::string_view verb) {
    return make(Code::kUnimplemented, 405, "MethodNotAllowed", fmt::format("{} is not supported on resources of kind \"{}\"", verb, resource), about(resource, ""));
}
Error not_acceptable(const std::vector<std::string>& media_types) {
    return make(Code::kInvalidArgument, 406, "NotAcceptable", "only the following media types are accepted: " + joined(media_types));
}
Error unsupported_media_type(const std::vector<std::string>& media_types) {
    return make(Code::kInvalidArgument, 415, "UnsupportedMediaType",
                "the body of the request was in an unknown format - accepted media types include: " + joined(media_types));
}
Error request_entity_too_large(std::string_view message) {
    return make(Code::kResourceExhausted, 413, "RequestEntityTooLarge", fmt::format("Request entity too large: {}", message));
}

Error too_many_requests(std::string_view message, std::int32_t retry_after_seconds, std::string_view cause) {
    Status s;
    s.mutable_details()->set_retryafterseconds(retry_after_seconds);
    if (!cause.empty()) {
        auto* c = s.mutable_details()->add_causes();
        c->set_reason("DisruptionBudget");
        c->set_message(std::string(cause));
    }
    return make(Code::kResourceExhausted, 429, "TooManyRequests", std::string(message), std::move(s));
}

Error server_timeout(std::string_view resource, std::string_view verb, std::int32_t retry_after_seconds) {
    Status s = about(resource, "");
    s.mutable_details()->set_retryafterseconds(retry_after_seconds);
    return make(Code::kDeadlineExceeded, 500, "ServerTimeout",
                fmt::format("The {} operation against {} could not be completed at this time, please try again.", verb, resource), std::move(s));
}
Error timeout(std::string_view message, std::int32_t retry_after_seconds) {
    Status s;
    if (retry_after_seconds > 0) s.mutable_details()->set_retryafterseconds(retry_after_seconds);
    return make(Code::kDeadlineExceeded, 504, "Timeout", fmt::format("Timeout: {}", message), std::move(s));
}
Error internal(std::string_view message) {
    return make(Code::kInternal, 500, "InternalError", fmt::format("Internal error occurred: {}", message));
}
Error service_unavailable(std::string_view message) { return make(Code::kUnavailable, 503, "ServiceUnavailable", std::string(message)); }
Error not_implemented(std::string_view message) { return make(Code::kUnimplemented, 501, "NotImplemented", std::string(message)); }
Error no_such_path() { return make(Code::kNotFound, 404, "NotFound", "the server could not find the requested resource"); }

Status to_status(const Error& error) {
    if (const auto* detail = dynamic_cast<const StatusDetail*>(error.detail.get())) return detail->status;
    for (const auto& row : kCodes)
        if (row.code == error.code) return to_status(make(error.code, row.http, row.reason, error.message));
    return to_status(make(error.code, 500, "InternalError", fmt::format("Internal error occurred: {}", error.message)));
}

int http_status(const Error& error) { return to_status(error).code(); }

std::string_view reason_of(const Error& error) {
    const auto* detail = dynamic_cast<const StatusDetail*>(error.detail.get());
    return detail == nullptr ? std::string_view() : std::string_view(detail->status.reason());
}
bool is_not_found(const Error& error) { return reason_of(error) == "NotFound"; }
bool is_already_exists(const Error& error) { return reason_of(error) == "AlreadyExists"; }
bool is_conflict(const Error& error) { return reason_of(error) == "Conflict"; }
bool is_expired(const Error& error) { return reason_of(error) == "Expired" || reason_of(error) == "Gone"; }

Error from_status(Status status) {
    Code code = Code::kUnknown;
    for (const auto& row : kCodes)
        if (status.code() == row.http) code = row.code;
    if (status.reason() == "Conflict") code = Code::kAborted;
    if (status.code() == 422) code = Code::kInvalidArgument;
    std::string message = status.message();
    return {code, std::move(message), std::make_shared<StatusDetail>(std::move(status))};
}

}  // namespace api
