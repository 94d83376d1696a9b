// MvccStore's reads: ranges at a revision, compares, history.

#include <algorithm>

#include "base/planted.h"
#include "kvstore/errors.h"
#include "kvstore/mvcc/record.h"
#include "kvstore/mvcc/record_cursor.h"
#include "kvstore/mvcc/schema.h"
#include "kvstore/mvcc/store.h"
#include "kvstore/proto/rpc.pb.h"

namespace kvstore {

namespace pb = etcdserverpb;
using schema::KeyInterval;

namespace {

RecordView parse_or_die(std::string_view bytes) {
    auto record = RecordView::parse(bytes);
    CHECK(record.has_value(), "a record of {} bytes in the database is not a KeyValue",
          bytes.size());
    return *record;
}

}  // namespace

bool is_plain(const pb::RangeRequest& r) {
    const bool by_key =
        r.sort_target() == pb::RangeRequest::KEY && r.sort_order() != pb::RangeRequest::DESCEND;
    const bool filtered = r.min_mod_revision() != 0 || r.max_mod_revision() != 0 ||
                          r.min_create_revision() != 0 || r.max_create_revision() != 0;
    return by_key && !filtered;
}

namespace {

bool passes_filters(const pb::RangeRequest& r, const mvccpb::KeyValue& kv) {
    return (r.min_mod_revision() == 0 || kv.mod_revision() >= r.min_mod_revision()) &&
           (r.max_mod_revision() == 0 || kv.mod_revision() <= r.max_mod_revision()) &&
           (r.min_create_revision() == 0 || kv.create_revision() >= r.min_create_revision()) &&
           (r.max_create_revision() == 0 || kv.create_revision() <= r.max_create_revision());
}

// etcd's rule: a target other than the key with no order means ascending.
void sort_and_cut(const pb::RangeRequest& r,
                  google::protobuf::RepeatedPtrField<mvccpb::KeyValue>* kvs) {
    auto less = [target = r.sort_target()](const mvccpb::KeyValue& a, const mvccpb::KeyValue& b) {
        switch (target) {
            case pb::RangeRequest::VERSION:
                return a.version() < b.version();
            case pb::RangeRequest::CREATE:
                return a.create_revision() < b.create_revision();
            case pb::RangeRequest::MOD:
                return a.mod_revision() < b.mod_revision();
            case pb::RangeRequest::VALUE:
                return a.value() < b.value();
            default:
                return a.key() < b.key();
        }
    };
    if (r.sort_order() == pb::RangeRequest::DESCEND)
        std::stable_sort(kvs->begin(), kvs->end(),
                         [&](const auto& a, const auto& b) { return less(b, a); });
    else
        std::stable_sort(kvs->begin(), kvs->end(), less);
}

// Whether `c` stands between what is stored and what is wanted.
template <class T>
bool satisfies(pb::Compare::CompareResult result, const T& stored, const T& wanted) {
    switch (result) {
        case pb::Compare::EQUAL:
            return stored == wanted;
        case pb::Compare::NOT_EQUAL:
            return stored != wanted;
        case pb::Compare::GREATER:
            return stored > wanted;
        case pb::Compare::LESS:
            return stored < wanted;
        default:
            return false;
    }
}

bool record_satisfies(const pb::Compare& c, const RecordView& record) {
    switch (c.target()) {
        case pb::Compare::VERSION:
            return satisfies(c.result(), record.version, c.version());
        case pb::Compare::CREATE:
            return satisfies(c.result(), record.create_revision, c.create_revision());
        case pb::Compare::MOD:
            return satisfies(c.result(), record.mod_revision, c.mod_revision());
        case pb::Compare::VALUE:
            return satisfies(c.result(), record.value, std::string_view(c.value()));
        case pb::Compare::LEASE:
            return satisfies(c.result(), record.lease, c.lease());
        default:
            return false;
    }
}

}  // namespace

base::Status MvccStore::check_revision(std::int64_t revision) const {
    if (revision > revision_) return errors::future_revision();
    if (revision > 0 && revision < compacted_) return errors::compacted();
    return {};
}

std::optional<std::string> MvccStore::record(std::string_view key, std::int64_t revision) const {
    if (is_newest(revision)) {
        const auto head = db_->get(schema::current_key(key));
        if (!head) return std::nullopt;
        const std::int64_t newest = parse_or_die(*head).mod_revision;
        auto bytes = version(key, newest);
        CHECK(!bytes.empty(), "the record of revision {} is missing", newest);
        return bytes;
    }
    RecordCursor at(*db_, KeyInterval::of(key, {}), revision);
    if (!at.valid()) return std::nullopt;
    return std::string(at.record());
}

std::string MvccStore::version(std::string_view key, std::int64_t mod_revision) const {
    auto bytes = db_->get(schema::version_key(key, mod_revision)).value_or("");
    if (bytes.empty() || !RecordView::is_head(bytes)) return bytes;
    auto record = db_->get(schema::large_key(key, mod_revision));
    CHECK(record.has_value(), "the record of revision {} is missing", mod_revision);
    return *std::move(record);
}

void MvccStore::visit(std::string_view key, std::string_view range_end, std::int64_t revision,
                      const std::function<bool(std::string_view)>& f) const {
    const auto interval = KeyInterval::of(key, range_end);
    if (interval.empty()) return;
    if (interval.single) {
        if (const auto found = record(key, revision)) f(*found);
        return;
    }
    const bool now = revision <= 0 || revision >= revision_;
    for (RecordCursor at(*db_, interval, now ? RecordCursor::kNewest : revision); at.valid();
         at.next())
        if (!f(at.record())) return;
}

void MvccStore::visit_heads(
    std::string_view key, std::string_view range_end,
    const std::function<bool(std::string_view, std::string_view)>& f) const {
    const auto interval = KeyInterval::of(key, range_end);
    if (interval.empty()) return;
    if (interval.single) {
        if (const auto found = db_->get(schema::current_key(key))) f(key, *found);
        return;
    }
    KeyCursor at(*db_, interval);
    for (at.seek_to_first(); at.valid(); at.next())
        if (!f(at.key(), at.head())) return;
}

base::Result<pb::RangeResponse> MvccStore::range(const pb::RangeRequest& request) const {
    TRY_VOID(check_revision(request.revision()));
    ++counters_.ranges;
    pb::RangeResponse response;
    response.mutable_header()->set_revision(revision_);
    const bool plain = is_plain(request);
    const std::int64_t limit = request.limit() > 0 ? request.limit() : INT64_MAX;
    std::int64_t count = 0;
    if (request.count_only() && is_newest(request.revision())) {
        visit_heads(request.key(), request.range_end(), [&](std::string_view, std::string_view) {
            ++count;
            return true;
        });
        response.set_count(count);
        return response;
    }
    const auto keep = [&](std::string_view record) {
        auto* kv = response.add_kvs();
        CHECK(kv->ParseFromArray(record.data(), static_cast<int>(record.size())));
        if (!plain && !passes_filters(request, *kv)) response.mutable_kvs()->RemoveLast();
    };
    const auto interval = KeyInterval::of(request.key(), request.range_end());
    if (interval.single) {
        if (const auto found = record(interval.begin, request.revision())) {
            ++count;
            if (!request.count_only()) keep(*found);
        }
    } else if (!interval.empty()) {
        RecordCursor at(*db_, interval,
                        is_newest(request.revision()) ? RecordCursor::kNewest : request.revision());
        for (; at.valid(); at.next()) {
            ++count;
            if (request.count_only()) continue;
            if (!plain || count <= limit) {
                keep(at.record());
                continue;
            }
            // What is left is only counted.
            response.set_more(true);
            const auto keys = at.take_keys();
            if (!keys) continue;
            for (keys->next(); keys->valid(); keys->next())
                ++count;
            break;
        }
    }
    response.set_count(count);
    if (!plain) {
        sort_and_cut(request, response.mutable_kvs());
        if (response.kvs_size() > limit) {
            response.mutable_kvs()->DeleteSubrange(static_cast<int>(limit),
                                                   response.kvs_size() - static_cast<int>(limit));
            response.set_more(true);
        }
    }
    if (request.keys_only())
        for (auto& kv : *response.mutable_kvs())
            kv.clear_value();
    return response;
}

bool MvccStore::compare_holds(const pb::Compare& compare) const {
    bool any = false;
    bool holds = true;
    const auto look = [&](std::string_view bytes) {
        any = true;
        holds = record_satisfies(compare, parse_or_die(bytes));
        return holds;
    };
    if (compare.target() == pb::Compare::VALUE)
        visit(compare.key(), compare.range_end(), 0, look);
    else
        visit_heads(compare.key(), compare.range_end(),
                    [&](std::string_view, std::string_view head) { return look(head); });
    if (any) return holds;
    // Nothing there: a value never compares, everything else compares as zero.
    return compare.target() != pb::Compare::VALUE && record_satisfies(compare, RecordView{});
}

bool MvccStore::all_hold(const pb::TxnRequest& request) const {
    return std::all_of(request.compare().begin(), request.compare().end(),
                       [this](const auto& compare) { return compare_holds(compare); });
}

base::Result<pb::TxnResponse> MvccStore::read_txn(const pb::TxnRequest& request) const {
    TRY_VOID(check_branch(request));
    ++counters_.txns;
    pb::TxnResponse response;
    read_branch(request, &response);
    response.mutable_header()->set_revision(revision_);
    return response;
}

void MvccStore::read_branch(const pb::TxnRequest& request, pb::TxnResponse* response) const {
    const bool succeeded = all_hold(request);
    response->mutable_header();
    response->set_succeeded(succeeded);
    for (const auto& op : succeeded ? request.success() : request.failure()) {
        auto* out = response->add_responses();
        if (op.has_request_txn()) {
            read_branch(op.request_txn(), out->mutable_response_txn());
        } else {
            auto answer = range(op.request_range());
            CHECK(answer.has_value(), "check_branch passed a range that fails");
            *out->mutable_response_range() = std::move(*answer);
        }
    }
}

// What the branch that will run needs: keys for ignore_value and ignore_lease, leases that exist,
// readable revisions. As in etcd, what is wrong with a put comes before what is wrong with a range,
// and here, unlike in a put that stands alone, a missing key before a missing lease.
base::Status MvccStore::check_branch(const pb::TxnRequest& request) const {
    base::Status puts;
    base::Status ranges;
    check_branch(request, &puts, &ranges);
    return puts ? ranges : puts;
}

void MvccStore::check_branch(const pb::TxnRequest& request, base::Status* puts,
                             base::Status* ranges) const {
    for (const auto& op : all_hold(request) ? request.success() : request.failure()) {
        if (op.has_request_range() && *ranges)
            *ranges = check_revision(op.request_range().revision());
        if (op.has_request_put() && *puts) *puts = check_replaced(op.request_put());
        if (op.has_request_put() && *puts) *puts = check_lease(op.request_put());
        if (op.has_request_txn()) check_branch(op.request_txn(), puts, ranges);
    }
}

std::vector<RevisionEvents> MvccStore::history(const HistoryRequest& request,
                                               std::int64_t* next) const {
    std::vector<RevisionEvents> out;
    std::size_t events = 0;
    std::size_t bytes = 0;
    std::size_t changes = 0;
    std::int64_t revision = 0;  // of the change before
    auto cursor = db_->cursor();
    cursor->seek(schema::revision_key(request.from));
    for (; cursor->valid(); cursor->next()) {
        const auto at = schema::parse_revision_key(cursor->key());
        if (!at || at->revision > request.to) break;
        const bool new_revision = revision != at->revision;
        if (new_revision && (events >= request.max_events || bytes >= request.max_bytes ||
                             changes >= request.max_changes)) {
            *next = at->revision;
            return out;
        }
        if (!new_revision && base::planted(base::PlantedBug::kRevisionSplit)) {
            *next = at->revision + 1;
            return out;
        }
        revision = at->revision;
        ++changes;
        const auto change = schema::parse_change(cursor->value());
        CHECK(change.has_value(), "what happened at revision {} cannot be read", at->revision);
        if (request.want && !request.want(change->key)) continue;
        Event event;
        event.key = change->key;
        event.is_delete = change->is_delete;
        if (event.is_delete) {
            event.record = RecordView{.key = event.key, .mod_revision = at->revision}.encode();
        } else {
            event.record = version(event.key, at->revision);
            // Replaced below the compacted revision, and gone: such an event is not promised to
            // anyone.
            if (event.record.empty()) continue;
        }
        event.replaced = change->replaced;
        if (request.with_previous && event.replaced != 0 && at->revision - 1 >= compacted_)
            event.previous = version(event.key, event.replaced);
        ++events;
        bytes += event.key.size() + event.record.size() + event.previous.size();
        if (out.empty() || out.back().revision != revision) out.push_back({revision, {}});
        out.back().events.push_back(std::move(event));
    }
    *next = request.to + 1;
    return out;
}

}  // namespace kvstore
