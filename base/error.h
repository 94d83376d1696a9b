#pragma once
// Errors as values. One closed set of codes for the whole program; they are gRPC's canonical codes
// (and their numbers), so that the store's API answers them as they are and the REST API maps each
// to one HTTP status. A layer that has more to say (a Kubernetes `Status`, say) hangs it on
// `detail`.

#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace base {

// Numbers as in gRPC (google.rpc.Code); 0 (OK) is left out because an Error is never OK.
enum class Code : int {
    kCancelled = 1,
    kUnknown = 2,
    kInvalidArgument = 3,
    kDeadlineExceeded = 4,
    kNotFound = 5,
    kAlreadyExists = 6,
    kPermissionDenied = 7,
    kResourceExhausted = 8,
    kFailedPrecondition = 9,
    kAborted = 10,
    kOutOfRange = 11,
    kUnimplemented = 12,
    kInternal = 13,
    kUnavailable = 14,
    kDataLoss = 15,
    kUnauthenticated = 16,
};

// "InvalidArgument", "NotFound", …: the name of a code as gRPC spells it.
std::string_view code_name(Code code);

// Base of what a layer attaches to an Error. Immutable once attached; shared by copies of the
// Error.
struct ErrorDetail {
    virtual ~ErrorDetail() = default;
};

struct Error {
    Code code = Code::kUnknown;
    std::string message;
    std::shared_ptr<const ErrorDetail> detail = nullptr;

    Error(Code c, std::string m, std::shared_ptr<const ErrorDetail> d = nullptr)
        : code(c), message(std::move(m)), detail(std::move(d)) {}

    // The same error with "`context`: " before its message. Code and detail stay.
    Error with_context(std::string_view context) const&;
    // "NotFound: no such key".
    std::string to_string() const;
};

inline Error invalid_argument(std::string m) {
    return {Code::kInvalidArgument, std::move(m)};
}
inline Error not_found(std::string m) {
    return {Code::kNotFound, std::move(m)};
}
inline Error internal_error(std::string m) {
    return {Code::kInternal, std::move(m)};
}
inline Error unavailable(std::string m) {
    return {Code::kUnavailable, std::move(m)};
}
inline Error data_loss(std::string m) {
    return {Code::kDataLoss, std::move(m)};
}
inline Error unimplemented(std::string m) {
    return {Code::kUnimplemented, std::move(m)};
}
inline Error cancelled(std::string m) {
    return {Code::kCancelled, std::move(m)};
}
inline Error deadline_exceeded(std::string m) {
    return {Code::kDeadlineExceeded, std::move(m)};
}

// The error for a failed system call: errno's text after `what`. Code from errno (ENOENT →
// NotFound, ENOSPC → ResourceExhausted, EACCES → PermissionDenied, otherwise Internal).
Error errno_error(int err, std::string_view what);

}  // namespace base
