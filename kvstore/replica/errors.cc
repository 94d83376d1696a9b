#include "kvstore/replica/errors.h"

namespace kvstore {

using base::Code;
using base::Error;

Error error_no_leader() {
    return {Code::kUnavailable, "etcdserver: no leader"};
}
Error error_timeout() {
    return {Code::kUnavailable, "etcdserver: request timed out"};
}
Error error_timeout_leader_failed() {
    return {Code::kUnavailable,
            "etcdserver: request timed out, possibly due to previous leader failure"};
}
Error error_too_many_requests() {
    return {Code::kResourceExhausted, "etcdserver: too many requests"};
}
Error error_request_too_large() {
    return {Code::kInvalidArgument, "etcdserver: request is too large"};
}
Error error_stopped() {
    return {Code::kUnavailable, "etcdserver: server stopped"};
}
Error error_no_space() {
    return {Code::kResourceExhausted, "etcdserver: no space"};
}

Error error_for(raft::Reject reject) {
    using raft::Reject;
    switch (reject) {
        case Reject::kNotLeader:
            return error_no_leader();
        case Reject::kTransferring:
            return {Code::kUnavailable, "etcdserver: leader changed"};
        case Reject::kBusy:
            return error_too_many_requests();
        case Reject::kChangePending:
            return {Code::kUnavailable, "etcdserver: another membership change is in progress"};
        case Reject::kMemberExists:
            return {Code::kFailedPrecondition, "etcdserver: member ID already exist"};
        case Reject::kMemberNotFound:
            return {Code::kNotFound, "etcdserver: member not found"};
        case Reject::kNotLearner:
            return {Code::kFailedPrecondition, "etcdserver: can only promote a learner member"};
        case Reject::kLearnerNotReady:
            return {Code::kFailedPrecondition,
                    "etcdserver: can only promote a learner member which is in sync with leader"};
        case Reject::kUnhealthy:
            return {Code::kUnavailable, "etcdserver: unhealthy cluster"};
        case Reject::kMalformed:
        case Reject::kNone:
            break;
    }
    return {Code::kInternal, "etcdserver: malformed request"};
}

}  // namespace kvstore
