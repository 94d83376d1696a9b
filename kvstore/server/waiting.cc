#include "kvstore/server/waiting.h"

#include <fmt/format.h>

#include "kvstore/errors.h"
#include "kvstore/mvcc/record.h"
#include "kvstore/mvcc/schema.h"

namespace kvstore {

namespace pb = etcdserverpb;

namespace {

constexpr std::int64_t kDefaultTtl = 60;

pb::RangeRequest under(const std::string& name) {
    pb::RangeRequest r;
    r.set_key(name + "/");
    r.set_range_end(schema::prefix_end(name + "/"));
    r.set_sort_target(pb::RangeRequest::CREATE);
    r.set_limit(1);
    return r;
}

// One wait in the hub: the first change that counts resolves it.
class OneChange final : public WatchSink, public std::enable_shared_from_this<OneChange> {
  public:
    OneChange(Node& node, bool only_deletions) : node_(node), only_deletions_(only_deletions) {}

    void begin(const NextChange& what, base::UniqueFunction<void(base::Result<Change>)> resolve) {
        resolve_ = std::move(resolve);
        WatchHub::Request request;
        request.key = what.key;
        request.range_end = what.range_end;
        request.start_revision = what.revision;
        request.no_put = only_deletions_;
        id_ = node_.hub().add(request, this);
        if (!node_.hub().synced(*id_)) node_.pump();
    }
    // Not from inside the hub's walk over its watchers.
    void end() {
        if (id_) node_.hub().remove(*id_);
        id_.reset();
    }
    void finish(base::Result<Change> result) {
        if (resolve_) std::exchange(resolve_, nullptr)(std::move(result));
    }

    bool ready() const override { return static_cast<bool>(resolve_); }
    void deliver(std::int64_t, const WatchBatchPtr& batch) override {
        for (const Event* event : batch->events) {
            Change change;
            change.deleted = event->is_delete;
            if (!change.kv.ParseFromString(event->record))
                return finish(base::data_loss("a record of the store cannot be read"));
            return finish(std::move(change));
        }
    }
    void compacted(std::int64_t, std::int64_t) override {
        id_.reset();
        finish(errors::compacted());
    }

  private:
    Node& node_;
    bool only_deletions_;
    std::optional<std::int64_t> id_;
    base::UniqueFunction<void(base::Result<Change>)> resolve_;
};

// Renews a lease while its owner waits, and says so when it is gone.
class Renewal {
  public:
    Renewal(base::Loop& loop, Node& node, std::int64_t lease)
        : timer_(loop), gone_(std::make_shared<bool>(false)) {
        const auto ttl = std::max<std::int64_t>(node.store().lease_ttl(lease), 1);
        timer_.every(base::Millis(std::min<std::int64_t>(ttl, 3600) * 1000 / 3), [&node, lease,
                                                                                  gone = gone_] {
            node.lease_keep_alive(lease, [gone](base::Result<pb::LeaseKeepAliveResponse> r) {
                if (r && r->ttl() == 0) *gone = true;
            });
        });
    }
    bool lease_is_gone() const { return *gone_; }

  private:
    base::Timer timer_;
    std::shared_ptr<bool> gone_;
};

base::Error session_expired() {
    return {base::Code::kUnknown, "mutex: session is expired"};
}

// Waits until no key under the prefix is older than the place.
base::Task<std::int64_t> wait_for_older(std::shared_ptr<Visit> visit, Place place) {
    for (;;) {
        pb::RangeRequest last = under(place.name);
        last.set_sort_order(pb::RangeRequest::DESCEND);
        last.set_max_create_revision(place.created - 1);
        CO_TRY(auto older, co_await visit->call(&Node::range, std::move(last)));
        if (older.kvs().empty()) co_return older.header().revision();
        NextChange gone;
        gone.key = older.kvs(0).key();
        gone.revision = older.header().revision() + 1;
        gone.deleted = true;
        auto change = co_await next_change(visit, std::move(gone));
        // Compacted: it is looked at again.
        if (!change && change.error().code != base::Code::kOutOfRange) co_return change.error();
    }
}

}  // namespace

std::string place_key(const std::string& name, std::int64_t lease) {
    return fmt::format("{}/{:x}", name, static_cast<std::uint64_t>(lease));
}

base::Awaitable<void> Visit::remove(std::string key) {
    pb::DeleteRangeRequest request;
    request.set_key(std::move(key));
    auto removed =
        co_await kvstore::call(&node(), &Node::delete_range, std::move(request), Caller());
    (void)removed;  // its lease ends it otherwise
}

base::Task<std::optional<mvccpb::KeyValue>> first_under(std::shared_ptr<Visit> visit,
                                                        std::string name) {
    pb::RangeRequest first = under(name);
    first.set_sort_order(pb::RangeRequest::ASCEND);
    CO_TRY(auto found, co_await visit->call(&Node::range, std::move(first)));
    std::optional<mvccpb::KeyValue> out;
    if (!found.kvs().empty()) out = found.kvs(0);
    co_return out;
}

base::Task<Change> next_change(std::shared_ptr<Visit> visit, NextChange what) {
    if (visit->stream()->closed()) co_return base::cancelled("the client is gone");
    CO_TRY(const Caller caller, co_await visit->gate().caller(visit->stream()));
    CO_TRY_VOID(visit->node().machine().auth().may_read(caller, what.key, what.range_end));
    auto wait = std::make_shared<OneChange>(visit->node(), what.deleted);
    auto start = [visit, wait, what = std::move(what)](
                     base::UniqueFunction<void(base::Result<Change>)> resolve) {
        wait->begin(what, std::move(resolve));
        visit->stream()->on_close([weak = std::weak_ptr<OneChange>(wait)] {
            if (auto live = weak.lock()) live->finish(base::cancelled("the client is gone"));
        });
    };
    auto change = co_await base::suspend<base::Result<Change>>(std::move(start));
    wait->end();
    co_return change;
}

base::Task<Place> take_place(std::shared_ptr<Visit> visit, std::string name, std::int64_t lease,
                             std::string value) {
    if (lease == 0) {
        pb::LeaseGrantRequest grant;
        grant.set_ttl(kDefaultTtl);
        CO_TRY(auto granted, co_await visit->call(&Node::lease_grant, std::move(grant)));
        lease = granted.id();
    }
    Place place;
    place.name = std::move(name);
    place.key = place_key(place.name, lease);
    place.lease = lease;
    pb::TxnRequest txn;
    auto* absent = txn.add_compare();
    absent->set_key(place.key);
    absent->set_target(pb::Compare::CREATE);
    absent->set_create_revision(0);
    auto* put = txn.add_success()->mutable_request_put();
    put->set_key(place.key);
    put->set_value(std::move(value));
    put->set_lease(lease);
    txn.add_failure()->mutable_request_range()->set_key(place.key);
    CO_TRY(auto answer, co_await visit->call(&Node::txn, std::move(txn)));
    place.created = answer.header().revision();
    if (!answer.succeeded()) {
        const auto& kvs = answer.responses(0).response_range().kvs();
        if (kvs.empty()) co_return session_expired();
        place.created = kvs[0].create_revision();
    }
    co_return place;
}

base::Task<std::int64_t> wait_for_turn(std::shared_ptr<Visit> visit, Place place) {
    const std::string key = place.key;
    const std::int64_t created = place.created;
    auto renewal = std::make_shared<Renewal>(visit->gate().loop(), visit->node(), place.lease);
    auto turn = co_await wait_for_older(visit, std::move(place));
    if (!turn) {
        co_await visit->remove(key);
        co_return turn.error();
    }
    // The lease may have ended, and the key with it, while others were waited for.
    pb::RangeRequest mine;
    mine.set_key(key);
    auto own = co_await visit->call(&Node::range, std::move(mine));
    if (own && (own->kvs().empty() || own->kvs(0).create_revision() != created))
        co_return session_expired();
    if (!own || visit->stream()->closed()) {
        co_await visit->remove(key);
        co_return own ? base::cancelled("the client is gone") : own.error();
    }
    co_return own->header().revision();
}

}  // namespace kvstore
