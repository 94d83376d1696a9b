#include "kvstore/mvcc/store.h"

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "base/planted.h"
#include "kvstore/errors.h"
#include "kvstore/mvcc/record.h"
#include "kvstore/mvcc/schema.h"
#include "kvstore/proto/command.pb.h"
#include "kvstore/proto/rpc.pb.h"

namespace kvstore {

namespace pb = etcdserverpb;

namespace {

std::int64_t load_i64(const Database& db, std::string_view key, std::int64_t otherwise) {
    auto bytes = db.get(key);
    if (!bytes) return otherwise;
    CHECK(bytes->size() == 8, "{} has {} bytes", key, bytes->size());
    return base::load_le<std::int64_t>(bytes->data());
}

void save_i64(Database& db, std::string_view key, std::int64_t v) {
    db.put(key, schema::encode_number(v));
}

// Zeros when there is no such lease.
LeaseRecord lease_record(const Database& db, std::int64_t id) {
    LeaseRecord out;
    if (const auto bytes = db.get(schema::lease_key(id))) CHECK(out.ParseFromString(*bytes));
    return out;
}

}  // namespace

MvccStore::MvccStore(Database& db) {
    rebind(db);
}

void MvccStore::rebind(Database& db) {
    db_ = &db;
    revision_ = load_i64(db, schema::kMetaRevision, 1);
    compacted_ = load_i64(db, schema::kMetaCompacted, 0);
    scrubbed_ = load_i64(db, schema::kMetaScrubbed, 0);
    scrub_from_.clear();
    keys_ = load_i64(db, schema::kMetaKeys, 0);
}

// One writing command: all its changes share one main revision, the sub-revision counts them.
class MvccStore::Writer {
  public:
    explicit Writer(MvccStore& store) : Writer(store, store.revision_ + 1, 0) {}
    // Its first change is to be `sub`.
    Writer(MvccStore& store, std::int64_t revision, std::int64_t sub)
        : store_(store), revision_(revision), changes_(sub) {
        if (!store_.wants_events) return;
        events_ = std::make_shared<RevisionEvents>();
        events_->revision = revision_;
    }

    // Answers the mod revision of the record that it replaced; 0: there was none.
    std::int64_t put(const pb::PutRequest& request) {
        const Newest old = newest(request.key());
        std::string kept;
        RecordView record;
        record.key = request.key();
        record.create_revision = old.head ? old.record.create_revision : revision_;
        record.mod_revision = revision_;
        record.version = old.record.version + 1;
        record.value = request.value();
        if (request.ignore_value()) {
            kept = store_.version(request.key(), old.record.mod_revision);
            record.value = parse(kept).value;
        }
        record.lease = request.ignore_lease() ? old.record.lease : request.lease();
        write(record, old);
        return old.record.mod_revision;
    }

    // Versions as another store had them.
    void take(const RecordView& record) { write(record, newest(record.key)); }
    void take_deletion(std::string_view key) {
        const Newest old = newest(key);
        if (old.head) {
            erase_one(key, old.record);
            return;
        }
        store_.db_->put(schema::version_key(key, revision_), "");
        note({true, 0, key});
    }

    // Calls `erased` with each key that it deletes, in key order, and with the mod revision of the
    // record that it had.
    void erase(std::string_view key, std::string_view range_end,
               const std::function<void(std::string_view key, std::int64_t replaced)>& erased) {
        const auto one = [&](std::string_view live, std::string_view head) {
            erased(live, erase_one(live, parse(head)));
            return true;
        };
        if (store_.db_->writes_in_slices()) return store_.visit_heads(key, range_end, one);
        // A cursor does not outlast a change.
        std::vector<std::pair<std::string, std::string>> all;
        store_.visit_heads(key, range_end, [&](std::string_view live, std::string_view head) {
            all.emplace_back(live, head);
            return true;
        });
        for (const auto& [live, head] : all)
            one(live, head);
    }

    void finish() {
        if (changes_ == 0) return;
        save_i64(*store_.db_, schema::kMetaRevision, revision_);
        store_.keys_ += new_keys_;
        if (new_keys_ != 0) save_i64(*store_.db_, schema::kMetaKeys, store_.keys_);
        store_.counters_.events += static_cast<std::uint64_t>(changes_);
        if (events_ && store_.on_events) store_.on_events(std::move(events_));
    }

    pb::PutResponse put_response(const pb::PutRequest& request) {
        ++store_.counters_.puts;
        pb::PutResponse out;
        const std::int64_t replaced = put(request);
        out.mutable_header()->set_revision(revision_);
        if (request.prev_kv() && replaced != 0)
            fill(out.mutable_prev_kv(), request.key(), replaced);
        return out;
    }

    pb::DeleteRangeResponse delete_response(const pb::DeleteRangeRequest& request) {
        ++store_.counters_.deletes;
        pb::DeleteRangeResponse out;
        erase(request.key(), request.range_end(), [&](std::string_view key, std::int64_t replaced) {
            out.set_deleted(out.deleted() + 1);
            if (request.prev_kv()) fill(out.add_prev_kvs(), key, replaced);
        });
        out.mutable_header()->set_revision(store_.revision_);
        return out;
    }

    // The compares of the whole path are evaluated before anything is written, as etcd does.
    struct Plan {
        bool succeeded = false;
        std::vector<Plan> nested;  // one for each nested txn of the branch, in order
    };
    Plan plan(const pb::TxnRequest& request) const {
        Plan out;
        out.succeeded = store_.all_hold(request);
        for (const auto& op : out.succeeded ? request.success() : request.failure())
            if (op.has_request_txn()) out.nested.push_back(plan(op.request_txn()));
        return out;
    }

    // The header is left empty: etcd fills only that of the outermost.
    void run(const pb::TxnRequest& request, const Plan& plan, pb::TxnResponse* response) {
        response->mutable_header();
        response->set_succeeded(plan.succeeded);
        std::size_t nested = 0;
        for (const auto& op : plan.succeeded ? request.success() : request.failure()) {
            auto* out = response->add_responses();
            if (op.has_request_put()) *out->mutable_response_put() = put_response(op.request_put());
            if (op.has_request_delete_range())
                *out->mutable_response_delete_range() = delete_response(op.request_delete_range());
            if (op.has_request_txn())
                run(op.request_txn(), plan.nested[nested++], out->mutable_response_txn());
            if (op.has_request_range()) {
                auto answer = store_.range(op.request_range());
                CHECK(answer.has_value(), "check_branch passed a range that fails");
                *out->mutable_response_range() = std::move(*answer);
            }
        }
    }

  private:
    // The newest version of a key.
    struct Newest {
        std::string at;
        std::optional<std::string> head;  // none: the key does not live
        RecordView record;                // what the head says
    };
    Newest newest(std::string_view key) const {
        Newest out;
        out.at = schema::current_key(key);
        out.head = store_.db_->get(out.at);
        if (out.head) out.record = parse(*out.head);
        return out;
    }
    void write(RecordView record, const Newest& old) {
        if (old.record.lease != record.lease) {
            if (old.record.lease != 0)
                store_.db_->erase(schema::attached_key(old.record.lease, record.key));
            if (record.lease != 0)
                store_.db_->put(schema::attached_key(record.lease, record.key), "");
        }
        std::string bytes = record.encode();
        record.apart = record.value.size() > schema::kMostInline;
        const std::string head = record.encode_head();
        store_.db_->put(schema::version_key(record.key, revision_), record.apart ? head : bytes);
        if (record.apart) store_.db_->put(schema::large_key(record.key, revision_), bytes);
        store_.db_->put(old.at, head);
        if (!old.head) ++new_keys_;
        note({false, old.record.mod_revision, record.key, old.record.apart});
        if (events_)
            events_->events.push_back(
                {false, std::string(record.key), std::move(bytes), old.record.mod_revision, {}});
    }
    static RecordView parse(std::string_view bytes) {
        auto record = RecordView::parse(bytes);
        CHECK(record.has_value(), "a record of {} bytes in the database is not a KeyValue",
              bytes.size());
        return *record;
    }
    void fill(mvccpb::KeyValue* kv, std::string_view key, std::int64_t mod_revision) const {
        CHECK(kv->ParseFromString(store_.version(key, mod_revision)));
    }
    std::int64_t erase_one(std::string_view key, const RecordView& head) {
        store_.db_->slice_boundary();
        store_.db_->erase(schema::current_key(key));
        store_.db_->put(schema::version_key(key, revision_), "");
        if (head.lease != 0) store_.db_->erase(schema::attached_key(head.lease, key));
        --new_keys_;
        note({true, head.mod_revision, key, head.apart});
        if (events_)
            events_->events.push_back({true,
                                       std::string(key),
                                       RecordView{.key = key, .mod_revision = revision_}.encode(),
                                       head.mod_revision,
                                       {}});
        return head.mod_revision;
    }
    // From the first change on, readers inside this command are at its revision.
    void note(const schema::Change& change) {
        store_.revision_ = revision_;
        store_.db_->put(schema::revision_key(revision_, changes_++), schema::encode_change(change));
    }

    MvccStore& store_;
    std::int64_t revision_;
    std::int64_t changes_ = 0;
    std::int64_t new_keys_ = 0;
    std::shared_ptr<RevisionEvents> events_;  // null: nobody is told
};

base::Status MvccStore::check_lease(const pb::PutRequest& request) const {
    if (request.lease() != 0 && !lease_exists(request.lease())) return errors::lease_not_found();
    return {};
}

base::Status MvccStore::check_replaced(const pb::PutRequest& request) const {
    if ((request.ignore_value() || request.ignore_lease()) &&
        !db_->get(schema::current_key(request.key())))
        return errors::key_not_found();
    return {};
}

base::Result<pb::PutResponse> MvccStore::put(const pb::PutRequest& request) {
    TRY_VOID(check_lease(request));
    TRY_VOID(check_replaced(request));
    Writer writer(*this);
    auto response = writer.put_response(request);
    writer.finish();
    return response;
}

base::Result<pb::DeleteRangeResponse> MvccStore::delete_range(
    const pb::DeleteRangeRequest& request) {
    Writer writer(*this);
    auto response = writer.delete_response(request);
    writer.finish();
    return response;
}

base::Result<pb::TxnResponse> MvccStore::txn(const pb::TxnRequest& request) {
    TRY_VOID(check_branch(request));
    ++counters_.txns;
    Writer writer(*this);
    const auto plan = writer.plan(request);
    pb::TxnResponse response;
    writer.run(request, plan, &response);
    writer.finish();
    response.mutable_header()->set_revision(revision_);
    return response;
}

void MvccStore::take_version(std::int64_t revision, std::int64_t sub, const RecordView& record) {
    Writer writer(*this, revision, sub);
    writer.take(record);
    writer.finish();
}

void MvccStore::take_deletion(std::int64_t revision, std::int64_t sub, std::string_view key) {
    Writer writer(*this, revision, sub);
    writer.take_deletion(key);
    writer.finish();
}

base::Status MvccStore::lease_grant(std::int64_t id, std::int64_t ttl_seconds) {
    if (lease_exists(id)) return errors::lease_exists();
    ++counters_.leases_granted;
    LeaseRecord record;
    record.set_ttl_seconds(ttl_seconds);
    db_->put(schema::lease_key(id), record.SerializeAsString());
    return {};
}

base::Status MvccStore::lease_revoke(std::int64_t id) {
    if (!lease_exists(id)) return errors::lease_not_found();
    ++counters_.leases_revoked;
    Writer writer(*this);
    for (const auto& key : lease_keys(id))
        writer.erase(key, {}, [](std::string_view, std::int64_t) {});
    writer.finish();
    db_->erase(schema::lease_key(id));
    return {};
}

void MvccStore::lease_checkpoint(std::int64_t id, std::int64_t remaining_seconds) {
    if (!lease_exists(id)) return;
    LeaseRecord record;
    record.set_ttl_seconds(lease_ttl(id));
    record.set_remaining_seconds(remaining_seconds);
    db_->put(schema::lease_key(id), record.SerializeAsString());
}

bool MvccStore::lease_exists(std::int64_t id) const {
    return db_->get(schema::lease_key(id)).has_value();
}

std::int64_t MvccStore::lease_ttl(std::int64_t id) const {
    return lease_record(*db_, id).ttl_seconds();
}

std::int64_t MvccStore::lease_remaining(std::int64_t id) const {
    return lease_record(*db_, id).remaining_seconds();
}

std::vector<std::string> MvccStore::lease_keys(std::int64_t id, std::size_t limit) const {
    std::vector<std::string> keys;
    const std::string prefix = schema::attached_prefix(id);
    auto cursor = db_->cursor();
    for (cursor->seek(prefix);
         cursor->valid() && cursor->key().starts_with(prefix) && keys.size() < limit;
         cursor->next())
        keys.emplace_back(schema::attached_user_key(cursor->key()));
    return keys;
}

bool MvccStore::deletes_more_than(const Command& command, std::size_t keys) const {
    std::size_t seen = 0;
    const auto count = [&](const pb::DeleteRangeRequest& request) {
        if (!request.range_end().empty())
            visit_heads(request.key(), request.range_end(),
                        [&](std::string_view, std::string_view) { return ++seen <= keys; });
        return seen > keys;
    };
    const auto count_all = [&](const pb::TxnRequest& txn, const auto& again) -> bool {
        const auto any = [&](const pb::RequestOp& op) {
            return (op.has_request_delete_range() && count(op.request_delete_range())) ||
                   (op.has_request_txn() && again(op.request_txn(), again));
        };
        return std::any_of(txn.success().begin(), txn.success().end(), any) ||
               std::any_of(txn.failure().begin(), txn.failure().end(), any);
    };
    switch (command.op_case()) {
        case Command::kDeleteRange:
            return count(command.delete_range());
        case Command::kTxn:
            return count_all(command.txn(), count_all);
        case Command::kLeaseRevoke:
            return lease_keys(command.lease_revoke().id(), keys + 1).size() > keys;
        default:
            return false;
    }
}

MvccStore::Counters& MvccStore::Counters::operator+=(const Counters& other) {
    ranges += other.ranges;
    puts += other.puts;
    deletes += other.deletes;
    txns += other.txns;
    events += other.events;
    leases_granted += other.leases_granted;
    leases_revoked += other.leases_revoked;
    return *this;
}

std::vector<std::int64_t> MvccStore::leases() const {
    std::vector<std::int64_t> out;
    auto cursor = db_->cursor();
    for (cursor->seek(std::string(1, schema::kLease)); cursor->valid(); cursor->next()) {
        const auto id = schema::parse_lease_key(cursor->key());
        if (!id) break;
        out.push_back(*id);
    }
    return out;
}

base::Status MvccStore::compact(std::int64_t revision) {
    if (revision <= compacted_) return errors::compacted();
    if (revision > revision_) return errors::future_revision();
    compacted_ = revision;
    scrub_from_.clear();  // what stayed at the earlier one goes, too
    save_i64(*db_, schema::kMetaCompacted, revision);
    return {};
}

// The versions that cannot be read any more are those that were replaced up to the compacted
// revision, and the deletions below it: each change tells its own, so nothing is searched for.
bool MvccStore::scrub(int budget) {
    if (scrubbed_ >= compacted_) return false;
    std::vector<std::string> gone;
    std::int64_t reached = compacted_;
    const std::string from = std::exchange(scrub_from_, {});
    {
        auto cursor = db_->cursor();
        for (cursor->seek(from.empty() ? schema::revision_key(0) : from); cursor->valid();
             cursor->next()) {
            const auto at = schema::parse_revision_key(cursor->key());
            if (!at || at->revision > compacted_) break;
            if (budget-- == 0) {
                scrub_from_ = cursor->key();
                reached = at->revision - 1;
                break;
            }
            const auto change = schema::parse_change(cursor->value());
            CHECK(change.has_value(), "what happened at revision {} cannot be read", at->revision);
            if (change->replaced != 0)
                gone.push_back(schema::version_key(change->key, change->replaced));
            if (change->replaced_apart)
                gone.push_back(schema::large_key(change->key, change->replaced));
            // What happened at the compacted revision itself stays: a watch may begin there.
            if (at->revision == compacted_ && !base::planted(base::PlantedBug::kWatchLosesDelete))
                continue;
            if (change->is_delete) gone.push_back(schema::version_key(change->key, at->revision));
            gone.emplace_back(cursor->key());
        }
    }
    for (const auto& place : gone)
        db_->erase(place);
    if (reached > scrubbed_) {
        scrubbed_ = reached;
        save_i64(*db_, schema::kMetaScrubbed, scrubbed_);
    }
    return scrubbed_ < compacted_;
}

}  // namespace kvstore
