// Checks of requests that need no state.

#include <algorithm>
#include <vector>

#include "kvstore/errors.h"
#include "kvstore/mvcc/schema.h"
#include "kvstore/mvcc/store.h"
#include "kvstore/proto/rpc.pb.h"

namespace kvstore {

namespace pb = etcdserverpb;
using schema::KeyInterval;

base::Status validate(const pb::RangeRequest& request) {
    if (request.key().empty()) return errors::empty_key();
    if (!pb::RangeRequest::SortOrder_IsValid(request.sort_order()) ||
        !pb::RangeRequest::SortTarget_IsValid(request.sort_target()))
        return errors::invalid_sort_option();
    return {};
}

base::Status validate(const pb::PutRequest& request) {
    if (request.key().empty()) return errors::empty_key();
    if (request.ignore_value() && !request.value().empty()) return errors::value_provided();
    if (request.ignore_lease() && request.lease() != 0) return errors::lease_provided();
    return {};
}

base::Status validate(const pb::DeleteRangeRequest& request) {
    if (request.key().empty()) return errors::empty_key();
    return {};
}

namespace {

// The keys that a branch puts and the intervals that it deletes.
struct Touched {
    std::vector<std::string> puts;
    std::vector<KeyInterval> deletes;

    bool overlaps(const Touched& other) const {
        return meets(puts, other.deletes) || meets(other.puts, deletes) ||
               std::any_of(puts.begin(), puts.end(), [&](const auto& key) {
                   return std::count(other.puts.begin(), other.puts.end(), key) > 0;
               });
    }
    void add(Touched&& other) {
        std::move(other.puts.begin(), other.puts.end(), std::back_inserter(puts));
        std::move(other.deletes.begin(), other.deletes.end(), std::back_inserter(deletes));
    }

  private:
    static bool meets(const std::vector<std::string>& keys,
                      const std::vector<KeyInterval>& intervals) {
        return std::any_of(keys.begin(), keys.end(), [&](const auto& key) {
            return std::any_of(intervals.begin(), intervals.end(),
                               [&](const auto& i) { return i.contains(key); });
        });
    }
};

using Branch = google::protobuf::RepeatedPtrField<pb::RequestOp>;

base::Result<Touched> touched_by(const Branch& branch) {
    Touched all;
    for (const auto& op : branch) {
        Touched one;
        if (op.has_request_put()) one.puts.push_back(op.request_put().key());
        if (op.has_request_delete_range())
            one.deletes.push_back(KeyInterval::of(op.request_delete_range().key(),
                                                  op.request_delete_range().range_end()));
        if (op.has_request_txn()) {
            // Only one of its branches will run, so the two may touch the same keys.
            TRY(one, touched_by(op.request_txn().success()));
            TRY(Touched failure, touched_by(op.request_txn().failure()));
            one.add(std::move(failure));
        }
        if (all.overlaps(one)) return errors::duplicate_key();
        all.add(std::move(one));
    }
    return all;
}

base::Status validate_shape(const pb::TxnRequest& request, int max_ops);

base::Status validate_op(const pb::RequestOp& op, int max_ops) {
    switch (op.request_case()) {
        case pb::RequestOp::kRequestRange:
            return validate(op.request_range());
        case pb::RequestOp::kRequestPut:
            return validate(op.request_put());
        case pb::RequestOp::kRequestDeleteRange:
            return validate(op.request_delete_range());
        case pb::RequestOp::kRequestTxn:
            return validate_shape(op.request_txn(), max_ops);
        case pb::RequestOp::REQUEST_NOT_SET:
            break;
    }
    // An operation without content: etcd's answer is that there is no key.
    return errors::key_not_found();
}

base::Status validate_shape(const pb::TxnRequest& request, int max_ops) {
    const int ops =
        std::max({request.compare_size(), request.success_size(), request.failure_size()});
    if (ops > max_ops) return errors::too_many_ops();
    for (const auto& compare : request.compare())
        if (compare.key().empty()) return errors::empty_key();
    for (const auto* branch : {&request.success(), &request.failure()})
        for (const auto& op : *branch)
            TRY_VOID(validate_op(op, max_ops - ops));
    return {};
}

}  // namespace

base::Status validate(const pb::TxnRequest& request, int max_ops) {
    TRY_VOID(validate_shape(request, max_ops));
    TRY_VOID([&]() -> base::Status {
        TRY(Touched success, touched_by(request.success()));
        TRY(Touched failure, touched_by(request.failure()));
        return {};
    }());
    return {};
}

bool is_read_only(const pb::TxnRequest& request) {
    auto reads = [](const pb::RequestOp& op) {
        return op.has_request_range() || (op.has_request_txn() && is_read_only(op.request_txn()));
    };
    return std::all_of(request.success().begin(), request.success().end(), reads) &&
           std::all_of(request.failure().begin(), request.failure().end(), reads);
}

bool reads_ranges(const pb::TxnRequest& request) {
    auto compares = [](const pb::Compare& compare) { return !compare.range_end().empty(); };
    auto reads = [](const pb::RequestOp& op) {
        return !op.request_range().range_end().empty() ||
               (op.has_request_txn() && reads_ranges(op.request_txn()));
    };
    return std::any_of(request.compare().begin(), request.compare().end(), compares) ||
           std::any_of(request.success().begin(), request.success().end(), reads) ||
           std::any_of(request.failure().begin(), request.failure().end(), reads);
}

bool is_serializable(const pb::TxnRequest& request) {
    auto serializable = [](const pb::RequestOp& op) {
        return op.has_request_range() ? op.request_range().serializable()
                                      : op.has_request_txn() && is_serializable(op.request_txn());
    };
    return std::all_of(request.success().begin(), request.success().end(), serializable) &&
           std::all_of(request.failure().begin(), request.failure().end(), serializable);
}

}  // namespace kvstore
