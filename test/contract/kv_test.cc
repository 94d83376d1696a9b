// What etcd's KV service promises about revisions, ranges and transactions.

#include <map>

#include "test/contract/client.h"

namespace contract {
namespace {

using Kv = ContractTest;

pb::RequestOp put_op(const std::string& key, const std::string& value, std::int64_t lease = 0) {
    pb::RequestOp op;
    op.mutable_request_put()->set_key(key);
    op.mutable_request_put()->set_value(value);
    op.mutable_request_put()->set_lease(lease);
    return op;
}
pb::RequestOp range_op(const std::string& key, std::int64_t revision = 0) {
    pb::RequestOp op;
    op.mutable_request_range()->set_key(key);
    op.mutable_request_range()->set_revision(revision);
    return op;
}
pb::RequestOp delete_op(const std::string& key, const std::string& end = "") {
    pb::RequestOp op;
    op.mutable_request_delete_range()->set_key(key);
    op.mutable_request_delete_range()->set_range_end(end);
    return op;
}
base::Result<pb::TxnResponse> txn(const pb::TxnRequest& request) {
    return call<pb::TxnResponse>("KV/Txn", request);
}

// --- revisions

TEST_F(Kv, AnyPutMakesARevisionADeleteOnlyWhenItDeletes) {
    const auto before = put("a", "1");
    EXPECT_EQ(put("a", "1"), before + 1);
    EXPECT_EQ(remove("nothing").header().revision(), before + 1);
    const auto removed = remove("a");
    EXPECT_EQ(removed.deleted(), 1);
    EXPECT_EQ(removed.header().revision(), before + 2);
}

TEST_F(Kv, VersionsAndCreationBeginAnewAfterADelete) {
    put("a", "1");
    put("a", "2");
    remove("a");
    const auto created = put("a", "3");
    const mvccpb::KeyValue kv = range(all())->kvs(0);
    EXPECT_EQ(kv.version(), 1);
    EXPECT_EQ(kv.create_revision(), created);
    EXPECT_EQ(kv.mod_revision(), created);
}

TEST_F(Kv, OperationsOfATransactionShareOneRevisionAndSeeTheEarlierOnes) {
    const auto before = put("z", "0");
    pb::TxnRequest request;
    *request.add_success() = range_op(key("z"));
    *request.add_success() = put_op(key("a"), "1");
    *request.add_success() = put_op(key("b"), "2");
    *request.add_success() = range_op(key("a"));
    *request.add_success() = delete_op(key("z"));
    const auto out = txn(request);
    ASSERT_EQ(error_of(out), "OK");
    EXPECT_TRUE(out->succeeded());
    EXPECT_EQ(out->header().revision(), before + 1);
    EXPECT_EQ(out->responses(0).response_range().header().revision(), before);
    EXPECT_EQ(out->responses(1).response_put().header().revision(), before + 1);
    EXPECT_EQ(out->responses(3).response_range().kvs(0).value(), "1");
    EXPECT_EQ(out->responses(4).response_delete_range().header().revision(), before + 1);
    const auto now = range(all());
    for (const auto& kv : now->kvs())
        EXPECT_EQ(kv.mod_revision(), before + 1) << kv.key();
}

TEST_F(Kv, ATransactionThatChangesNothingKeepsTheRevision) {
    const auto before = put("a", "1");
    pb::TxnRequest request;
    *request.add_success() = delete_op(key("nothing"));
    *request.add_success() = range_op(key("a"));
    EXPECT_EQ(txn(request)->header().revision(), before);
}

// As kube-apiserver writes.
TEST_F(Kv, CompareAndPutElseRead) {
    const auto created = put("a", "1");
    pb::TxnRequest request;
    *request.add_compare() = compare(key("a"), pb::Compare::MOD, pb::Compare::EQUAL, created);
    *request.add_success() = put_op(key("a"), "2");
    *request.add_failure() = range_op(key("a"));
    const auto first = txn(request);
    EXPECT_TRUE(first->succeeded());
    EXPECT_EQ(first->responses(0).response_put().header().revision(), created + 1);
    const auto second = txn(request);
    EXPECT_FALSE(second->succeeded());
    EXPECT_EQ(second->responses(0).response_range().kvs(0).value(), "2");
    EXPECT_EQ(second->header().revision(), created + 1);
}

// --- compares

TEST_F(Kv, OfAMissingKeyEverythingIsZeroButItsValueNeverCompares) {
    const auto holds = [&](const pb::Compare& c) {
        pb::TxnRequest request;
        *request.add_compare() = c;
        return txn(request)->succeeded();
    };
    for (const auto target :
         {pb::Compare::VERSION, pb::Compare::CREATE, pb::Compare::MOD, pb::Compare::LEASE}) {
        EXPECT_TRUE(holds(compare(key("no"), target, pb::Compare::EQUAL, 0))) << target;
        EXPECT_TRUE(holds(compare(key("no"), target, pb::Compare::LESS, 1))) << target;
        EXPECT_FALSE(holds(compare(key("no"), target, pb::Compare::GREATER, 0))) << target;
        EXPECT_TRUE(holds(compare(key("no"), target, pb::Compare::NOT_EQUAL, 7))) << target;
    }
    for (const auto result : {pb::Compare::EQUAL, pb::Compare::NOT_EQUAL, pb::Compare::LESS}) {
        pb::Compare c;
        c.set_key(key("no"));
        c.set_target(pb::Compare::VALUE);
        c.set_result(result);
        c.set_value("x");
        EXPECT_FALSE(holds(c)) << result;
    }
}

TEST_F(Kv, ARangeComparesForAllOfItsKeys) {
    put("a", "1");
    put("b", "1");
    put("b", "2");
    pb::TxnRequest request;
    auto* c = request.add_compare();
    *c = compare(prefix_, pb::Compare::VERSION, pb::Compare::EQUAL, 1);
    c->set_range_end(end());
    EXPECT_FALSE(txn(request)->succeeded());
    c->set_result(pb::Compare::LESS);
    c->set_version(3);
    EXPECT_TRUE(txn(request)->succeeded());
}

// --- what is refused

TEST_F(Kv, AKeyTwiceInABranchIsRefused) {
    const std::string duplicate = "InvalidArgument: etcdserver: duplicate key given in txn request";
    pb::TxnRequest twice;
    *twice.add_success() = put_op(key("a"), "1");
    *twice.add_success() = put_op(key("a"), "2");
    EXPECT_EQ(error_of(txn(twice)), duplicate);
    pb::TxnRequest overlap;
    *overlap.add_success() = put_op(key("b"), "1");
    *overlap.add_success() = delete_op(prefix_, end());
    EXPECT_EQ(error_of(txn(overlap)), duplicate);
    pb::TxnRequest nested;
    *nested.add_success() = put_op(key("a"), "1");
    *nested.add_success()->mutable_request_txn()->add_failure() = put_op(key("a"), "2");
    EXPECT_EQ(error_of(txn(nested)), duplicate);
    pb::TxnRequest branches;
    *branches.add_success() = put_op(key("a"), "1");
    *branches.add_failure() = put_op(key("a"), "2");
    EXPECT_EQ(error_of(txn(branches)), "OK");
}

TEST_F(Kv, AtMost128OperationsABranch) {
    pb::TxnRequest request;
    for (int i = 0; i < 128; ++i)
        *request.add_success() = put_op(key(std::to_string(i)), "1");
    EXPECT_EQ(error_of(txn(request)), "OK");
    *request.add_success() = put_op(key("more"), "1");
    EXPECT_EQ(error_of(txn(request)),
              "InvalidArgument: etcdserver: too many operations in txn request");
    pb::TxnRequest compares;
    for (int i = 0; i < 129; ++i)
        *compares.add_compare() = compare(key("a"), pb::Compare::MOD, pb::Compare::EQUAL, 0);
    EXPECT_EQ(error_of(txn(compares)),
              "InvalidArgument: etcdserver: too many operations in txn request");
}

TEST_F(Kv, NothingIsWrittenWhenALaterOperationFails) {
    const auto before = put("a", "0");
    pb::TxnRequest request;
    *request.add_success() = put_op(key("a"), "1");
    *request.add_success() = put_op(key("b"), "1", 987654);
    EXPECT_EQ(error_of(txn(request)), "NotFound: etcdserver: requested lease not found");
    pb::TxnRequest future;
    *future.add_success() = put_op(key("a"), "1");
    *future.add_success() = range_op(key("a"), before + 1000);
    EXPECT_EQ(error_of(txn(future)),
              "OutOfRange: etcdserver: mvcc: required revision is a future revision");
    EXPECT_EQ(show(), "a=0");
    EXPECT_EQ(revision(), before);
}

TEST_F(Kv, BadRequestsAreRefusedInEtcdsWords) {
    pb::PutRequest empty;
    EXPECT_EQ(error_of(call<pb::PutResponse>("KV/Put", empty)),
              "InvalidArgument: etcdserver: key is not provided");
    pb::PutRequest valued;
    valued.set_key(key("a"));
    valued.set_value("x");
    valued.set_ignore_value(true);
    EXPECT_EQ(error_of(call<pb::PutResponse>("KV/Put", valued)),
              "InvalidArgument: etcdserver: value is provided");
    pb::PutRequest leased;
    leased.set_key(key("a"));
    leased.set_lease(5);
    leased.set_ignore_lease(true);
    EXPECT_EQ(error_of(call<pb::PutResponse>("KV/Put", leased)),
              "InvalidArgument: etcdserver: lease is provided");
    pb::PutRequest missing;
    missing.set_key(key("missing"));
    missing.set_ignore_value(true);
    EXPECT_EQ(error_of(call<pb::PutResponse>("KV/Put", missing)),
              "InvalidArgument: etcdserver: key not found");
    pb::RangeRequest no_key;
    EXPECT_EQ(error_of(range(no_key)), "InvalidArgument: etcdserver: key is not provided");
    auto sort = all();
    sort.set_sort_order(static_cast<pb::RangeRequest::SortOrder>(9));
    // Checked since 3.5.
    EXPECT_EQ(error_of(range(sort)),
              is_reference() ? "OK" : "InvalidArgument: etcdserver: invalid sort option");
    EXPECT_EQ(call_bytes("/etcdserverpb.KV/Nothing", "").error().code, base::Code::kUnimplemented);
}

TEST_F(Kv, IgnoredValuesAndLeasesAreKept) {
    put("a", "1");
    pb::PutRequest request;
    request.set_key(key("a"));
    request.set_ignore_value(true);
    request.set_prev_kv(true);
    const auto out = call<pb::PutResponse>("KV/Put", request);
    EXPECT_EQ(out->prev_kv().value(), "1");
    EXPECT_EQ(show(), "a=1");
    EXPECT_EQ(range(all())->kvs(0).version(), 2);
}

// --- reads

TEST_F(Kv, AReadOfThePastHasThePresentsRevisionInItsHeader) {
    const auto first = put("a", "1");
    const auto second = put("a", "2");
    auto past = all();
    past.set_revision(first);
    EXPECT_EQ(show(past), "a=1");
    EXPECT_EQ(range(past)->header().revision(), second);
    past.set_revision(second + 1);
    EXPECT_EQ(error_of(range(past)),
              "OutOfRange: etcdserver: mvcc: required revision is a future revision");
}

TEST_F(Kv, TheCompactedRevisionCanStillBeRead) {
    const auto first = put("a", "1");
    const auto second = put("a", "2");
    put("a", "3");
    compact(second);
    auto past = all();
    past.set_revision(second);
    EXPECT_EQ(show(past), "a=2");
    past.set_revision(first);
    EXPECT_EQ(error_of(range(past)),
              "OutOfRange: etcdserver: mvcc: required revision has been compacted");
    pb::CompactionRequest again;
    again.set_revision(second);
    EXPECT_EQ(error_of(call<pb::CompactionResponse>("KV/Compact", again)),
              "OutOfRange: etcdserver: mvcc: required revision has been compacted");
    again.set_revision(revision() + 1);
    EXPECT_EQ(error_of(call<pb::CompactionResponse>("KV/Compact", again)),
              "OutOfRange: etcdserver: mvcc: required revision is a future revision");
}

TEST_F(Kv, CountIgnoresLimitAndFiltersMoreDoesNot) {
    const auto first = put("a", "1");
    put("b", "2");
    put("c", "3");
    auto request = all();
    request.set_limit(2);
    auto out = range(request);
    EXPECT_EQ(out->kvs_size(), 2);
    EXPECT_EQ(out->count(), 3);
    EXPECT_TRUE(out->more());
    request.set_limit(3);
    EXPECT_FALSE(range(request)->more());
    auto filtered = all();
    filtered.set_min_mod_revision(first + 1);
    EXPECT_EQ(show(filtered), "b=2 c=3");
    EXPECT_EQ(range(filtered)->count(), 3);
    auto counted = all();
    counted.set_count_only(true);
    EXPECT_EQ(range(counted)->count(), 3);
    EXPECT_EQ(range(counted)->kvs_size(), 0);
    auto keys = all();
    keys.set_keys_only(true);
    EXPECT_EQ(show(keys), "a= b= c=");
}

TEST_F(Kv, SortingLooksAtAllKeysBeforeTheLimit) {
    put("a", "3");
    put("b", "1");
    put("c", "2");
    put("a", "3");
    auto request = all();
    request.set_limit(2);
    request.set_sort_target(pb::RangeRequest::VALUE);
    request.set_sort_order(pb::RangeRequest::DESCEND);
    EXPECT_EQ(show(request), "a=3 c=2");
    request.set_sort_order(pb::RangeRequest::ASCEND);
    EXPECT_EQ(show(request), "b=1 c=2");
    request.set_sort_target(pb::RangeRequest::KEY);
    request.set_sort_order(pb::RangeRequest::DESCEND);
    EXPECT_EQ(show(request), "c=2 b=1");
    // Another target than the key, in no order, is ascending.
    request.set_sort_target(pb::RangeRequest::MOD);
    request.set_sort_order(pb::RangeRequest::NONE);
    EXPECT_EQ(show(request), "b=1 c=2");
}

TEST_F(Kv, IntervalsReachToTheEndOrNowhere) {
    put("a", "1");
    put("b", "2");
    pb::RangeRequest from;
    from.set_key(key("b"));
    from.set_range_end(std::string(1, '\0'));
    ASSERT_GE(range(from)->kvs_size(), 1);
    EXPECT_EQ(range(from)->kvs(0).value(), "2");
    pb::RangeRequest backwards;
    backwards.set_key(key("b"));
    backwards.set_range_end(key("a"));
    EXPECT_EQ(range(backwards)->count(), 0);
}

// A transaction that only reads makes no entry of the log.
TEST_F(Kv, AReadOnlyTransactionBypassesTheLog) {
    put("a", "1");
    const auto index = [] {
        return call<pb::StatusResponse>("Maintenance/Status", pb::StatusRequest())->raftindex();
    };
    pb::TxnRequest request;
    *request.add_success() = range_op(key("a"));
    const auto before = index();
    for (int i = 0; i < 20; ++i)
        EXPECT_EQ(txn(request)->responses(0).response_range().kvs(0).value(), "1");
    EXPECT_LT(index() - before, 20U);
}

TEST_F(Kv, ManyWhoListTheSameAtOnceEachGetTheRevisionThatTheyAreTold) {
    constexpr int kKeys = 500;
    const auto name = [](int i) { return "k" + std::to_string(1000 + i); };
    std::map<std::int64_t, int> written;  // the key, by revision
    for (int i = 0; i < kKeys; ++i)
        written[put(name(i), std::string(200, 'v'))] = i;
    const auto first = written.rbegin()->first;
    struct Question {
        pb::RangeRequest request;
        std::future<base::Result<std::string>> answer;
    };
    std::vector<Question> questions;
    std::vector<std::pair<int, std::future<base::Result<std::string>>>> puts;
    for (int round = 0; round < 20; ++round) {
        for (int i = 0; i < 12; ++i) {
            auto request = all();
            request.set_limit(i % 4 == 1 ? 400 : 0);
            request.set_keys_only(i % 4 == 2);
            request.set_revision(i % 4 == 3 ? first + round / 2 : 0);
            request.set_serializable(i % 3 == 0);
            const std::string bytes = request.SerializeAsString();
            questions.push_back({request, call_later("/etcdserverpb.KV/Range", bytes)});
        }
        pb::PutRequest request;
        request.set_key(key(name(round)));
        request.set_value(std::string(200, 'w'));
        puts.emplace_back(round, call_later("/etcdserverpb.KV/Put", request.SerializeAsString()));
        if (round % 2 != 0) puts.back().second.wait();
    }
    for (auto& [i, answer] : puts) {
        pb::PutResponse put;
        ASSERT_TRUE(put.ParseFromString(answer.get().value()));
        written[put.header().revision()] = i;
    }
    for (auto& [request, answer] : questions) {
        const auto bytes = answer.get();
        if (request.revision() != 0 && !bytes) {
            EXPECT_EQ(bytes.error().code, base::Code::kOutOfRange);  // not there yet
            continue;
        }
        ASSERT_EQ(error_of(bytes), "OK");
        pb::RangeResponse out;
        ASSERT_TRUE(out.ParseFromString(*bytes));
        const auto at = request.revision() != 0 ? request.revision() : out.header().revision();
        std::map<int, std::int64_t> expected;  // mod revisions
        for (const auto& [revision, i] : written)
            if (revision <= at) expected[i] = revision;
        ASSERT_EQ(out.count(), kKeys);
        ASSERT_EQ(out.kvs_size(), request.limit() != 0 ? request.limit() : kKeys);
        EXPECT_EQ(out.more(), request.limit() != 0);
        for (int i = 0; i < out.kvs_size(); ++i) {
            ASSERT_EQ(out.kvs(i).key(), key(name(i)));
            ASSERT_EQ(out.kvs(i).mod_revision(), expected[i]);
            ASSERT_EQ(out.kvs(i).value().size(), request.keys_only() ? 0U : 200U);
        }
    }
}

// --- streamed ranges (newer than 3.6)

TEST_F(Kv, AStreamedRangeIsTheUnaryOneInPieces) {
    if (is_reference()) GTEST_SKIP() << "etcd 3.4 has no RangeStream";
    for (int i = 0; i < 300; ++i)
        put("k" + std::to_string(1000 + i), std::string(2000, 'v'));
    auto request = all();
    request.set_limit(250);
    const auto chunks = call_stream("/etcdserverpb.KV/RangeStream", request.SerializeAsString());
    ASSERT_EQ(error_of(chunks), "OK");
    ASSERT_GT(chunks->size(), 1U);
    pb::RangeResponse merged;
    for (std::size_t i = 0; i < chunks->size(); ++i) {
        pb::RangeStreamResponse chunk;
        ASSERT_TRUE(chunk.ParseFromString((*chunks)[i]));
        const bool last = i + 1 == chunks->size();
        EXPECT_EQ(chunk.range_response().has_header(), last);
        EXPECT_EQ(chunk.range_response().count() != 0, last);
        EXPECT_EQ(chunk.range_response().more(), last);
        merged.MergeFrom(chunk.range_response());
    }
    auto unary = *range(request);
    EXPECT_EQ(merged.kvs_size(), 250);
    EXPECT_EQ(merged.SerializeAsString(), unary.SerializeAsString());
    request.set_sort_target(pb::RangeRequest::MOD);
    request.set_sort_order(pb::RangeRequest::DESCEND);
    const auto sorted = call_stream("/etcdserverpb.KV/RangeStream", request.SerializeAsString());
    EXPECT_EQ(sorted.error().code, base::Code::kUnimplemented);
}

}  // namespace
}  // namespace contract
