#include <google/protobuf/text_format.h>

#include <fstream>
#include <map>

#include "kvstore/mvcc/record.h"
#include "kvstore/mvcc/schema.h"
#include "kvstore/proto/command.pb.h"
#include "mvcc_fixture.h"

namespace kvstore {
namespace {

namespace pb = etcdserverpb;

pb::TxnRequest txn(const std::string& text) {
    pb::TxnRequest out;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &out)) << text;
    return out;
}

std::string value_of(const std::string& record) {
    return record.empty() ? "" : std::string(RecordView::parse(record)->value);
}

TEST(Record, IsTheSameBytesAsTheMessage) {
    mvccpb::KeyValue kv;
    kv.set_key(std::string("a\0b", 3));
    kv.set_value(std::string(300, 'x'));
    kv.set_create_revision(7);
    kv.set_mod_revision(1LL << 40);
    kv.set_version(3);
    kv.set_lease(-5);
    const std::string bytes = kv.SerializeAsString();
    auto view = RecordView::parse(bytes);
    ASSERT_TRUE(view);
    EXPECT_EQ(view->encode(), bytes);
    EXPECT_FALSE(RecordView::parse(bytes.substr(0, bytes.size() - 1)));
}

TEST_F(MvccTest, AnEmptyStoreIsAtRevisionOneAndDeletingNothingKeepsIt) {
    EXPECT_EQ(store_->revision(), 1);
    EXPECT_EQ(del("a"), 0);
    EXPECT_EQ(store_->revision(), 1);
    EXPECT_EQ(put("a", "1"), 2);
    EXPECT_EQ(put("a", "1"), 3);  // the same value again is a change
    EXPECT_EQ(del("a"), 1);
    EXPECT_EQ(store_->revision(), 4);
}

TEST_F(MvccTest, VersionAndCreateRevisionStartAnewAfterADelete) {
    put("a", "1");
    put("a", "2");
    del("a");
    put("a", "3");
    auto out = store_->range(range_request("a"));
    ASSERT_EQ(out->kvs_size(), 1);
    EXPECT_EQ(out->kvs(0).create_revision(), 5);
    EXPECT_EQ(out->kvs(0).version(), 1);
    EXPECT_EQ(show("a", "", 3), "a=2@3");
    EXPECT_EQ(show("a", "", 4), "");
    EXPECT_EQ(show("a", "", 6), "etcdserver: mvcc: required revision is a future revision");
}

TEST_F(MvccTest, RangesCountLimitSortAndFilter) {
    for (const char* key : {"b", "a", "d", "c"})
        put(key, key);
    auto r = range_request("a", "d");
    r.set_limit(2);
    auto out = store_->range(r);
    EXPECT_EQ(out->count(), 3);
    EXPECT_TRUE(out->more());
    EXPECT_EQ(out->kvs_size(), 2);
    r.set_limit(0);
    r.set_sort_target(pb::RangeRequest::MOD);
    r.set_sort_order(pb::RangeRequest::DESCEND);
    out = store_->range(r);
    EXPECT_EQ(out->kvs(0).key(), "c");
    EXPECT_EQ(out->kvs(2).key(), "b");
    r.set_min_mod_revision(3);
    out = store_->range(r);
    EXPECT_EQ(out->kvs_size(), 2);
    EXPECT_EQ(out->count(), 3);  // the count ignores filters
    auto all = range_request("", std::string(1, '\0'));
    all.set_count_only(true);
    EXPECT_EQ(store_->range(all)->count(), 4);
    EXPECT_EQ(store_->range(all)->kvs_size(), 0);
}

TEST_F(MvccTest, KeysWithZeroBytesKeepTheirOrderInHistory) {
    const std::string a0("a\0", 2), a0b("a\0b", 3), a1("a\1", 2);
    for (const auto& key : {a1, a0b, std::string("a"), a0})
        put(key, "old");
    const auto at = store_->revision();
    for (const auto& key : {a1, a0b, std::string("a"), a0})
        put(key, "new");
    auto out = store_->range(range_request("a", "b", at));
    ASSERT_EQ(out->kvs_size(), 4);
    EXPECT_EQ(out->kvs(0).key(), "a");
    EXPECT_EQ(out->kvs(1).key(), a0);
    EXPECT_EQ(out->kvs(2).key(), a0b);
    EXPECT_EQ(out->kvs(3).key(), a1);
    for (const auto& kv : out->kvs())
        EXPECT_EQ(kv.value(), "old");
}

TEST_F(MvccTest, OperationsOfATxnShareOneRevisionAndSeeEachOther) {
    put("a", "1");
    auto out = store_->txn(txn(R"(
        compare { key: "a" target: VALUE result: EQUAL value: "1" }
        success { request_put { key: "b" value: "2" } }
        success { request_range { key: "b" } }
        success { request_delete_range { key: "a" prev_kv: true } }
        success { request_range { key: "a" } }
        failure { request_put { key: "c" } })"));
    ASSERT_TRUE(out);
    EXPECT_TRUE(out->succeeded());
    EXPECT_EQ(out->header().revision(), 3);
    EXPECT_EQ(out->responses(0).response_put().header().revision(), 3);
    EXPECT_EQ(out->responses(1).response_range().kvs(0).value(), "2");
    EXPECT_EQ(out->responses(2).response_delete_range().deleted(), 1);
    EXPECT_EQ(out->responses(2).response_delete_range().header().revision(), 3);
    EXPECT_EQ(out->responses(2).response_delete_range().prev_kvs(0).value(), "1");
    EXPECT_EQ(out->responses(3).response_range().kvs_size(), 0);
    ASSERT_EQ(events_.size(), 2U);
    EXPECT_EQ(events_[1]->events.size(), 2U);
    EXPECT_TRUE(events_[1]->events[1].is_delete);
}

TEST_F(MvccTest, ARangeOfATxnCountsBehindItsLimitWhatTheTxnHasDone) {
    for (const char* key : {"a", "b", "c", "d"})
        put(key, "1");
    const auto revision = store_->revision();
    auto out = store_->txn(txn(R"(
        success { request_put { key: "e" value: "2" } }
        success { request_delete_range { key: "c" } }
        success { request_range { key: "a" range_end: "z" limit: 2 } }
        success { request_range { key: "a" range_end: "z" limit: 4 } })"));
    ASSERT_TRUE(out);
    EXPECT_EQ(out->responses(2).response_range().kvs_size(), 2);
    EXPECT_EQ(out->responses(2).response_range().count(), 4);  // a, b, d and e
    EXPECT_TRUE(out->responses(2).response_range().more());
    EXPECT_EQ(out->responses(3).response_range().kvs_size(), 4);
    EXPECT_EQ(out->responses(3).response_range().count(), 4);
    EXPECT_FALSE(out->responses(3).response_range().more());
    auto before = range_request("a", "z", revision);
    before.set_limit(1);
    EXPECT_EQ(store_->range(before)->count(), 4);
    EXPECT_TRUE(store_->range(before)->more());
}

TEST_F(MvccTest, ARangeOfATxnAtTheRevisionBeforeItDoesNotSeeWhatTheTxnHasDone) {
    put("a", "1");
    put("b", "1");  // revision 3
    auto out = store_->txn(txn(R"(
        success { request_range { key: "a" range_end: "z" revision: 3 } }
        success { request_put { key: "a" value: "2" } }
        success { request_put { key: "c" value: "2" } }
        success { request_delete_range { key: "b" } }
        success { request_range { key: "a" range_end: "z" revision: 3 } }
        success { request_range { key: "b" revision: 3 } }
        success { request_range { key: "a" range_end: "z" revision: 3 count_only: true } }
        success { request_range { key: "a" range_end: "z" } })"));
    ASSERT_TRUE(out);
    EXPECT_EQ(out->responses(0).response_range().header().revision(), 3);
    for (const int i : {0, 4, 7}) {
        std::string seen;
        for (const auto& kv : out->responses(i).response_range().kvs())
            seen += kv.key() + kv.value() + " ";
        EXPECT_EQ(seen, i == 7 ? "a2 c2 " : "a1 b1 ") << i;
    }
    EXPECT_EQ(out->responses(5).response_range().kvs_size(), 1);
    EXPECT_EQ(out->responses(6).response_range().count(), 2);
    EXPECT_EQ(out->responses(7).response_range().header().revision(), 4);
}

TEST_F(MvccTest, ComparesOnMissingKeysAndRanges) {
    struct Case {
        const char* compare;
        bool holds;
    };
    put("r1", "x");
    put("r2", "y");
    const Case kCases[] = {
        {R"(key: "no" target: VALUE result: EQUAL value: "")", false},
        {R"(key: "no" target: VALUE result: NOT_EQUAL value: "x")", false},
        {R"(key: "no" target: VERSION result: EQUAL version: 0)", true},
        {R"(key: "no" target: MOD result: LESS mod_revision: 1)", true},
        {R"(key: "no" target: CREATE result: GREATER create_revision: 0)", false},
        {R"(key: "r" range_end: "s" target: VERSION result: EQUAL version: 1)", true},
        {R"(key: "r" range_end: "s" target: VALUE result: EQUAL value: "x")", false},
        {R"(key: "r1" target: MOD result: EQUAL mod_revision: 2)", true},
        {R"(key: "r1" target: LEASE result: EQUAL lease: 0)", true},
    };
    for (const auto& c : kCases)
        EXPECT_EQ(store_->txn(txn("compare {" + std::string(c.compare) + "}"))->succeeded(),
                  c.holds)
            << c.compare;
}

TEST_F(MvccTest, ATxnThatFailsHalfwayWritesNothing) {
    auto out = store_->txn(txn(R"(
        success { request_put { key: "a" value: "1" } }
        success { request_put { key: "b" value: "2" lease: 77 } })"));
    ASSERT_FALSE(out);
    EXPECT_EQ(out.error().message, "etcdserver: requested lease not found");
    EXPECT_EQ(show("a"), "");
    EXPECT_EQ(store_->revision(), 1);
    out = store_->txn(txn(R"(
        success { request_put { key: "a" value: "1" } }
        success { request_range { key: "a" revision: 99 } })"));
    EXPECT_EQ(out.error().message, "etcdserver: mvcc: required revision is a future revision");
    EXPECT_EQ(show("a"), "");
}

TEST(Validate, RefusesWhatEtcdRefuses) {
    struct Case {
        const char* request;
        const char* error;  // "" when it is good
    };
    const Case kCases[] = {
        {R"(success { request_put { key: "a" } } success { request_put { key: "a" } })",
         "etcdserver: duplicate key given in txn request"},
        {R"(success { request_put { key: "b" } } success { request_delete_range { key: "a" range_end: "c" } })",
         "etcdserver: duplicate key given in txn request"},
        {R"(success { request_put { key: "a" } } failure { request_put { key: "a" } })", ""},
        {R"(success { request_txn { success { request_put { key: "a" } } failure { request_put { key: "a" } } } })",
         ""},
        {R"(success { request_put { key: "a" } } success { request_txn { failure { request_put { key: "a" } } } })",
         "etcdserver: duplicate key given in txn request"},
        {R"(success { request_delete_range { key: "a" } } success { request_delete_range { key: "a" } })",
         ""},
        {R"(success { request_put { } })", "etcdserver: key is not provided"},
        {R"(compare { })", "etcdserver: key is not provided"},
        {R"(success { request_put { key: "a" value: "x" ignore_value: true } })",
         "etcdserver: value is provided"},
    };
    for (const auto& c : kCases) {
        auto status = validate(txn(c.request));
        EXPECT_EQ(status ? "" : status.error().message, c.error) << c.request;
    }
    pb::TxnRequest many;
    for (int i = 0; i < 129; ++i)
        many.add_success()->mutable_request_put()->set_key(std::to_string(i));
    EXPECT_EQ(validate(many).error().message, "etcdserver: too many operations in txn request");
}

TEST_F(MvccTest, CompactionKeepsWhatCanBeReadAndFreesTheRest) {
    for (int i = 0; i < 10; ++i)
        put("a", std::to_string(i));  // revisions 2 to 11
    put("b", "x");                    // 12
    del("b");                         // 13
    put("c", "y");                    // 14
    ASSERT_TRUE(store_->compact(8));
    EXPECT_EQ(store_->compact(8).error().message,
              "etcdserver: mvcc: required revision has been compacted");
    EXPECT_EQ(store_->compact(99).error().message,
              "etcdserver: mvcc: required revision is a future revision");
    const auto hash = store_->hash(0);
    while (store_->scrub(2)) {
    }
    EXPECT_EQ(store_->hash(0).value(), hash.value());
    EXPECT_EQ(show("a", "", 7), "etcdserver: mvcc: required revision has been compacted");
    EXPECT_EQ(show("a", "", 8), "a=6@8");
    EXPECT_EQ(show("a", "", 9), "a=7@9");
    EXPECT_EQ(show("b", "", 12), "b=x@12");
    ASSERT_TRUE(store_->compact(14));
    while (store_->scrub(1)) {
    }
    EXPECT_EQ(show("a", "z"), "a=9@11 c=y@14");
    db_->commit();
    // What is left is what can be read: two records, and the change at the compacted revision.
    std::map<char, int> left;
    auto cursor = db_->cursor();
    for (cursor->seek(""); cursor->valid(); cursor->next())
        ++left[cursor->key()[0]];
    EXPECT_EQ(left['c'], 2);
    EXPECT_EQ(left['v'], 2);
    EXPECT_EQ(left['r'], 1);
}

// Their place is another one, and nothing that can be asked for tells.
TEST_F(MvccTest, LargeValuesLieInTheOrderOfRevisions) {
    const std::string small(schema::kMostInline, 's');
    const std::string large(schema::kMostInline + 1, 'l');
    const auto places = [&](char space) {
        std::string out;
        auto cursor = db_->cursor();
        for (cursor->seek(std::string(1, space)); cursor->valid() && cursor->key()[0] == space;
             cursor->next())
            out += schema::large_user_key(cursor->key());
        return out;
    };
    put("b", large);  // revision 2
    put("a", large);
    put("c", small);
    put("b", small);  // 5
    put("c", large);
    del("a");  // 7
    auto ignoring = txn("");
    auto* again = ignoring.add_success()->mutable_request_put();
    again->set_key("c");
    again->set_ignore_value(true);
    again->set_prev_kv(true);
    const auto answer = store_->txn(ignoring);
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->responses(0).response_put().prev_kv().value(), large);
    for (const bool committed : {false, true}) {
        if (committed) db_->commit();
        EXPECT_EQ(places(schema::kLarge), "bacc") << committed;
        EXPECT_EQ(show("a", "z"), "b=" + small + "@5 c=" + large + "@8");
        EXPECT_EQ(show("a", "z", 4), "a=" + large + "@3 b=" + large + "@2 c=" + small + "@4");
        EXPECT_EQ(show("a", "", 6), "a=" + large + "@3");
        EXPECT_EQ(show("c", "", 8), "c=" + large + "@8");
    }
    MvccStore::HistoryRequest all;
    all.from = 2;
    all.to = 8;
    all.with_previous = true;
    std::int64_t next = 0;
    std::vector<std::string> values, previous;
    for (const auto& revision : store_->history(all, &next)) {
        values.push_back(value_of(revision.events[0].record));
        previous.push_back(value_of(revision.events[0].previous));
        EXPECT_EQ(RecordView::parse(revision.events[0].record)->key, revision.events[0].key);
    }
    EXPECT_EQ(values, (std::vector{large, large, small, small, large, std::string(), large}));
    EXPECT_EQ(previous, (std::vector{std::string(), std::string(), std::string(), large, small,
                                     large, large}));
    ASSERT_TRUE(store_->compact(6));
    const auto hash = store_->hash(0);
    while (store_->scrub(1)) {
    }
    EXPECT_EQ(places(schema::kLarge), "acc");
    EXPECT_EQ(store_->hash(0).value(), hash.value());
    ASSERT_TRUE(store_->compact(8));
    while (store_->scrub(1)) {
    }
    EXPECT_EQ(places(schema::kLarge), "c");
    del("c");
    ASSERT_TRUE(store_->compact(9));
    while (store_->scrub(1)) {
    }
    EXPECT_EQ(places(schema::kLarge), "");
    put("d", large);  // 10
    const auto then = store_->hash(0);
    put("d", large + "x");
    EXPECT_EQ(store_->hash(10).value(), then.value());
    EXPECT_NE(store_->hash(0).value(), then.value());
}

TEST_F(MvccTest, ADeleteAtTheCompactedRevisionIsStillInHistory) {
    put("a", "1");
    del("a");  // revision 3
    ASSERT_TRUE(store_->compact(3));
    while (store_->scrub(100)) {
    }
    MvccStore::HistoryRequest request;
    request.from = 3;
    request.to = 3;
    request.with_previous = true;
    std::int64_t next = 0;
    auto got = store_->history(request, &next);
    ASSERT_EQ(got.size(), 1U);
    EXPECT_TRUE(got[0].events[0].is_delete);
    EXPECT_EQ(got[0].events[0].previous, "");  // compacted
    EXPECT_EQ(next, 4);
    EXPECT_EQ(store_->version("a", 2), "");
}

// However many keys one revision changed, and whatever is interrupted.
TEST_F(MvccTest, ASliceOfScrubbingIsNoLongerThanItsBudget) {
    for (int i = 0; i < 10; ++i)
        put("a" + std::to_string(i), "x");
    del("a", "b");  // revision 12
    put("b", "y");
    ASSERT_TRUE(store_->compact(13));
    db_->commit();
    const auto left = [&](const char* kind) {
        int count = 0;
        auto cursor = db_->cursor();
        for (cursor->seek(kind); cursor->valid() && cursor->key()[0] == *kind; cursor->next())
            ++count;
        return count;
    };
    ASSERT_EQ(left("r"), 21);
    int slices = 0;
    for (bool more = true; more; ++slices) {
        more = store_->scrub(4);
        db_->commit();
        EXPECT_EQ(left("r"), std::max(1, 21 - 4 * (slices + 1)));
        // The process ends in the middle of the deletion's revision.
        if (slices != 3) continue;
        ASSERT_TRUE(db_->sync());
        open();
        EXPECT_TRUE(store_->scrubbing());
    }
    EXPECT_EQ(slices, 6);
    EXPECT_EQ(left("v"), 1);
    EXPECT_EQ(show("a", "z", 13), "b=y@13");
}

TEST_F(MvccTest, RevokingALeaseDeletesItsKeysInOneRevision) {
    ASSERT_TRUE(store_->lease_grant(7, 60));
    EXPECT_EQ(store_->lease_grant(7, 60).error().message, "etcdserver: lease already exists");
    put("b", "1", 7);
    put("a", "1", 7);
    put("c", "1", 7);
    put("c", "2");  // takes it off the lease
    EXPECT_EQ(store_->lease_keys(7), (std::vector<std::string>{"a", "b"}));
    const auto before = store_->revision();
    ASSERT_TRUE(store_->lease_revoke(7));
    EXPECT_EQ(store_->revision(), before + 1);
    EXPECT_EQ(show("a", "z"), "c=2@5");
    EXPECT_EQ(events_.back()->events.size(), 2U);
    EXPECT_EQ(store_->lease_revoke(7).error().message, "etcdserver: requested lease not found");
    EXPECT_TRUE(store_->leases().empty());
}

TEST_F(MvccTest, ReopenedItStandsWhereItWasSynced) {
    put("a", "1");
    db_->commit();
    ASSERT_TRUE(db_->sync());
    put("a", "lost: the log still has it");
    db_->commit();
    put("a", "never committed");
    open();
    EXPECT_EQ(show("a"), "a=1@2");
    EXPECT_EQ(store_->revision(), 2);
}

// Against a model: a map for every revision.
TEST_F(MvccTest, AgreesWithAModelOverRandomHistories) {
    base::Random random(42);
    std::vector<std::map<std::string, std::string>> at(2);
    std::int64_t compacted = 0;
    for (int step = 0; step < 1500; ++step) {
        const std::string key(1, static_cast<char>('a' + random.below(6)));
        auto next = at.back();
        switch (random.below(8)) {
            case 0: {
                const std::string end(1, static_cast<char>(key[0] + 2));
                const auto erased = std::distance(next.lower_bound(key), next.lower_bound(end));
                EXPECT_EQ(del(key, end), erased);
                next.erase(next.lower_bound(key), next.lower_bound(end));
                if (erased > 0) at.push_back(next);
                break;
            }
            case 1:
                if (random.chance(1, 8) && store_->revision() > compacted) {
                    compacted += static_cast<std::int64_t>(random.between(
                        1, static_cast<std::uint64_t>(store_->revision() - compacted)));
                    ASSERT_TRUE(store_->compact(compacted));
                }
                store_->scrub(3);
                break;
            case 2:
                db_->commit();
                break;
            default:
                put(key, std::to_string(step));
                next[key] = std::to_string(step);
                at.push_back(next);
        }
        ASSERT_EQ(store_->revision(), static_cast<std::int64_t>(at.size()) - 1);
        const auto low = static_cast<std::uint64_t>(std::max<std::int64_t>(compacted, 1));
        const auto revision = random.between(low, at.size() - 1);
        auto out = store_->range(range_request("a", "z", static_cast<std::int64_t>(revision)));
        ASSERT_TRUE(out) << out.error().message;
        std::map<std::string, std::string> got;
        for (const auto& kv : out->kvs())
            got[kv.key()] = kv.value();
        ASSERT_EQ(got, at[revision]) << "revision " << revision << " at step " << step;
    }
}

TEST_F(MvccTest, HistoryTellsWhatWasReplaced) {
    put("a", "1");  // revision 2
    put("a", "2");
    put("b", "1");
    put("a", "3");
    del("b");
    put("b", "2");  // 7
    MvccStore::HistoryRequest all;
    all.from = 2;
    all.to = 7;
    all.with_previous = true;
    std::int64_t next = 0;
    std::string seen;
    for (const auto& revision : store_->history(all, &next))
        for (const Event& e : revision.events)
            seen += e.key + value_of(e.record) + "<" + value_of(e.previous) + " ";
    EXPECT_EQ(seen, "a1< a2<1 b1< a3<2 b<1 b2< ");
}

TEST_F(MvccTest, WhatDeletesManyKeysIsKnownBefore) {
    ASSERT_TRUE(store_->lease_grant(7, 60));
    for (int i = 0; i < 5; ++i)
        put("k" + std::to_string(i), "v", i < 3 ? 7 : 0);
    Command command;
    command.mutable_delete_range()->set_key("k0");
    EXPECT_FALSE(store_->deletes_more_than(command, 0));  // one key
    command.mutable_delete_range()->set_range_end("k4");
    EXPECT_TRUE(store_->deletes_more_than(command, 3));
    EXPECT_FALSE(store_->deletes_more_than(command, 4));
    command.mutable_lease_revoke()->set_id(7);
    EXPECT_TRUE(store_->deletes_more_than(command, 2));
    EXPECT_FALSE(store_->deletes_more_than(command, 3));
    auto* txn = command.mutable_txn()->add_failure()->mutable_request_txn();
    for (const char* end : {"k2", "k9"}) {
        auto* erase = txn->add_success()->mutable_request_delete_range();
        erase->set_key("k0");
        erase->set_range_end(end);
    }
    EXPECT_TRUE(store_->deletes_more_than(command, 6));
    EXPECT_FALSE(store_->deletes_more_than(command, 7));
    command.mutable_put()->set_key("k0");
    EXPECT_FALSE(store_->deletes_more_than(command, 0));
}

// A block that is damaged on disk ends the process; it is never a shorter answer.
TEST_F(MvccTest, DamageInATableIsNotReadOver) {
    for (int i = 0; i < 20000; ++i)
        put("k" + std::to_string(100000 + i), base::random_uuid());
    db_->commit();
    ASSERT_TRUE(db_->sync());
    int damaged = 0;
    for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
        if (entry.path().extension() != ".ldb") continue;
        const auto size = std::filesystem::file_size(entry.path());
        std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(static_cast<std::streamoff>(3 * size / 4));  // where the records lie
        file.put('\x5a').put('\x5a').put('\x5a');
        ++damaged;
    }
    ASSERT_GT(damaged, 0);
    open();
    db_->on_failure = [](const base::Error& error) {
        EXPECT_EQ(error.code, base::Code::kDataLoss);
        throw std::runtime_error(error.message);
    };
    EXPECT_THROW(
        {
            auto all = store_->range(range_request("k", "l"));
            EXPECT_EQ(all->count(), 20000);
        },
        std::runtime_error);
}

}  // namespace
}  // namespace kvstore
