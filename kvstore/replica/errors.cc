#include "kvstore/replica/errors.h"

namespace kvstore::errors {

using base::Code;

base::Error of(raft::Reject reject) {
    using raft::Reject;
    switch (reject) {
        case Reject::kNotLeader:
            return no_leader();
        case Reject::kTransferring:
            return leader_changed();
        case Reject::kBusy:
            return too_many_requests();
        case Reject::kChangePending:
            return {Code::kUnavailable, "etcdserver: another membership change is in progress"};
        case Reject::kMemberExists:
            return {Code::kFailedPrecondition, "etcdserver: member ID already exist"};
        case Reject::kMemberNotFound:
            return {Code::kNotFound, "etcdserver: member not found"};
        case Reject::kNotLearner:
            return not_learner();
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

}  // namespace kvstore::errors
