#include "base/error.h"

#include <cerrno>
#include <system_error>

namespace base {

std::string_view code_name(Code code) {
    switch (code) {
        case Code::kCancelled:
            return "Cancelled";
        case Code::kUnknown:
            return "Unknown";
        case Code::kInvalidArgument:
            return "InvalidArgument";
        case Code::kDeadlineExceeded:
            return "DeadlineExceeded";
        case Code::kNotFound:
            return "NotFound";
        case Code::kAlreadyExists:
            return "AlreadyExists";
        case Code::kPermissionDenied:
            return "PermissionDenied";
        case Code::kResourceExhausted:
            return "ResourceExhausted";
        case Code::kFailedPrecondition:
            return "FailedPrecondition";
        case Code::kAborted:
            return "Aborted";
        case Code::kOutOfRange:
            return "OutOfRange";
        case Code::kUnimplemented:
            return "Unimplemented";
        case Code::kInternal:
            return "Internal";
        case Code::kUnavailable:
            return "Unavailable";
        case Code::kDataLoss:
            return "DataLoss";
        case Code::kUnauthenticated:
            return "Unauthenticated";
    }
    return "Unknown";
}

Error Error::with_context(std::string_view context) const& {
    return {code, std::string(context) + ": " + message, detail};
}

std::string Error::to_string() const {
    return std::string(code_name(code)) + ": " + message;
}

Error errno_error(int err, std::string_view what) {
    Code code = Code::kInternal;
    switch (err) {
        case ENOENT:
            code = Code::kNotFound;
            break;
        case EEXIST:
            code = Code::kAlreadyExists;
            break;
        case ENOSPC:
        case EDQUOT:
        case EMFILE:
            code = Code::kResourceExhausted;
            break;
        case EACCES:
        case EPERM:
        case EROFS:
            code = Code::kPermissionDenied;
            break;
        default:
            break;
    }
    return {code, std::string(what) + ": " + std::generic_category().message(err)};
}

}  // namespace base
