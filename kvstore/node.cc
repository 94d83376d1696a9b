#include "kvstore/node.h"

#include "base/log.h"
#include "base/planted.h"
#include "base/random.h"
#include "kvstore/auth/checks.h"
#include "kvstore/errors.h"
#include "kvstore/mvcc/range_reader.h"
#include "kvstore/node_calls.h"

namespace kvstore {

namespace pb = etcdserverpb;

namespace {
constexpr base::Millis kLeaseTick{100};
// A slice of compaction: small enough that no request waits for it noticeably.
constexpr int kScrubBudget = 256;
constexpr base::Millis kScrubPause{2};
// What a range may read at once where everybody waits for it.
constexpr std::int64_t kRecordsOnLoop = 128;

// Of a plain range.
RangeReader::Options reader_options(const pb::RangeRequest& request, const MvccStore& store) {
    RangeReader::Options out;
    out.interval = schema::KeyInterval::of(request.key(), request.range_end());
    // One key is the interval up to its successor.
    if (out.interval.single)
        out.interval = schema::KeyInterval::of(request.key(), request.key() + std::string(1, '\0'));
    out.revision = store.is_newest(request.revision()) ? 0 : request.revision();
    out.limit = request.limit();
    out.count_only = request.count_only();
    out.keys_only = request.keys_only();
    return out;
}

// What the answer of a plain range depends on.
std::string question_of(const pb::RangeRequest& request, const MvccStore& store) {
    pb::RangeRequest out;
    out.set_key(request.key());
    out.set_range_end(request.range_end());
    out.set_revision(store.is_newest(request.revision()) ? store.revision() : request.revision());
    out.set_limit(request.limit());
    out.set_count_only(request.count_only());
    out.set_keys_only(request.keys_only());
    return out.SerializeAsString();
}

RangeBody body_of(RangeReader& reader) {
    RangeBody out;
    for (auto& piece : reader.take_pieces())
        out.kvs.push_back(std::make_shared<const std::string>(std::move(piece)));
    out.more = reader.more();
    out.count = reader.count();
    return out;
}
}  // namespace

Node::Node(base::Loop& loop, Machine& machine, Replica& replica, Options options)
    : Node(timers_of(loop), machine, replica, std::move(options)) {}

Node::Node(std::unique_ptr<Timers> timers, Machine& machine, Replica& replica, Options options)
    : timers_(std::move(timers)),
      machine_(machine),
      replica_(replica),
      options_(std::move(options)),
      tick_(timers_->make_timer()),
      scrub_(timers_->make_timer()),
      compactor_(options_.auto_compaction),
      alive_(std::make_shared<bool>(true)) {
    machine_.lessor().set_checkpoint_interval(options_.lease_checkpoint_seconds * 1000);
    replica_.on_role([this, alive = alive_](bool leader, raft::Term term) {
        if (!*alive) return;
        lease_term_ = term;
        if (leader)
            machine_.lessor().promote(machine_.now_ms());
        else
            machine_.lessor().demote();
    });
    used_bytes_ = machine_.database().approximate_size();
    lease_term_ = replica_.term();
    if (replica_.is_leader()) machine_.lessor().promote(machine_.now_ms());
    tick_->every(kLeaseTick, [this] { tick(); });
    machine_.hub().wants_pump = [this] { pump(); };
    scrub();
}

Node::~Node() {
    machine_.hub().wants_pump = nullptr;
    *alive_ = false;
}

void Node::fill_header(pb::ResponseHeader* header) const {
    header->set_cluster_id(replica_.cluster_id());
    header->set_member_id(replica_.id().value());
    header->set_raft_term(replica_.term().value());
    if (header->revision() == 0) header->set_revision(machine_.store().revision());
}

base::Status Node::readable() const {
    if (machine_.alarms().raised(pb::CORRUPT)) return errors::corrupt();
    return {};
}

void Node::after_read_index(base::UniqueFunction<void(base::Status)> read) {
    if (replica_.is_learner()) return read(errors::not_supported_for_learner());
    replica_.read_index(
        [this, alive = alive_, r = std::move(read)](base::Result<raft::Index> index) mutable {
            if (index) return r(base::Status());
            if (*alive) ++counters_.reads_failed;
            r(index.error());
        });
}

void Node::range(pb::RangeRequest request, Done<pb::RangeResponse> done, Caller caller) {
    if (auto bad = validate(request); !bad) return done(bad.error());
    auto read = [this, caller = std::move(caller)](pb::RangeRequest r, Done<pb::RangeResponse> d) {
        if (auto may = auth::may(machine_.auth(), caller, r); !may) return d(may.error());
        if (auto bad = readable(); !bad) return d(bad.error());
        const bool aside = !r.range_end().empty();
        read_store(
            aside, [r2 = std::move(r)](const MvccStore& store) { return store.range(r2); },
            std::move(d));
    };
    if (request.serializable()) return read(std::move(request), std::move(done));
    after_read_index(
        [read, r = std::move(request), d = std::move(done)](base::Status ready) mutable {
            if (!ready) return d(ready.error());
            read(std::move(r), std::move(d));
        });
}

void Node::range_encoded(pb::RangeRequest request, Done<EncodedRange> done, Caller caller) {
    if (auto bad = validate(request); !bad) return done(bad.error());
    auto read = [this, caller = std::move(caller)](const pb::RangeRequest& r,
                                                   Done<EncodedRange> d) {
        if (auto may = auth::may(machine_.auth(), caller, r); !may) return d(may.error());
        read_encoded(r, std::move(d));
    };
    if (request.serializable()) return read(request, std::move(done));
    after_read_index(
        [read, r = std::move(request), d = std::move(done)](base::Status ready) mutable {
            if (!ready) return d(ready.error());
            read(r, std::move(d));
        });
}

void Node::read_encoded(const pb::RangeRequest& request, Done<EncodedRange> done) {
    auto& store = machine_.store();
    if (auto bad = readable(); !bad) return done(bad.error());
    if (auto bad = store.check_revision(request.revision()); !bad) return done(bad.error());
    store.count_range();
    EncodedRange out;
    fill_header(&out.header);
    if (request.range_end().empty()) {
        if (const auto record = store.record(request.key(), request.revision())) {
            out.body.count = 1;
            std::string kv;
            if (!request.count_only()) append_kv(&kv, *record, request.keys_only());
            out.body.kvs.push_back(std::make_shared<const std::string>(std::move(kv)));
        }
        return done(std::move(out));
    }
    read_interval(request, [o = std::move(out), d = std::move(done)](RangeBody body) mutable {
        o.body = std::move(body);
        d(std::move(o));
    });
}

void Node::read_interval(const pb::RangeRequest& request, SharedRanges::Taker taker) {
    const auto& store = machine_.store();
    auto reader =
        std::make_shared<RangeReader>(machine_.shared_database(), reader_options(request, store));
    if (!reader->step(kRecordsOnLoop)) return taker(body_of(*reader));
    const std::string question = question_of(request, store);
    if (shared_ranges_.join(question, std::move(taker))) return;
    auto read = [reader] {
        while (reader->step(kRecordsOnLoop)) {
        }
    };
    auto finish = [this, alive = alive_, question, r = std::move(reader)]() mutable {
        const RangeBody body = body_of(*std::exchange(r, nullptr));
        if (*alive) shared_ranges_.finish(question, body);
    };
    machine_.in_background(std::move(read), std::move(finish));
}

void Node::open_range(pb::RangeRequest request, Done<OpenRange> done, Caller caller) {
    if (auto bad = validate(request); !bad) return done(bad.error());
    auto open = [this,
                 caller = std::move(caller)](const pb::RangeRequest& r) -> base::Result<OpenRange> {
        TRY_VOID(auth::may(machine_.auth(), caller, r));
        auto& store = machine_.store();
        TRY_VOID(readable());
        TRY_VOID(store.check_revision(r.revision()));
        store.count_range();
        OpenRange out;
        fill_header(&out.header);
        out.reader =
            std::make_shared<RangeReader>(machine_.shared_database(), reader_options(r, store));
        return out;
    };
    if (request.serializable()) return done(open(request));
    after_read_index(
        [open, r = std::move(request), d = std::move(done)](base::Status ready) mutable {
            if (!ready) return d(ready.error());
            d(open(r));
        });
}

void Node::put(pb::PutRequest request, Done<pb::PutResponse> done, Caller caller) {
    if (auto bad = validate(request); !bad) return done(bad.error());
    Command command;
    *command.mutable_put() = std::move(request);
    propose<pb::PutResponse>(std::move(command), std::move(done), caller);
}

void Node::delete_range(pb::DeleteRangeRequest request, Done<pb::DeleteRangeResponse> done,
                        Caller caller) {
    if (auto bad = validate(request); !bad) return done(bad.error());
    Command command;
    *command.mutable_delete_range() = std::move(request);
    propose<pb::DeleteRangeResponse>(std::move(command), std::move(done), caller);
}

void Node::txn(pb::TxnRequest request, Done<pb::TxnResponse> done, Caller caller) {
    if (auto bad = validate(request, options_.max_txn_ops); !bad) return done(bad.error());
    if (!is_read_only(request)) {
        Command command;
        *command.mutable_txn() = std::move(request);
        return propose<pb::TxnResponse>(std::move(command), std::move(done), caller);
    }
    auto read = [this, caller = std::move(caller)](pb::TxnRequest r, Done<pb::TxnResponse> d) {
        if (auto may = auth::may(machine_.auth(), machine_.store(), caller, r); !may)
            return d(may.error());
        if (auto bad = readable(); !bad) return d(bad.error());
        const bool aside = reads_ranges(r);
        read_store(
            aside, [r2 = std::move(r)](const MvccStore& store) { return store.read_txn(r2); },
            std::move(d));
    };
    if (is_serializable(request)) return read(std::move(request), std::move(done));
    after_read_index(
        [read, r = std::move(request), d = std::move(done)](base::Status ready) mutable {
            if (!ready) return d(ready.error());
            read(std::move(r), std::move(d));
        });
}

void Node::compact(pb::CompactionRequest request, Done<pb::CompactionResponse> done,
                   Caller caller) {
    const bool physical = request.physical();
    Command command;
    *command.mutable_compact() = std::move(request);
    auto compacted = [this, physical,
                      d = std::move(done)](base::Result<pb::CompactionResponse> response) mutable {
        if (!response) return d(response.error());
        if (physical) {
            auto answer = [r = std::move(*response), d2 = std::move(d)]() mutable {
                d2(std::move(r));
            };
            after_scrub_.push_back(std::move(answer));
        } else {
            d(std::move(response));
        }
        scrub();
    };
    propose<pb::CompactionResponse>(std::move(command), std::move(compacted), caller);
}

void Node::scrub() {
    scrubs_later_ = false;
    if (machine_.busy()) {
        scrubs_later_ = true;
        return scrub_->after(kScrubPause, [this] { scrub(); });
    }
    const std::int64_t began = machine_.now_ms();
    const bool more = machine_.store().scrub(kScrubBudget);
    if (machine_.database().has_uncommitted()) machine_.database().commit();
    if (more) {
        scrubs_later_ = true;
        // Where slices are slow they take a third of the time at most.
        const base::Millis pause(2 * (machine_.now_ms() - began));
        return scrub_->after(std::max(kScrubPause, pause), [this] { scrub(); });
    }
    std::vector<base::UniqueFunction<void()>> waiting;
    waiting.swap(after_scrub_);
    for (auto& f : waiting)
        f();
}

void Node::pump() {
    if (pumping_) return;
    pumping_ = true;
    // A slice at a time, so that requests get their turn between.
    timers_->post([this, alive = alive_] {
        if (!*alive) return;
        pumping_ = false;
        if (machine_.hub().pump()) pump();
    });
}

void Node::tick() {
    if (machine_.hub().behind() > 0) pump();
    used_bytes_ = options_.quota_bytes > 0 ? machine_.database().approximate_size() : 0;
    auto_compact();
    // A compaction that another member was asked for is this one's, too.
    if (machine_.store().scrubbing() && !scrubs_later_) scrub();
    if (!leads_with_leases()) return;
    revoke_expired();
    checkpoint_leases();
}

}  // namespace kvstore
