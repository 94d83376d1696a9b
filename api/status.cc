#include "api/status.h"

#include <fmt/format.h>

#include <algorithm>

#include "api/codec/reader.h"
#include "base/check.h"

namespace api {

using MetaStatus = ::k8s::io::apimachinery::pkg::apis::meta::v1::Status;
using base::Code;
using base::Error;

namespace {

std::string quoted(std::string_view s) {
    std::string out;
    codec::append_json_string(&out, s);
    return out;
}

// One row a reason: what it is in HTTP and inside.
struct Reason {
    std::string_view name;
    int http;
    Code code;
};
constexpr Reason kReasons[] = {
    {"BadRequest", 400, Code::kInvalidArgument},
    {"Unauthorized", 401, Code::kUnauthenticated},
    {"Forbidden", 403, Code::kPermissionDenied},
    {"NotFound", 404, Code::kNotFound},
    {"MethodNotAllowed", 405, Code::kUnimplemented},
    {"NotAcceptable", 406, Code::kInvalidArgument},
    {"AlreadyExists", 409, Code::kAlreadyExists},
    {"Conflict", 409, Code::kAborted},
    {"Gone", 410, Code::kOutOfRange},
    {"Expired", 410, Code::kOutOfRange},
    {"RequestEntityTooLarge", 413, Code::kResourceExhausted},
    {"UnsupportedMediaType", 415, Code::kInvalidArgument},
    {"Invalid", 422, Code::kInvalidArgument},
    {"TooManyRequests", 429, Code::kResourceExhausted},
    {"InternalError", 500, Code::kInternal},
    {"ServerTimeout", 500, Code::kUnavailable},
    {"NotImplemented", 501, Code::kUnimplemented},
    {"ServiceUnavailable", 503, Code::kUnavailable},
    {"Timeout", 504, Code::kDeadlineExceeded},
};

Code code_of(std::string_view reason, int http) {
    for (const auto& r : kReasons)
        if (r.name == reason) return r.code;
    for (const auto& r : kReasons)
        if (r.http == http && r.name != "AlreadyExists") return r.code;
    return http >= 500 ? Code::kInternal : Code::kUnknown;
}

const Reason& reason_for(Code code) {
    const auto named = [](std::string_view name) -> const Reason& {
        const auto* it = std::find_if(std::begin(kReasons), std::end(kReasons),
                                      [&](const Reason& r) { return r.name == name; });
        CHECK(it != std::end(kReasons));
        return *it;
    };
    switch (code) {
        case Code::kInvalidArgument:
            return named("BadRequest");
        case Code::kUnauthenticated:
            return named("Unauthorized");
        case Code::kPermissionDenied:
            return named("Forbidden");
        case Code::kNotFound:
            return named("NotFound");
        case Code::kAlreadyExists:
            return named("AlreadyExists");
        case Code::kAborted:
        case Code::kFailedPrecondition:
            return named("Conflict");
        case Code::kOutOfRange:
            return named("Expired");
        case Code::kResourceExhausted:
            return named("TooManyRequests");
        case Code::kUnimplemented:
            return named("NotImplemented");
        case Code::kUnavailable:
            return named("ServiceUnavailable");
        case Code::kDeadlineExceeded:
        case Code::kCancelled:
            return named("Timeout");
        default:
            return named("InternalError");
    }
}

MetaStatus failure(std::string_view reason, int http, std::string message) {
    MetaStatus out;
    out.set_status("Failure");
    out.set_message(std::move(message));
    if (!reason.empty()) out.set_reason(std::string(reason));
    out.set_code(http);
    return out;
}

MetaStatus failure(std::string_view reason, std::string message) {
    for (const auto& r : kReasons)
        if (r.name == reason) return failure(reason, r.http, std::move(message));
    CHECK(false, "{} is no reason", reason);
}

// "deployments.apps" → kind (the plural, as upstream) and group.
void name_it(MetaStatus* status, std::string_view resource, std::string_view name) {
    auto* details = status->mutable_details();
    const auto dot = resource.find('.');
    details->set_kind(std::string(resource.substr(0, dot)));
    if (dot != std::string_view::npos) details->set_group(std::string(resource.substr(dot + 1)));
    if (!name.empty()) details->set_name(std::string(name));
}

Error make(MetaStatus status) {
    return from_status(std::move(status));
}

const MetaStatus* status_in(const Error& error) {
    const auto* detail = dynamic_cast<const StatusDetail*>(error.detail.get());
    return detail == nullptr ? nullptr : &detail->status;
}

}  // namespace

FieldError FieldError::not_found(std::string path, std::string_view value) {
    return {Type::kNotFound, std::move(path), quoted(value), ""};
}
FieldError FieldError::required(std::string path, std::string detail) {
    return {Type::kRequired, std::move(path), "", std::move(detail)};
}
FieldError FieldError::duplicate(std::string path, std::string_view value) {
    return {Type::kDuplicate, std::move(path), quoted(value), ""};
}
FieldError FieldError::invalid(std::string path, std::string_view value, std::string detail) {
    return {Type::kInvalid, std::move(path), quoted(value), std::move(detail)};
}
FieldError FieldError::invalid(std::string path, std::int64_t value, std::string detail) {
    return {Type::kInvalid, std::move(path), std::to_string(value), std::move(detail)};
}
FieldError FieldError::invalid_raw(std::string path, std::string value, std::string detail) {
    return {Type::kInvalid, std::move(path), std::move(value), std::move(detail)};
}
FieldError FieldError::not_supported(std::string path, std::string_view value,
                                     const std::vector<std::string>& supported) {
    std::string detail;
    for (const auto& s : supported)
        detail += (detail.empty() ? "supported values: " : ", ") + quoted(s);
    return {Type::kNotSupported, std::move(path), quoted(value), std::move(detail)};
}
FieldError FieldError::forbidden(std::string path, std::string detail) {
    return {Type::kForbidden, std::move(path), "", std::move(detail)};
}
FieldError FieldError::too_long(std::string path, std::size_t max_bytes) {
    return {Type::kTooLong, std::move(path), "",
            fmt::format("may not be more than {} byte{}", max_bytes, max_bytes == 1 ? "" : "s")};
}
FieldError FieldError::too_many(std::string path, std::size_t actual, std::size_t max) {
    return {Type::kTooMany, std::move(path), std::to_string(actual),
            fmt::format("must have at most {} item{}", max, max == 1 ? "" : "s")};
}
FieldError FieldError::internal(std::string path, std::string detail) {
    return {Type::kInternal, std::move(path), "", std::move(detail)};
}
FieldError FieldError::type_invalid(std::string path, std::string value, std::string detail) {
    return {Type::kTypeInvalid, std::move(path), std::move(value), std::move(detail)};
}

namespace {

struct FieldErrorNames {
    std::string_view text;
    std::string_view reason;
    bool shows_value;
};

FieldErrorNames names_of(FieldError::Type type) {
    using Type = FieldError::Type;
    switch (type) {
        case Type::kNotFound:
            return {"Not found", "FieldValueNotFound", true};
        case Type::kRequired:
            return {"Required value", "FieldValueRequired", false};
        case Type::kDuplicate:
            return {"Duplicate value", "FieldValueDuplicate", true};
        case Type::kInvalid:
            return {"Invalid value", "FieldValueInvalid", true};
        case Type::kNotSupported:
            return {"Unsupported value", "FieldValueNotSupported", true};
        case Type::kForbidden:
            return {"Forbidden", "FieldValueForbidden", false};
        case Type::kTooLong:
            return {"Too long", "FieldValueTooLong", false};
        case Type::kTooMany:
            return {"Too many", "FieldValueTooMany", true};
        case Type::kInternal:
            return {"Internal error", "InternalError", false};
        case Type::kTypeInvalid:
            return {"Invalid value", "FieldValueTypeInvalid", true};
    }
    return {"Invalid value", "FieldValueInvalid", true};
}

}  // namespace

std::string FieldError::body() const {
    const auto names = names_of(type);
    std::string out(names.text);
    if (names.shows_value) out += ": " + value;
    if (!detail.empty()) out += ": " + detail;
    return out;
}

std::string FieldError::to_string() const {
    return path + ": " + body();
}

std::string_view FieldError::reason() const {
    return names_of(type).reason;
}

Error not_found(std::string_view resource, std::string_view name) {
    auto s = failure("NotFound", fmt::format("{} {} not found", resource, quoted(name)));
    name_it(&s, resource, name);
    return make(std::move(s));
}

Error already_exists(std::string_view resource, std::string_view name) {
    auto s = failure("AlreadyExists", fmt::format("{} {} already exists", resource, quoted(name)));
    name_it(&s, resource, name);
    return make(std::move(s));
}

Error conflict(std::string_view resource, std::string_view name, std::string_view why) {
    if (why.empty())
        why =
            "the object has been modified; please apply your changes to the latest version and "
            "try again";
    auto s = failure("Conflict", fmt::format("Operation cannot be fulfilled on {} {}: {}", resource,
                                             quoted(name), why));
    name_it(&s, resource, name);
    return make(std::move(s));
}

Error invalid(const TypeMeta& type, std::string_view name, const std::vector<FieldError>& errors) {
    const auto slash = type.api_version.find('/');
    const std::string group =
        slash == std::string::npos ? std::string() : type.api_version.substr(0, slash);
    std::vector<std::string> texts;
    for (const auto& e : errors) {
        std::string text = e.to_string();
        if (std::find(texts.begin(), texts.end(), text) == texts.end())
            texts.push_back(std::move(text));
    }
    const std::string all =
        texts.size() == 1 ? texts[0] : fmt::format("[{}]", fmt::join(texts, ", "));
    auto s = failure("Invalid", fmt::format("{}{}{} {} is invalid: {}", type.kind,
                                            group.empty() ? "" : ".", group, quoted(name), all));
    auto* details = s.mutable_details();
    if (!name.empty()) details->set_name(std::string(name));
    if (!group.empty()) details->set_group(group);
    details->set_kind(type.kind);
    for (const auto& e : errors) {
        auto* cause = details->add_causes();
        cause->set_reason(std::string(e.reason()));
        cause->set_message(e.body());
        cause->set_field(e.path);
    }
    return make(std::move(s));
}

Error invalid(const ResourceInfo& resource, std::string_view name,
              const std::vector<FieldError>& errors) {
    return invalid(TypeMeta{resource.api_version(), std::string(resource.kind)}, name, errors);
}

namespace {

MetaStatus forbidden_status(std::string_view resource, std::string_view name,
                            std::string_view why) {
    std::string message = resource.empty() ? fmt::format("forbidden: {}", why)
                          : name.empty()
                              ? fmt::format("{} is forbidden: {}", resource, why)
                              : fmt::format("{} {} is forbidden: {}", resource, quoted(name), why);
    auto s = failure("Forbidden", std::move(message));
    name_it(&s, resource, name);
    return s;
}

}  // namespace

Error forbidden(std::string_view resource, std::string_view name, std::string_view why) {
    return make(forbidden_status(resource, name, why));
}

Error namespace_terminating(std::string_view resource, std::string_view namespace_name) {
    auto s = forbidden_status(
        resource, "",
        fmt::format("unable to create new content in namespace {} because it is being terminated",
                    namespace_name));
    auto* cause = s.mutable_details()->add_causes();
    cause->set_reason("NamespaceTerminating");
    cause->set_message(fmt::format("namespace {} is being terminated", namespace_name));
    cause->set_field("metadata.namespace");
    return make(std::move(s));
}

Error bad_request(std::string_view message) {
    return make(failure("BadRequest", std::string(message)));
}
Error unauthorized(std::string_view message) {
    return make(failure("Unauthorized", std::string(message)));
}
Error expired(std::int64_t requested, std::int64_t oldest) {
    return make(
        failure("Expired", fmt::format("too old resource version: {} ({})", requested, oldest)));
}
Error expired_continue() {
    return make(failure("Expired",
                        "The provided continue parameter is too old to display a consistent list "
                        "result. You must start a new list without the continue parameter."));
}
Error expired_reset() {
    return make(failure("Expired", "The resourceVersion for the provided watch is too old."));
}
Error gone(std::string_view message) {
    return make(failure("Gone", std::string(message)));
}

Error too_large_version(std::int64_t requested, std::int64_t current) {
    auto s = failure("Timeout", fmt::format("Timeout: Too large resource version: {}, current: {}",
                                            requested, current));
    auto* cause = s.mutable_details()->add_causes();
    cause->set_reason("ResourceVersionTooLarge");
    cause->set_message("Too large resource version");
    s.mutable_details()->set_retryafterseconds(1);
    return make(std::move(s));
}

Error method_not_supported(std::string_view resource, std::string_view verb) {
    auto s = failure("MethodNotAllowed", fmt::format("{} is not supported on resources of kind {}",
                                                     verb, quoted(resource)));
    name_it(&s, resource, "");
    return make(std::move(s));
}

Error not_acceptable(const std::vector<std::string>& media_types) {
    return make(
        failure("NotAcceptable", fmt::format("only the following media types are accepted: {}",
                                             fmt::join(media_types, ", "))));
}

Error unsupported_media_type(const std::vector<std::string>& media_types) {
    return make(failure("UnsupportedMediaType",
                        fmt::format("the body of the request was in an unknown format - accepted "
                                    "media types include: {}",
                                    fmt::join(media_types, ", "))));
}

Error request_entity_too_large(std::string_view message) {
    return make(
        failure("RequestEntityTooLarge", fmt::format("Request entity too large: {}", message)));
}

Error too_many_requests(std::string_view message, std::int32_t retry_after_seconds,
                        std::string_view cause) {
    auto s = failure("TooManyRequests", std::string(message));
    s.mutable_details()->set_retryafterseconds(retry_after_seconds);
    if (!cause.empty()) {
        auto* c = s.mutable_details()->add_causes();
        c->set_reason("DisruptionBudget");
        c->set_message(std::string(cause));
    }
    return make(std::move(s));
}

Error server_timeout(std::string_view resource, std::string_view verb,
                     std::int32_t retry_after_seconds) {
    auto s =
        failure("ServerTimeout", fmt::format("The {} operation against {} could not be completed "
                                             "at this time, please try again.",
                                             verb, resource));
    name_it(&s, resource, "");
    s.mutable_details()->set_name(std::string(verb));
    s.mutable_details()->set_retryafterseconds(retry_after_seconds);
    return make(std::move(s));
}

Error timeout(std::string_view message, std::int32_t retry_after_seconds) {
    auto s = failure("Timeout", fmt::format("Timeout: {}", message));
    if (retry_after_seconds > 0) s.mutable_details()->set_retryafterseconds(retry_after_seconds);
    return make(std::move(s));
}

Error internal(std::string_view message) {
    auto s = failure("InternalError", fmt::format("Internal error occurred: {}", message));
    s.mutable_details()->add_causes()->set_message(std::string(message));
    return make(std::move(s));
}

Error service_unavailable(std::string_view message) {
    return make(failure("ServiceUnavailable", std::string(message)));
}
Error not_implemented(std::string_view message) {
    return make(failure("NotImplemented", std::string(message)));
}

Error no_such_path() {
    auto s = failure("NotFound", "the server could not find the requested resource");
    s.mutable_details();
    return make(std::move(s));
}

MetaStatus to_status(const Error& error) {
    if (const auto* s = status_in(error)) return *s;
    const Reason& reason = reason_for(error.code);
    if (reason.name == "InternalError") {
        auto s = failure(reason.name, fmt::format("Internal error occurred: {}", error.message));
        s.mutable_details()->add_causes()->set_message(error.message);
        return s;
    }
    auto s = failure(reason.name, error.message);
    // A server that is busy or has no leader is worth another try.
    if (error.code == Code::kUnavailable || error.code == Code::kResourceExhausted)
        s.mutable_details()->set_retryafterseconds(1);
    return s;
}

int http_status(const Error& error) {
    if (const auto* s = status_in(error)) return s->code();
    return reason_for(error.code).http;
}

std::string_view reason_of(const Error& error) {
    const auto* s = status_in(error);
    return s == nullptr ? std::string_view() : std::string_view(s->reason());
}

bool is_not_found(const Error& error) {
    return error.code == Code::kNotFound;
}
bool is_already_exists(const Error& error) {
    return error.code == Code::kAlreadyExists;
}
bool is_conflict(const Error& error) {
    return error.code == Code::kAborted;
}
bool is_expired(const Error& error) {
    return error.code == Code::kOutOfRange;
}

Error from_status(MetaStatus status) {
    if (status.code() == 0) {
        for (const auto& r : kReasons)
            if (r.name == status.reason()) status.set_code(r.http);
        if (status.code() == 0) status.set_code(500);
    }
    const Code code = code_of(status.reason(), status.code());
    std::string message = status.message();
    if (message.empty())
        message = fmt::format("the server answered with the status code {}", status.code());
    return {code, std::move(message), std::make_shared<const StatusDetail>(std::move(status))};
}

}  // namespace api
