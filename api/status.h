#pragma once
// metav1.Status: what every error of the Kubernetes API is. An Error of this room carries its
// Status as detail; texts, reasons, codes and causes are upstream's, because clients compare them.
// Pure; any thread.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "api/codec/json.h"
#include "api/proto/meta_v1.pb.h"
#include "api/scheme.h"
#include "api/v1.h"
#include "base/error.h"

namespace api {

struct StatusDetail : base::ErrorDetail {
    explicit StatusDetail(::k8s::io::apimachinery::pkg::apis::meta::v1::Status s)
        : status(std::move(s)) {}
    ::k8s::io::apimachinery::pkg::apis::meta::v1::Status status;
};

// One fault of one field; a cause of an Invalid.
struct FieldError {
    enum class Type {
        kNotFound,
        kRequired,
        kDuplicate,
        kInvalid,
        kNotSupported,
        kForbidden,
        kTooLong,
        kTooMany,
        kInternal,
        kTypeInvalid,
    };
    Type type = Type::kInvalid;
    std::string path;
    std::string value;  // as the text shows it: quoted already when it is a string
    std::string detail;

    static FieldError not_found(std::string path, std::string_view value);
    static FieldError required(std::string path, std::string detail);
    static FieldError duplicate(std::string path, std::string_view value);
    // Strings are shown in quotes; numbers, and JSON by invalid_raw, as they are.
    static FieldError invalid(std::string path, std::string_view value, std::string detail);
    static FieldError invalid(std::string path, std::int64_t value, std::string detail);
    static FieldError invalid_raw(std::string path, std::string value, std::string detail);
    static FieldError not_supported(std::string path, std::string_view value,
                                    const std::vector<std::string>& supported);
    static FieldError forbidden(std::string path, std::string detail);
    static FieldError too_long(std::string path, std::size_t max_bytes);
    static FieldError too_many(std::string path, std::size_t actual, std::size_t max);
    static FieldError internal(std::string path, std::string detail);
    static FieldError type_invalid(std::string path, std::string value, std::string detail);

    // `Invalid value: "x": detail`: the text of the cause.
    std::string body() const;
    // The path before it.
    std::string to_string() const;
    // FieldValueInvalid, …
    std::string_view reason() const;
};

// `resource` is "pods" or "deployments.apps" everywhere.
base::Error not_found(std::string_view resource, std::string_view name);       // 404
base::Error already_exists(std::string_view resource, std::string_view name);  // 409
// 409; without a reason: the object has been modified.
base::Error conflict(std::string_view resource, std::string_view name, std::string_view why = {});
// 422. `errors` is not empty.
base::Error invalid(const ResourceInfo& resource, std::string_view name,
                    const std::vector<FieldError>& errors);
base::Error invalid(const TypeMeta& type, std::string_view name,
                    const std::vector<FieldError>& errors);
base::Error forbidden(std::string_view resource, std::string_view name, std::string_view why);
base::Error namespace_terminating(std::string_view resource, std::string_view namespace_name);
base::Error bad_request(std::string_view message);
base::Error unauthorized(std::string_view message = "Unauthorized");
base::Error expired(std::int64_t requested, std::int64_t oldest);  // 410, an old resourceVersion
base::Error expired_continue();                                    // 410, an old continue token
base::Error expired_reset();                                       // 410, the history was lost
base::Error gone(std::string_view message);                        // 410, reason Gone
// 504 with the cause ResourceVersionTooLarge.
base::Error too_large_version(std::int64_t requested, std::int64_t current);
base::Error method_not_supported(std::string_view resource, std::string_view verb);  // 405
base::Error not_acceptable(const std::vector<std::string>& media_types);             // 406
base::Error unsupported_media_type(const std::vector<std::string>& media_types);     // 415
base::Error request_entity_too_large(std::string_view message);                      // 413
// 429. `cause` becomes a DisruptionBudget cause, where given.
base::Error too_many_requests(std::string_view message, std::int32_t retry_after_seconds,
                              std::string_view cause = {});
base::Error server_timeout(std::string_view resource, std::string_view verb,
                           std::int32_t retry_after_seconds);  // 500, reason ServerTimeout
base::Error timeout(std::string_view message, std::int32_t retry_after_seconds = 0);  // 504
base::Error internal(std::string_view message);                                       // 500
base::Error service_unavailable(std::string_view message);                            // 503
base::Error not_implemented(std::string_view message);                                // 501
// 404 for a path that no resource has.
base::Error no_such_path();

// The Status of any error: its own, or one made from its code.
::k8s::io::apimachinery::pkg::apis::meta::v1::Status to_status(const base::Error& error);
int http_status(const base::Error& error);
// NotFound, Conflict, …; "" for an error without a Status.
std::string_view reason_of(const base::Error& error);
bool is_not_found(const base::Error& error);
bool is_already_exists(const base::Error& error);
bool is_conflict(const base::Error& error);
bool is_expired(const base::Error& error);  // Expired or Gone: list again

// For clients: the error that a server's Status is.
base::Error from_status(::k8s::io::apimachinery::pkg::apis::meta::v1::Status status);

}  // namespace api
