#include "kvstore/node.h"

#include "base/log.h"
#include "base/random.h"
#include "kvstore/errors.h"
#include "kvstore/mvcc/range_reader.h"

namespace kvstore {

namespace pb = etcdserverpb;

namespace {
constexpr base::Millis kLeaseTick{100};
constexpr std::size_t kRevokesPerTick = 100;
// A slice of compaction: small enough that no request waits for it noticeably.
constexpr int kScrubBudget = 256;
constexpr base::Millis kScrubPause{2};
// What a range may read at once where everybody waits for it.
constexpr std::int64_t kRecordsOnLoop = 128;
}  // namespace

Node::Node(base::Loop& loop, Machine& machine, Replica& replica, Options options)
    : loop_(loop),
      machine_(machine),
      replica_(replica),
      options_(std::move(options)),
      tick_(loop),
      scrub_(loop),
      alive_(std::make_shared<bool>(true)) {
    replica_.on_role([this, alive = alive_](bool leader, raft::Term) {
        if (!*alive) return;
        if (leader)
            machine_.lessor().promote(machine_.now_ms());
        else
            machine_.lessor().demote();
    });
    if (replica_.is_leader()) machine_.lessor().promote(machine_.now_ms());
    tick_.every(kLeaseTick, [this] { tick(); });
    scrub();
}

Node::~Node() {
    *alive_ = false;
}

void Node::fill_header(pb::ResponseHeader* header) const {
    header->set_cluster_id(replica_.cluster_id());
    header->set_member_id(replica_.id().value());
    header->set_raft_term(replica_.term().value());
    if (header->revision() == 0) header->set_revision(machine_.store().revision());
}

template <class T>
void Node::propose(Command command, Done<T> done) {
    std::string bytes = command.SerializeAsString();
    if (bytes.size() > options_.max_request_bytes) return done(errors::request_too_large());
    replica_.propose(std::move(bytes),
                     [this, d = std::move(done)](base::Result<ApplyResult> applied) mutable {
                         if (!applied) return d(applied.error());
                         auto* output = dynamic_cast<MachineOutput*>(applied->get());
                         CHECK(output != nullptr);
                         if (!output->response) return d(output->response.error());
                         auto* response = std::get_if<T>(&*output->response);
                         CHECK(response != nullptr);
                         fill_header(response->mutable_header());
                         d(std::move(*response));
                     });
}

void Node::after_read_index(base::UniqueFunction<void(base::Status)> read) {
    replica_.read_index([r = std::move(read)](base::Result<raft::Index> index) mutable {
        if (index)
            r(base::Status());
        else
            r(index.error());
    });
}

void Node::range(pb::RangeRequest request, Done<pb::RangeResponse> done) {
    if (auto bad = validate(request); !bad) return done(bad.error());
    auto read = [this](const pb::RangeRequest& r) -> base::Result<pb::RangeResponse> {
        TRY(auto response, machine_.store().range(r));
        fill_header(response.mutable_header());
        return response;
    };
    if (request.serializable()) return done(read(request));
    after_read_index(
        [read, r = std::move(request), d = std::move(done)](base::Status ready) mutable {
            if (!ready) return d(ready.error());
            d(read(r));
        });
}

void Node::range_encoded(pb::RangeRequest request, Done<EncodedRange> done) {
    if (auto bad = validate(request); !bad) return done(bad.error());
    if (request.serializable()) return read_encoded(request, std::move(done));
    after_read_index(
        [this, r = std::move(request), d = std::move(done)](base::Status ready) mutable {
            if (!ready) return d(ready.error());
            read_encoded(r, std::move(d));
        });
}

void Node::read_encoded(const pb::RangeRequest& request, Done<EncodedRange> done) {
    auto& store = machine_.store();
    if (auto bad = store.check_revision(request.revision()); !bad) return done(bad.error());
    RangeReader::Options options;
    options.interval = schema::KeyInterval::of(request.key(), request.range_end());
    options.revision = request.revision() >= store.revision() ? 0 : request.revision();
    options.limit = request.limit();
    options.count_only = request.count_only();
    options.keys_only = request.keys_only();
    EncodedRange out;
    fill_header(&out.header);
    if (options.interval.single) {
        if (const auto record = store.record(request.key(), request.revision())) {
            out.count = 1;
            if (!request.count_only())
                append_kv(&out.kvs.emplace_back(), *record, request.keys_only());
        }
        return done(std::move(out));
    }
    auto reader = std::make_shared<RangeReader>(machine_.shared_database(), std::move(options));
    auto finish = [reader, o = std::move(out), d = std::move(done)]() mutable {
        o.kvs = reader->take_pieces();
        o.more = reader->more();
        o.count = reader->count();
        reader.reset();
        d(std::move(o));
    };
    if (!reader->step(kRecordsOnLoop)) return finish();
    machine_.in_background(
        [reader] {
            while (reader->step(kRecordsOnLoop)) {
            }
        },
        std::move(finish));
}

void Node::put(pb::PutRequest request, Done<pb::PutResponse> done) {
    if (auto bad = validate(request); !bad) return done(bad.error());
    Command command;
    *command.mutable_put() = std::move(request);
    propose<pb::PutResponse>(std::move(command), std::move(done));
}

void Node::delete_range(pb::DeleteRangeRequest request, Done<pb::DeleteRangeResponse> done) {
    if (auto bad = validate(request); !bad) return done(bad.error());
    Command command;
    *command.mutable_delete_range() = std::move(request);
    propose<pb::DeleteRangeResponse>(std::move(command), std::move(done));
}

void Node::txn(pb::TxnRequest request, Done<pb::TxnResponse> done) {
    if (auto bad = validate(request, options_.max_txn_ops); !bad) return done(bad.error());
    if (!is_read_only(request)) {
        Command command;
        *command.mutable_txn() = std::move(request);
        return propose<pb::TxnResponse>(std::move(command), std::move(done));
    }
    auto read = [this](const pb::TxnRequest& r) -> base::Result<pb::TxnResponse> {
        TRY(auto response, machine_.store().read_txn(r));
        fill_header(response.mutable_header());
        return response;
    };
    if (is_serializable(request)) return done(read(request));
    after_read_index(
        [read, r = std::move(request), d = std::move(done)](base::Status ready) mutable {
            if (!ready) return d(ready.error());
            d(read(r));
        });
}

void Node::compact(pb::CompactionRequest request, Done<pb::CompactionResponse> done) {
    const bool physical = request.physical();
    Command command;
    *command.mutable_compact() = std::move(request);
    auto compacted = [this, physical,
                      d = std::move(done)](base::Result<pb::CompactionResponse> response) mutable {
        if (response && physical) {
            auto answer = [r = std::move(*response), d2 = std::move(d)]() mutable {
                d2(std::move(r));
            };
            after_scrub_.push_back(std::move(answer));
        } else {
            d(std::move(response));
        }
        scrub();
    };
    propose<pb::CompactionResponse>(std::move(command), std::move(compacted));
}

void Node::scrub() {
    const bool more = machine_.store().scrub(kScrubBudget);
    if (machine_.database().has_uncommitted()) machine_.database().commit();
    if (more) return scrub_.after(kScrubPause, [this] { scrub(); });
    std::vector<base::UniqueFunction<void()>> waiting;
    waiting.swap(after_scrub_);
    for (auto& f : waiting)
        f();
}

void Node::lease_grant(pb::LeaseGrantRequest request, Done<pb::LeaseGrantResponse> done) {
    if (request.ttl() > Machine::kMaxLeaseTtl) return done(errors::lease_ttl_too_large());
    request.set_ttl(std::max(request.ttl(), options_.min_lease_ttl_seconds));
    while (request.id() == 0)
        request.set_id(static_cast<std::int64_t>(base::entropy64() >> 1));
    Command command;
    *command.mutable_lease_grant() = std::move(request);
    propose<pb::LeaseGrantResponse>(std::move(command), std::move(done));
}

void Node::lease_revoke(pb::LeaseRevokeRequest request, Done<pb::LeaseRevokeResponse> done) {
    Command command;
    *command.mutable_lease_revoke() = std::move(request);
    propose<pb::LeaseRevokeResponse>(std::move(command), std::move(done));
}

std::optional<Member> Node::leader_member() const {
    for (auto& member : replica_.members())
        if (member.id == replica_.leader() && member.id != replica_.id()) return member;
    return std::nullopt;
}

namespace {

// Passes a call on to the leader and reads its answer.
template <class T, class Request>
void ask(const Node::Options& options, const std::optional<Member>& leader, const char* path,
         const Request& request, Done<T> done) {
    if (!leader) return done(errors::no_leader());
    if (!options.ask_leader) return done(errors::not_leader());
    options.ask_leader(*leader, path, request.SerializeAsString(),
                       [d = std::move(done)](base::Result<std::string> bytes) mutable {
                           T response;
                           if (!bytes) return d(bytes.error());
                           if (!response.ParseFromString(*bytes))
                               return d(base::internal_error("the leader's answer cannot be read"));
                           d(std::move(response));
                       });
}

}  // namespace

void Node::lease_keep_alive(std::int64_t id, Done<pb::LeaseKeepAliveResponse> done) {
    if (!leads_with_leases()) {
        pb::LeaseKeepAliveRequest request;
        request.set_id(id);
        return ask<pb::LeaseKeepAliveResponse>(options_, leader_member(),
                                               "/etcdserverpb.Lease/LeaseKeepAlive", request,
                                               std::move(done));
    }
    // Not through the log, but only a confirmed leader may promise time (etcd #15247).
    after_read_index([this, id, d = std::move(done)](base::Status ready) mutable {
        if (!ready) return d(ready.error());
        pb::LeaseKeepAliveResponse response;
        fill_header(response.mutable_header());
        response.set_id(id);
        response.set_ttl(machine_.lessor().renew(id, machine_.now_ms()).value_or(0));
        d(std::move(response));
    });
}

void Node::lease_time_to_live(pb::LeaseTimeToLiveRequest request,
                              Done<pb::LeaseTimeToLiveResponse> done) {
    if (!leads_with_leases())
        return ask<pb::LeaseTimeToLiveResponse>(options_, leader_member(),
                                                "/etcdserverpb.Lease/LeaseTimeToLive", request,
                                                std::move(done));
    after_read_index([this, request, d = std::move(done)](base::Status ready) mutable {
        if (!ready) return d(ready.error());
        pb::LeaseTimeToLiveResponse response;
        fill_header(response.mutable_header());
        response.set_id(request.id());
        response.set_ttl(-1);
        if (machine_.store().lease_exists(request.id())) {
            response.set_ttl(machine_.lessor().remaining_seconds(request.id(), machine_.now_ms()));
            response.set_grantedttl(machine_.store().lease_ttl(request.id()));
            if (request.keys())
                for (const auto& key : machine_.store().lease_keys(request.id()))
                    response.add_keys(key);
        }
        d(std::move(response));
    });
}

void Node::lease_leases(Done<pb::LeaseLeasesResponse> done) {
    after_read_index([this, d = std::move(done)](base::Status ready) mutable {
        if (!ready) return d(ready.error());
        pb::LeaseLeasesResponse response;
        fill_header(response.mutable_header());
        for (const auto id : machine_.store().leases())
            response.add_leases()->set_id(id);
        d(std::move(response));
    });
}

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
    return out;
}

void Node::hash(Done<pb::HashResponse> done) {
    auto hash = machine_.store().hash(0);
    if (!hash) return done(hash.error());
    pb::HashResponse response;
    fill_header(response.mutable_header());
    response.set_hash(*hash);
    done(std::move(response));
}

void Node::hash_kv(std::int64_t revision, Done<pb::HashKVResponse> done) {
    auto hash = machine_.store().hash(revision);
    if (!hash) return done(hash.error());
    pb::HashKVResponse response;
    fill_header(response.mutable_header());
    response.set_hash(*hash);
    response.set_compact_revision(machine_.store().compacted_revision());
    response.set_hash_revision(revision > 0 ? revision : machine_.store().revision());
    done(std::move(response));
}

void Node::move_leader(std::uint64_t target, Done<pb::MoveLeaderResponse> done) {
    if (!replica_.is_leader()) return done(errors::not_leader());
    const auto members = replica_.members();
    const auto it = std::find_if(members.begin(), members.end(), [&](const auto& m) {
        return m.id.value() == target && !m.learner;
    });
    if (it == members.end()) return done(errors::bad_leader_transferee());
    replica_.transfer_leadership(raft::NodeId(target),
                                 [this, d = std::move(done)](base::Status moved) mutable {
                                     if (!moved) return d(moved.error());
                                     pb::MoveLeaderResponse response;
                                     fill_header(response.mutable_header());
                                     d(std::move(response));
                                 });
}

void Node::member_list(bool linearizable, Done<pb::MemberListResponse> done) {
    auto list = [this]() {
        pb::MemberListResponse response;
        fill_header(response.mutable_header());
        for (const auto& member : replica_.members()) {
            auto* out = response.add_members();
            out->set_id(member.id.value());
            out->set_name(member.name);
            for (const auto& url : member.peer_urls)
                out->add_peerurls(url);
            for (const auto& url : member.client_urls)
                out->add_clienturls(url);
            out->set_islearner(member.learner);
        }
        return response;
    };
    if (!linearizable) return done(list());
    after_read_index([list, d = std::move(done)](base::Status ready) mutable {
        if (!ready) return d(ready.error());
        d(list());
    });
}

void Node::pump() {
    if (pumping_) return;
    pumping_ = true;
    // A slice at a time, so that requests get their turn between.
    loop_.post([this, alive = alive_] {
        if (!*alive) return;
        pumping_ = false;
        if (machine_.hub().pump()) pump();
    });
}

void Node::tick() {
    if (machine_.hub().behind() > 0) pump();
    if (!leads_with_leases()) return;
    for (const auto id : machine_.lessor().take_expired(machine_.now_ms(), kRevokesPerTick)) {
        pb::LeaseRevokeRequest request;
        request.set_id(id);
        lease_revoke(std::move(request), [id](base::Result<pb::LeaseRevokeResponse> revoked) {
            if (!revoked && revoked.error().code != base::Code::kNotFound)
                LOG_DEBUG("kvstore", "lease {} is expired but not revoked yet: {}", id,
                          revoked.error().message);
        });
    }
}

}  // namespace kvstore
