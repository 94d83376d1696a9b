// Node: what Maintenance asks for.

#include <fmt/format.h>

#include "base/log.h"
#include "kvstore/node_calls.h"

namespace kvstore {

namespace pb = etcdserverpb;

pb::StatusResponse Node::status() const {
    pb::StatusResponse out;
    fill_header(out.mutable_header());
    out.set_version(std::string(kEtcdVersion));
    out.set_storageversion("3.5.0");
    const std::int64_t size = std::max<std::int64_t>(machine_.database().approximate_size(), 1);
    out.set_dbsize(size);
    out.set_dbsizeinuse(size);
    out.set_leader(replica_.leader().value());
    out.set_raftindex(replica_.committed_index().value());
    out.set_raftterm(replica_.term().value());
    out.set_raftappliedindex(replica_.applied_index().value());
    out.set_islearner(replica_.is_learner());
    if (replica_.leader() == raft::kNobody) out.add_errors("etcdserver: no leader");
    pb::AlarmResponse alarms;
    machine_.alarms().list(0, pb::NONE, &alarms);
    for (const auto& a : alarms.alarms())
        out.add_errors(
            fmt::format("memberID:{} alarm:{} ", a.memberid(), pb::AlarmType_Name(a.alarm())));
    return out;
}

void Node::hash(Done<pb::HashResponse> done) {
    const auto read = [](const MvccStore& store) -> base::Result<pb::HashResponse> {
        TRY(const auto hash, store.hash(0));
        pb::HashResponse response;
        response.mutable_header()->set_revision(store.revision());
        response.set_hash(hash);
        return response;
    };
    read_store(true, read, std::move(done));
}

void Node::hash_kv(std::int64_t revision, Done<pb::HashKVResponse> done) {
    const auto read = [revision](const MvccStore& store) -> base::Result<pb::HashKVResponse> {
        TRY(const auto hash, store.hash(revision));
        pb::HashKVResponse response;
        response.mutable_header()->set_revision(store.revision());
        response.set_hash(hash);
        response.set_compact_revision(store.compacted_revision());
        response.set_hash_revision(revision > 0 ? revision : store.revision());
        return response;
    };
    read_store(true, read, std::move(done));
}

void Node::alarm(pb::AlarmRequest request, Done<pb::AlarmResponse> done) {
    if (request.action() != pb::AlarmRequest::GET) {
        Command command;
        *command.mutable_alarm() = std::move(request);
        return propose<pb::AlarmResponse>(std::move(command), std::move(done));
    }
    after_read_index([this, request, d = std::move(done)](base::Status ready) mutable {
        if (!ready) return d(ready.error());
        pb::AlarmResponse response;
        fill_header(response.mutable_header());
        machine_.alarms().list(request.memberid(), request.alarm(), &response);
        d(std::move(response));
    });
}

base::Status Node::take_from_quota(const Command& command) {
    if (options_.quota_bytes <= 0) return {};
    const std::int64_t cost = storage_cost(command);
    if (cost == 0) return {};
    // Measured again before it is refused: space may have been freed since the last tick, and a
    // refusal raises an alarm.
    if (used_bytes_ + cost > options_.quota_bytes)
        used_bytes_ = machine_.database().approximate_size();
    if (used_bytes_ + cost <= options_.quota_bytes) {
        used_bytes_ += cost;
        return {};
    }
    // The write is not proposed, so that what is answered is true; the alarm goes through the log
    // and stops the writes of all members at the same entry.
    if (!raising_alarm_ && !machine_.alarms().raised(pb::NOSPACE)) {
        raising_alarm_ = true;
        LOG_WARN("kvstore", "the database ({} bytes) has reached its quota of {} bytes",
                 used_bytes_, options_.quota_bytes);
        pb::AlarmRequest request;
        request.set_action(pb::AlarmRequest::ACTIVATE);
        request.set_alarm(pb::NOSPACE);
        request.set_memberid(replica_.id().value());
        alarm(std::move(request),
              [this](base::Result<pb::AlarmResponse>) { raising_alarm_ = false; });
    }
    return errors::no_space();
}

void Node::auto_compact() {
    if (!leads_with_leases()) return compactor_.reset();
    const auto revision = compactor_.tick(machine_.now_ms(), machine_.store().revision());
    if (!revision || *revision <= machine_.store().compacted_revision()) return;
    pb::CompactionRequest request;
    request.set_revision(*revision);
    compact(std::move(request), [at = *revision](base::Result<pb::CompactionResponse> done) {
        if (done)
            LOG_INFO("kvstore", "compacted to revision {}", at);
        else
            LOG_WARN("kvstore", "not compacted to revision {}: {}", at, done.error().message);
    });
}

void Node::defragment(Done<pb::DefragmentResponse> done) {
    defragmenting_.push_back(std::move(done));
    if (defragmenting_.size() == 1) defragment_slice({});
}

void Node::defragment_slice(const std::string& begin) {
    constexpr std::size_t kSliceBytes = 32 << 20;
    auto next = std::make_shared<std::optional<std::string>>();
    machine_.in_background([db = machine_.shared_database(), begin,
                            next] { *next = db->defragment(begin, kSliceBytes); },
                           [this, alive = alive_, next] {
                               if (!*alive) return;
                               if (*next) return defragment_slice(**next);
                               std::vector<Done<pb::DefragmentResponse>> waiting;
                               waiting.swap(defragmenting_);
                               for (auto& done : waiting) {
                                   pb::DefragmentResponse response;
                                   fill_header(response.mutable_header());
                                   done(std::move(response));
                               }
                           });
}

namespace {
// "3.4" or "3.4.0".
bool is_version(std::string_view text) {
    int parts = 0;
    while (true) {
        const auto digits = std::min(text.find_first_not_of("0123456789"), text.size());
        if (digits == 0 || digits > 9) return false;
        ++parts;
        text.remove_prefix(digits);
        if (text.empty()) return parts == 2 || parts == 3;
        if (text.front() != '.') return false;
        text.remove_prefix(1);
    }
}
}  // namespace

void Node::downgrade(pb::DowngradeRequest request, Done<pb::DowngradeResponse> done) {
    if (request.action() == pb::DowngradeRequest::CANCEL) return done(errors::no_downgrade());
    if (!is_version(request.version())) return done(errors::wrong_downgrade_version());
    done(errors::invalid_downgrade_target());
}

}  // namespace kvstore
