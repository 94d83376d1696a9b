// Clients of the simulated cluster: writes with unique values, reads, and what their answers prove.

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "raft/core/core.h"
#include "test/sim/cluster.h"

namespace sim {

namespace pb = etcdserverpb;
using linearizable::Kind;

namespace {

// The number in a value "w<number>;…"; 0: none.
std::uint64_t number_in(std::string_view value) {
    if (value.size() < 3 || value[0] != 'w') return 0;
    return std::strtoull(std::string(value.substr(1, value.find(';') - 1)).c_str(), nullptr, 10);
}

// The client's number for a write; 0: it has none.
std::uint64_t number_of(const kvstore::Command& c) {
    if (c.op_case() == kvstore::Command::kPut) return number_in(c.put().value());
    if (c.op_case() != kvstore::Command::kTxn) return 0;
    for (const auto& op : c.txn().success())
        if (op.has_request_put()) return number_in(op.request_put().value());
    return 0;
}

// An error that says that nothing happened, now or later.
bool is_refusal(const base::Error& error) {
    return error.code != base::Code::kUnavailable && error.code != base::Code::kDeadlineExceeded &&
           error.code != base::Code::kCancelled && error.code != base::Code::kAborted;
}

linearizable::Seen seen(const mvccpb::KeyValue& kv) {
    return {true, kv.value(), kv.mod_revision()};
}

}  // namespace

void Cluster::client_loop() {
    if (!faults_) return;
    world_.after(world_.random.between(1, 120) * kMilli, [this] {
        if (!faults_) return;
        const std::uint64_t burst = 1 + world_.random.below(max_load_);
        for (std::uint64_t i = 0; i < burst; ++i) {
            Host* host = pick(true);
            if (host == nullptr) break;
            if (host->paused() && world_.random.chance(3, 4)) continue;
            host->run([this, host] { one_request(*host); });
        }
        client_loop();
    });
}

void Cluster::one_request(Host& host) {
    const std::uint64_t what = world_.random.below(100);
    if (what < 32) return client_put(host);
    if (what < 42) return client_delete(host);
    if (what < 60) return client_txn(host);
    if (what < 78) return client_get(host);
    if (what < 87) return client_range(host, false);
    if (what < 95) return client_range(host, true);
    if (what < 98) return client_compact(host);
    // At whatever level the machine is: the checksums of all members must agree.
    host.node().hash_kv(0, [this, &host](base::Result<pb::HashKVResponse> result) {
        if (!result) return fail("no hash: " + result.error().message);
        World::cover("hashes compared");
        const auto revision = result->hash_revision();
        const auto compacted = result->compact_revision();
        const auto [it, first] = hashes_.emplace(std::pair{revision, compacted}, result->hash());
        if (!first && it->second != result->hash())
            fail(fmt::format("member {} has another hash at revision {}", host.id(), revision));
    });
}

std::string Cluster::value_of(std::uint64_t write) {
    std::string out = fmt::format("w{};", write);
    if (world_.random.chance(1, 8)) out.append(value_bytes_, 'x');
    return out;
}

// ------------------------------------------------------------------ what is known of a request

Cluster::CallPtr Cluster::begin(Kind kind, const std::string& key) {
    auto call = std::make_shared<Call>();
    call->floor = answered_;
    call->revision = answered_revision_;
    linearizable::Operation operation;
    operation.process = calls_.size();
    operation.key = key;
    operation.kind = kind;
    operation.invoked_us = world_.now();
    call->operations.push_back(std::move(operation));
    calls_.push_back(call);
    return call;
}

// What every answer is held against. False: it is an error, or comes from a process that has ended
// already, so nobody hears it.
bool Cluster::answered(Host& host, const CallPtr& call, const base::Error* error,
                       std::int64_t revision) {
    if (host.dying()) return false;
    if (error != nullptr) {
        World::cover("requests failed");
        // It will never happen: it is not a part of the history.
        if (is_refusal(*error)) call->operations.clear();
        return false;
    }
    World::cover("requests answered");
    const raft::Index state = host.applied().index;
    if (state < call->floor)
        return fail(fmt::format("member {} answers from entry {}, but {} had been seen before",
                                host.id(), state, call->floor)),
               false;
    if (revision < call->revision)
        return fail(fmt::format("member {} answers with revision {}, but {} had been seen before",
                                host.id(), revision, call->revision)),
               false;
    if (call->write != 0) {
        const auto it = writes_.find(call->write);
        if (it == writes_.end())
            return fail(fmt::format("write {} was answered but not applied", call->write)), false;
        world_.trace(fmt::format("write {} has revision {}", call->write, revision));
    }
    answered_ = std::max(answered_, state);
    answered_revision_ = std::max(answered_revision_, revision);
    for (auto& operation : call->operations) {
        operation.returned_us = world_.now();
        operation.revision = revision;
    }
    return true;
}

// Every write at most once.
void Cluster::first_applied(const kvstore::Command& command, const Reference::Answer& answer) {
    if (const std::uint64_t write = number_of(command); write != 0) {
        const auto [it, first] = writes_.emplace(write, journal_.reference().revision());
        if (!first) fail(fmt::format("write {} was applied twice", write));
    }
    if (!answer.error.empty()) return;
    if (command.op_case() == kvstore::Command::kLeaseGrant) lease_granted(command.lease_grant());
    if (command.op_case() == kvstore::Command::kLeaseRevoke)
        lease_ended(command.lease_revoke().id());
}

// ------------------------------------------------------------------ writes

void Cluster::client_put(Host& host, bool final_write) {
    auto call = begin(Kind::kPut, some_key());
    call->write = ++last_write_;
    const std::string value = value_of(call->write);
    call->operations[0].value = value;
    pb::PutRequest request;
    request.set_key(call->operations[0].key);
    request.set_value(value);
    request.set_prev_kv(world_.random.chance(1, 3));
    host.node().put(std::move(request),
                    [this, call, &host, final_write](base::Result<pb::PutResponse> result) {
                        if (final_write) --final_pending_;
                        if (answered(host, call, result)) World::cover("writes answered");
                    });
}

void Cluster::client_delete(Host& host) {
    auto call = begin(Kind::kDelete, some_key());
    pb::DeleteRangeRequest request;
    request.set_key(call->operations[0].key);
    request.set_prev_kv(true);
    if (world_.random.chance(1, 3)) {
        // All keys from there on: a delete of each.
        request.set_range_end("l");
        for (const char* key : {"k0", "k1", "k2", "k3", "k4", "k5"}) {
            if (key <= call->operations[0].key) continue;
            auto other = call->operations[0];
            other.key = key;
            call->operations.push_back(std::move(other));
        }
    }
    host.node().delete_range(
        std::move(request), [this, call, &host](base::Result<pb::DeleteRangeResponse> result) {
            if (!answered(host, call, result)) return;
            World::cover("deletes answered");
            for (auto& operation : call->operations)
                for (const auto& kv : result->prev_kvs())
                    operation.succeeded = operation.succeeded || kv.key() == operation.key;
        });
}

// As kube-apiserver does: if the key is as it was, put it or delete it, else read it.
void Cluster::client_txn(Host& host) {
    auto call = begin(Kind::kCas, some_key());
    auto& operation = call->operations[0];
    const auto content = journal_.reference().content(journal_.reference().revision());
    const auto it = content.find(operation.key);
    operation.expected = it == content.end() ? 0 : it->second.mod;
    if (world_.random.chance(1, 4))
        operation.expected = static_cast<std::int64_t>(
            world_.random.below(static_cast<std::uint64_t>(journal_.reference().revision()) + 1));
    pb::TxnRequest request;
    auto* compare = request.add_compare();
    compare->set_key(operation.key);
    compare->set_target(pb::Compare::MOD);
    compare->set_result(pb::Compare::EQUAL);
    compare->set_mod_revision(operation.expected);
    call->write = ++last_write_;
    const bool deletes = world_.random.chance(1, 4);
    // A delete says who it is in a key of its own.
    auto* put = request.add_success()->mutable_request_put();
    put->set_key(deletes ? "marker" : operation.key);
    put->set_value(value_of(call->write));
    if (deletes)
        request.add_success()->mutable_request_delete_range()->set_key(operation.key);
    else
        operation.value = put->value();
    request.add_failure()->mutable_request_range()->set_key(operation.key);
    host.node().txn(std::move(request), [this, call, &host](base::Result<pb::TxnResponse> result) {
        if (!answered(host, call, result)) return;
        auto& o = call->operations[0];
        o.succeeded = result->succeeded();
        World::cover(o.succeeded ? "transactions that held" : "transactions that did not hold");
        if (o.succeeded) return;
        const auto& range = result->responses(0).response_range();
        o.seen = range.kvs_size() > 0 ? seen(range.kvs(0)) : linearizable::Seen();
    });
}

void Cluster::client_compact(Host& host) {
    const std::int64_t newest = journal_.reference().revision();
    const auto back = static_cast<std::int64_t>(world_.random.below(12));
    pb::CompactionRequest request;
    request.set_revision(std::max<std::int64_t>(1, newest - back));
    request.set_physical(world_.random.chance(1, 2));
    auto call = std::make_shared<Call>();
    call->floor = answered_;
    call->revision = answered_revision_;
    host.node().compact(std::move(request),
                        [this, call, &host](base::Result<pb::CompactionResponse> result) {
                            if (answered(host, call, result)) World::cover("compactions");
                        });
}

// ------------------------------------------------------------------ reads

Cluster::Stand Cluster::stand(Host& host) {
    const auto& store = host.machine().store();
    return {store.revision(), store.compacted_revision()};
}

// It is answered as of some moment between the question and now.
void Cluster::check_range(Host& host, const pb::RangeRequest& request, Stand before,
                          const base::Result<pb::RangeResponse>& result) {
    const auto wanted = [&](Stand at) {
        return journal_.reference().range(request, at.revision, at.compacted);
    };
    if (!result) {
        const bool learner = result.error().message.find("for learner") != std::string::npos;
        const std::string& have = result.error().message;
        if (have != wanted(before).error && have != wanted(stand(host)).error &&
            is_refusal(result.error()) && !learner)
            fail(fmt::format("member {} answers a range with {} instead of {}", host.id(), have,
                             wanted(stand(host)).error));
        return;
    }
    const std::int64_t at = result->header().revision();
    if (at < before.revision || at > stand(host).revision)
        fail(fmt::format("member {} answers a range as of {}, between {} and {}", host.id(), at,
                         before.revision, stand(host).revision));
    const auto want = wanted({at, before.compacted});
    pb::RangeResponse have = *result;
    have.mutable_header()->clear_cluster_id();
    have.mutable_header()->clear_member_id();
    have.mutable_header()->clear_raft_term();
    if (have.SerializeAsString() != want.bytes)
        fail(fmt::format("member {} answers a range of {} at {} wrong", host.id(), request.key(),
                         request.revision()));
}

void Cluster::client_get(Host& host) {
    auto call = begin(Kind::kGet, some_key());
    pb::RangeRequest request;
    request.set_key(call->operations[0].key);
    host.node().range(request, [this, call, &host, request,
                                before = stand(host)](base::Result<pb::RangeResponse> result) {
        if (!answered(host, call, result)) return;
        World::cover("reads answered");
        check_range(host, request, before, result);
        auto& o = call->operations[0];
        o.seen = result->kvs_size() > 0 ? seen(result->kvs(0)) : linearizable::Seen();
    });
}

void Cluster::client_range(Host& host, bool serializable) {
    base::Random& random = world_.random;
    pb::RangeRequest request;
    request.set_key(some_key());
    request.set_range_end("l");
    if (random.chance(1, 4)) request.set_limit(static_cast<std::int64_t>(random.between(1, 4)));
    request.set_keys_only(random.chance(1, 8));
    request.set_count_only(random.chance(1, 8));
    request.set_serializable(serializable);
    if (random.chance(1, 3))
        request.set_revision(static_cast<std::int64_t>(
            random.below(static_cast<std::uint64_t>(journal_.reference().revision()) + 3)));
    auto call = std::make_shared<Call>();
    if (!serializable) {
        call->floor = answered_;
        call->revision = answered_revision_;
    }
    host.node().range(request, [this, call, &host, request,
                                before = stand(host)](base::Result<pb::RangeResponse> result) {
        if (!answered(host, call, result) && result) return;
        World::cover(request.serializable() ? "serializable ranges" : "linearizable ranges");
        if (!result && result.error().message.find("compacted") != std::string::npos)
            World::cover("ranges of what is compacted");
        if (!host.dying()) check_range(host, request, before, result);
    });
}

void Cluster::final_writes() {
    for (auto& [id, host] : hosts_) {
        if (!host->up() || host->replica().is_learner() ||
            host->replica().core().config().find(id) == nullptr)
            continue;
        ++final_pending_;
        host->run([this, h = host.get()] { client_put(*h, true); });
    }
}

}  // namespace sim
