#include "kvstore/core/alarms.h"

#include <algorithm>

#include "kvstore/errors.h"
#include "kvstore/proto/command.pb.h"

namespace kvstore {

namespace pb = etcdserverpb;

namespace {
// What a version needs beside its key and value, and a lease altogether (etcd counts the same).
constexpr std::int64_t kVersionOverhead = 256;
constexpr std::int64_t kLeaseCost = 64;

void add(pb::AlarmResponse* out, const std::pair<int, std::uint64_t>& alarm) {
    auto* member = out->add_alarms();
    member->set_alarm(static_cast<pb::AlarmType>(alarm.first));
    member->set_memberid(alarm.second);
}
}  // namespace

bool Alarms::apply(const pb::AlarmRequest& request, pb::AlarmResponse* out) {
    const std::pair<int, std::uint64_t> alarm{request.alarm(), request.memberid()};
    switch (request.action()) {
        case pb::AlarmRequest::ACTIVATE: {
            if (request.alarm() == pb::NONE) return false;
            add(out, alarm);
            return raised_.insert(alarm).second;
        }
        case pb::AlarmRequest::DEACTIVATE: {
            if (raised_.erase(alarm) == 0) return false;
            add(out, alarm);
            return true;
        }
        default:
            list(request.memberid(), request.alarm(), out);
            return false;
    }
}

void Alarms::list(std::uint64_t member, int type, pb::AlarmResponse* out) const {
    for (const auto& alarm : raised_)
        if ((type == pb::NONE || alarm.first == type) && (member == 0 || alarm.second == member))
            add(out, alarm);
}

bool Alarms::raised(int type) const {
    const auto it = raised_.lower_bound({type, 0});
    return it != raised_.end() && it->first == type;
}

base::Status Alarms::allows(const Command& command) const {
    if (raised_.empty() || command.has_alarm()) return {};
    if (raised(pb::CORRUPT)) return errors::corrupt();
    if (raised(pb::NOSPACE) && storage_cost(command) > 0) return errors::no_space();
    return {};
}

std::string Alarms::encode() const {
    pb::AlarmResponse out;
    for (const auto& alarm : raised_)
        add(&out, alarm);
    return out.SerializeAsString();
}

bool Alarms::decode(std::string_view bytes) {
    raised_.clear();
    pb::AlarmResponse in;
    if (!in.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return false;
    for (const auto& alarm : in.alarms())
        raised_.insert({alarm.alarm(), alarm.memberid()});
    return true;
}

std::int64_t storage_cost(const pb::PutRequest& request) {
    return kVersionOverhead +
           static_cast<std::int64_t>(request.key().size() + request.value().size());
}

std::int64_t storage_cost(const pb::TxnRequest& request) {
    const auto branch = [](const auto& operations) {
        std::int64_t sum = 0;
        for (const auto& op : operations) {
            if (op.has_request_put()) sum += storage_cost(op.request_put());
            if (op.has_request_txn()) sum += storage_cost(op.request_txn());
        }
        return sum;
    };
    return std::max(branch(request.success()), branch(request.failure()));
}

std::int64_t storage_cost(const Command& command) {
    if (command.has_put()) return storage_cost(command.put());
    if (command.has_txn()) return storage_cost(command.txn());
    return command.has_lease_grant() ? kLeaseCost : 0;
}

}  // namespace kvstore
