#include "test/sim/reference.h"

namespace sim {

namespace pb = etcdserverpb;

namespace {

template <class T>
Reference::Answer answer(T message, std::int64_t revision) {
    message.mutable_header()->set_revision(revision);
    return {{}, message.SerializeAsString()};
}
Reference::Answer refuse(std::string why) {
    return {std::move(why), {}};
}

constexpr const char* kCompacted = "etcdserver: mvcc: required revision has been compacted";
constexpr const char* kFuture = "etcdserver: mvcc: required revision is a future revision";
constexpr const char* kNoLease = "etcdserver: requested lease not found";

}  // namespace

mvccpb::KeyValue Reference::message(const std::string& key, const Kv& kv) {
    mvccpb::KeyValue out;
    out.set_key(key);
    out.set_create_revision(kv.create);
    out.set_mod_revision(kv.mod);
    out.set_version(kv.version);
    out.set_value(kv.value);
    out.set_lease(kv.lease);
    return out;
}

std::optional<Reference::Kv> Reference::at(const std::string& key, std::int64_t revision) const {
    const auto it = keys_.find(key);
    if (it == keys_.end()) return std::nullopt;
    auto version = it->second.upper_bound(revision);
    if (version == it->second.begin()) return std::nullopt;
    return std::prev(version)->second;
}

std::optional<Reference::Kv> Reference::live(const std::string& key) const {
    return at(key, writing());
}

std::vector<std::string> Reference::matching(const std::string& key, const std::string& end,
                                             std::int64_t revision) const {
    std::vector<std::string> out;
    for (auto it = keys_.lower_bound(key); it != keys_.end(); ++it) {
        const bool inside =
            end.empty() ? it->first == key : end == std::string(1, '\0') || it->first < end;
        if (!inside) break;
        if (at(it->first, revision)) out.push_back(it->first);
    }
    return out;
}

std::map<std::string, Reference::Kv> Reference::content(std::int64_t revision) const {
    std::map<std::string, Kv> out;
    for (const auto& [key, versions] : keys_)
        if (auto kv = at(key, revision)) out[key] = *kv;
    return out;
}

const std::vector<Reference::Change>& Reference::changes(std::int64_t revision) const {
    static const std::vector<Change> kNone;
    const auto it = changes_.find(revision);
    return it == changes_.end() ? kNone : it->second;
}

Reference::Answer Reference::range(const pb::RangeRequest& r, std::int64_t now,
                                   std::int64_t compacted) const {
    if (r.revision() > now) return refuse(kFuture);
    if (r.revision() > 0 && r.revision() < compacted) return refuse(kCompacted);
    const std::int64_t revision = r.revision() > 0 ? r.revision() : now;
    const auto keys = matching(r.key(), r.range_end(), revision);
    pb::RangeResponse out;
    out.set_count(static_cast<std::int64_t>(keys.size()));
    if (r.count_only()) return answer(std::move(out), now);
    for (const std::string& key : keys) {
        if (r.limit() > 0 && out.kvs_size() == r.limit()) {
            out.set_more(true);
            break;
        }
        *out.add_kvs() = message(key, *at(key, revision));
        if (r.keys_only()) out.mutable_kvs(out.kvs_size() - 1)->clear_value();
    }
    return answer(std::move(out), now);
}

// ------------------------------------------------------------------ writes

void Reference::set(const std::string& key, std::optional<Kv> kv) {
    Change change;
    change.is_delete = !kv;
    change.key = key;
    change.previous = live(key);
    if (kv)
        change.kv = *kv;
    else
        change.kv.mod = writing();
    open_.push_back(std::move(change));
    keys_[key][writing()] = std::move(kv);
}

void Reference::close() {
    if (open_.empty()) return;
    ++revision_;
    changes_[revision_] = std::move(open_);
    open_.clear();
}

std::string Reference::put_error(const pb::PutRequest& r) const {
    if (r.lease() != 0 && !leases_.contains(r.lease())) return kNoLease;
    if ((r.ignore_value() || r.ignore_lease()) && !live(r.key()))
        return "etcdserver: key not found";
    return {};
}

pb::PutResponse Reference::put(const pb::PutRequest& r) {
    const auto old = live(r.key());
    Kv kv;
    kv.create = old ? old->create : writing();
    kv.mod = writing();
    kv.version = old ? old->version + 1 : 1;
    kv.value = r.ignore_value() ? old->value : r.value();
    kv.lease = r.ignore_lease() ? old->lease : r.lease();
    set(r.key(), kv);
    pb::PutResponse out;
    if (r.prev_kv() && old) *out.mutable_prev_kv() = message(r.key(), *old);
    out.mutable_header()->set_revision(visible());
    return out;
}

pb::DeleteRangeResponse Reference::erase(const pb::DeleteRangeRequest& r) {
    pb::DeleteRangeResponse out;
    for (const std::string& key : matching(r.key(), r.range_end(), writing())) {
        if (r.prev_kv()) *out.add_prev_kvs() = message(key, *live(key));
        set(key, std::nullopt);
        out.set_deleted(out.deleted() + 1);
    }
    out.mutable_header()->set_revision(visible());
    return out;
}

bool Reference::holds(const pb::Compare& c) const {
    const auto kv = live(c.key());
    const auto compared = [&](auto have, auto want) {
        switch (c.result()) {
            case pb::Compare::EQUAL:
                return have == want;
            case pb::Compare::NOT_EQUAL:
                return have != want;
            case pb::Compare::GREATER:
                return have > want;
            default:
                return have < want;
        }
    };
    switch (c.target()) {
        case pb::Compare::VALUE:
            return kv && compared(kv->value, c.value());
        case pb::Compare::VERSION:
            return compared(kv ? kv->version : 0, c.version());
        case pb::Compare::CREATE:
            return compared(kv ? kv->create : 0, c.create_revision());
        case pb::Compare::MOD:
            return compared(kv ? kv->mod : 0, c.mod_revision());
        default:
            return compared(kv ? kv->lease : 0, c.lease());
    }
}

// The simulator's clients do not nest transactions.
Reference::Answer Reference::txn(const pb::TxnRequest& r) {
    bool succeeded = true;
    for (const auto& compare : r.compare())
        succeeded = succeeded && holds(compare);
    const auto& branch = succeeded ? r.success() : r.failure();
    for (const auto& op : branch) {
        if (op.has_request_put())
            if (std::string error = put_error(op.request_put()); !error.empty())
                return refuse(error);
        if (op.has_request_range() && op.request_range().revision() > 0) {
            if (op.request_range().revision() > revision_) return refuse(kFuture);
            if (op.request_range().revision() < compacted_) return refuse(kCompacted);
        }
    }
    pb::TxnResponse out;
    out.set_succeeded(succeeded);
    for (const auto& op : branch) {
        auto* response = out.add_responses();
        if (op.has_request_put()) *response->mutable_response_put() = put(op.request_put());
        if (op.has_request_delete_range())
            *response->mutable_response_delete_range() = erase(op.request_delete_range());
        if (op.has_request_range()) {
            const Answer read = range(op.request_range(), visible(), compacted_);
            response->mutable_response_range()->ParseFromString(read.bytes);
        }
    }
    const std::int64_t revision = visible();
    close();
    return answer(std::move(out), revision);
}

Reference::Answer Reference::grant(const pb::LeaseGrantRequest& r) {
    if (!leases_.emplace(r.id(), r.ttl()).second) return refuse("etcdserver: lease already exists");
    pb::LeaseGrantResponse out;
    out.set_id(r.id());
    out.set_ttl(r.ttl());
    return answer(std::move(out), revision_);
}

Reference::Answer Reference::revoke(std::int64_t id) {
    if (leases_.erase(id) == 0) return refuse(kNoLease);
    for (const std::string& key : matching(std::string(1, '\0'), std::string(1, '\0'), writing()))
        if (live(key)->lease == id) set(key, std::nullopt);
    close();
    return answer(pb::LeaseRevokeResponse(), revision_);
}

Reference::Answer Reference::apply(const kvstore::Command& c, std::uint64_t term) {
    if (c.only_in_term() != 0 && c.only_in_term() != term)
        return refuse("etcdserver: leader changed");
    switch (c.op_case()) {
        case kvstore::Command::kPut: {
            if (std::string error = put_error(c.put()); !error.empty()) return refuse(error);
            auto out = put(c.put());
            close();
            return answer(std::move(out), revision_);
        }
        case kvstore::Command::kDeleteRange: {
            auto out = erase(c.delete_range());
            close();
            return answer(std::move(out), revision_);
        }
        case kvstore::Command::kTxn:
            return txn(c.txn());
        case kvstore::Command::kCompact:
            if (c.compact().revision() <= compacted_) return refuse(kCompacted);
            if (c.compact().revision() > revision_) return refuse(kFuture);
            compacted_ = c.compact().revision();
            return answer(pb::CompactionResponse(), revision_);
        case kvstore::Command::kLeaseGrant:
            return grant(c.lease_grant());
        case kvstore::Command::kLeaseRevoke:
            return revoke(c.lease_revoke().id());
        case kvstore::Command::kLeaseCheckpoint:
            // How much time is left is no part of the content; lease_clients.cc looks at it.
            return answer(pb::LeaseCheckpointResponse(), revision_);
        default:
            return refuse("the simulator's clients do not ask for this");
    }
}

}  // namespace sim
