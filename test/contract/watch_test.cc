// What etcd's Watch service promises.

#include "test/contract/client.h"

namespace contract {
namespace {

using Watch = ContractTest;

TEST_F(Watch, CreatedComesFirstAndSaysWhereItBegins) {
    const auto before = put("a", "1");
    WatchStream w;
    w.create(prefix_, end());
    const auto created = w.next();
    EXPECT_TRUE(created.created());
    EXPECT_EQ(created.watch_id(), 0);
    EXPECT_EQ(created.header().revision(), before);
    EXPECT_EQ(created.events_size(), 0);
    put("b", "2");
    const auto event = w.next();
    EXPECT_EQ(names(event), "+b");
    EXPECT_EQ(event.header().revision(), before + 1);
}

TEST_F(Watch, IdsCountFromZeroAndMayBeChosen) {
    WatchStream w;
    for (int i = 0; i < 3; ++i) {
        w.create(key("a"));
        EXPECT_EQ(w.next().watch_id(), i);
    }
    pb::WatchCreateRequest request;
    request.set_key(key("a"));
    request.set_watch_id(77);
    w.create(request);
    EXPECT_EQ(w.next().watch_id(), 77);
    w.create(request);
    const auto twice = w.next();
    EXPECT_TRUE(twice.created());
    EXPECT_TRUE(twice.canceled());
    EXPECT_EQ(twice.watch_id(), -1);
}

TEST_F(Watch, ACancelledWatchSaysSoAndIsSilent) {
    WatchStream w;
    w.create(key("a"));
    EXPECT_TRUE(w.next().created());
    w.cancel(0);
    const auto cancelled = w.next();
    EXPECT_TRUE(cancelled.canceled());
    EXPECT_EQ(cancelled.watch_id(), 0);
    put("a", "1");
    EXPECT_TRUE(w.silent());
}

TEST_F(Watch, ThePastComesInOrderAndThenThePresent) {
    const auto first = put("a", "1");
    put("b", "2");
    remove("a");
    WatchStream w;
    w.create(prefix_, end(), first);
    EXPECT_TRUE(w.next().created());
    std::string seen;
    std::int64_t last = 0;
    put("c", "3");
    while (last < first + 3) {
        const auto r = w.next();
        ASSERT_GT(r.events_size(), 0);
        for (const auto& e : r.events()) {
            EXPECT_GT(e.kv().mod_revision(), last);
            last = e.kv().mod_revision();
        }
        seen += names(r) + " ";
    }
    EXPECT_EQ(seen.substr(0, 2), "+a");
    seen.erase(std::remove(seen.begin(), seen.end(), ' '), seen.end());
    EXPECT_EQ(seen, "+a+b-a+c");
}

TEST_F(Watch, ARevisionComesInOnePiece) {
    WatchStream w;
    w.create(prefix_, end());
    EXPECT_TRUE(w.next().created());
    pb::TxnRequest request;
    for (int i = 0; i < 100; ++i) {
        auto* p = request.add_success()->mutable_request_put();
        p->set_key(key(std::to_string(100 + i)));
        p->set_value(std::string(5000, 'v'));
    }
    EXPECT_EQ(error_of(call<pb::TxnResponse>("KV/Txn", request)), "OK");
    const auto r = w.next();
    EXPECT_EQ(r.events_size(), 100);
    EXPECT_FALSE(r.fragment());
}

TEST_F(Watch, FragmentsTogetherAreTheRevision) {
    WatchStream w;
    pb::WatchCreateRequest create;
    create.set_key(prefix_);
    create.set_range_end(end());
    create.set_fragment(true);
    create.set_prev_kv(true);
    for (int i = 0; i < 120; ++i)
        put(std::to_string(100 + i), std::string(10'000, 'o'));
    w.create(create);
    EXPECT_TRUE(w.next().created());
    // The request stays below the limit; with the previous values the answer is twice as large.
    pb::TxnRequest request;
    for (int i = 0; i < 120; ++i) {
        auto* p = request.add_success()->mutable_request_put();
        p->set_key(key(std::to_string(100 + i)));
        p->set_value(std::string(10'000, 'v'));
    }
    EXPECT_EQ(error_of(call<pb::TxnResponse>("KV/Txn", request)), "OK");
    int events = 0;
    for (bool more = true; more;) {
        const auto r = w.next();
        ASSERT_GT(r.events_size(), 0);
        events += r.events_size();
        more = r.fragment();
    }
    EXPECT_EQ(events, 120);
}

TEST_F(Watch, FiltersLeaveOutPutsOrDeletes) {
    for (const auto filter : {pb::WatchCreateRequest::NOPUT, pb::WatchCreateRequest::NODELETE}) {
        WatchStream w;
        pb::WatchCreateRequest request;
        request.set_key(key("a"));
        request.add_filters(filter);
        w.create(request);
        EXPECT_TRUE(w.next().created());
        put("a", "1");
        remove("a");
        EXPECT_EQ(names(w.next()), filter == pb::WatchCreateRequest::NOPUT ? "-a" : "+a");
        EXPECT_TRUE(w.silent());
    }
}

TEST_F(Watch, DeletesCarryKeyAndRevisionOnly) {
    put("a", "1");
    WatchStream w;
    w.create(key("a"));
    EXPECT_TRUE(w.next().created());
    const auto at = remove("a").header().revision();
    const auto r = w.next();
    ASSERT_EQ(r.events_size(), 1);
    mvccpb::KeyValue wanted;
    wanted.set_key(key("a"));
    wanted.set_mod_revision(at);
    EXPECT_EQ(r.events(0).kv().SerializeAsString(), wanted.SerializeAsString());
    EXPECT_FALSE(r.events(0).has_prev_kv());
}

TEST_F(Watch, PreviousVersionsAreTheOnesReplaced) {
    WatchStream w;
    w.create(key("a"), "", 0, true);
    EXPECT_TRUE(w.next().created());
    const auto first = put("a", "1");
    put("a", "2");
    remove("a");
    std::vector<mvccpb::Event> events;
    while (events.size() < 3) {
        const auto r = w.next();
        ASSERT_GT(r.events_size(), 0);
        events.insert(events.end(), r.events().begin(), r.events().end());
    }
    EXPECT_FALSE(events[0].has_prev_kv());
    EXPECT_EQ(events[1].prev_kv().value(), "1");
    EXPECT_EQ(events[1].prev_kv().mod_revision(), first);
    EXPECT_EQ(events[2].prev_kv().value(), "2");
    EXPECT_EQ(events[2].prev_kv().version(), 2);
}

TEST_F(Watch, ACompactedPreviousVersionIsLeftOut) {
    put("a", "1");
    const auto second = put("a", "2");
    const auto third = put("a", "3");
    compact(second);
    WatchStream w;
    w.create(key("a"), "", second, true);
    EXPECT_TRUE(w.next().created());
    std::vector<mvccpb::Event> events;
    while (events.size() < 2) {
        const auto r = w.next();
        ASSERT_GT(r.events_size(), 0);
        events.insert(events.end(), r.events().begin(), r.events().end());
    }
    EXPECT_FALSE(events[0].has_prev_kv());
    EXPECT_EQ(events[1].kv().mod_revision(), third);
    EXPECT_EQ(events[1].prev_kv().value(), "2");
}

TEST_F(Watch, ACompactedStartIsCreatedAndThenCancelledWithTheRevision) {
    const auto first = put("a", "1");
    put("a", "2");
    const auto third = put("a", "3");
    compact(third);
    WatchStream w;
    w.create(key("a"), "", first);
    const auto created = w.next();
    EXPECT_TRUE(created.created());
    EXPECT_FALSE(created.canceled());
    const auto cancelled = w.next();
    EXPECT_TRUE(cancelled.canceled());
    EXPECT_EQ(cancelled.compact_revision(), third);
    EXPECT_EQ(cancelled.watch_id(), created.watch_id());
}

// etcd #19179: the delete was dropped. Known of 3.4, too.
TEST_F(Watch, ADeleteAtTheCompactedRevisionIsDelivered) {
    if (is_reference()) GTEST_SKIP() << "a fault of etcd before 3.6";
    put("a", "1");
    put("b", "1");
    const auto at = remove("a").header().revision();
    put("b", "2");
    compact(at);
    WatchStream w;
    w.create(prefix_, end(), at);
    EXPECT_TRUE(w.next().created());
    std::string seen = names(w.next());
    if (seen.find("+b") == std::string::npos) seen += " " + names(w.next());
    EXPECT_EQ(seen, "-a +b");
}

// etcd #18089: a delete was lost to a watcher that was behind while the store compacted.
TEST_F(Watch, ADeleteJustAboveTheCompactedRevisionIsDelivered) {
    put("a", "1");
    const auto compacted = put("b", "1");
    remove("a");
    compact(compacted);
    WatchStream w;
    w.create(prefix_, end(), compacted);
    EXPECT_TRUE(w.next().created());
    std::string seen = names(w.next());
    if (seen.find("-a") == std::string::npos) seen += " " + names(w.next());
    EXPECT_EQ(seen, "+b -a");
}

// etcd #20221: no events before its start, and no progress that would skip it.
TEST_F(Watch, AWatchOnTheFutureGetsNeitherOldEventsNorEarlyProgress) {
    const auto now = put("a", "1");
    WatchStream w;
    w.create(key("a"), "", now + 3);
    EXPECT_TRUE(w.next().created());
    put("a", "2");
    put("a", "3");
    EXPECT_TRUE(w.silent());
    put("a", "4");
    const auto r = w.next();
    ASSERT_EQ(r.events_size(), 1);
    EXPECT_EQ(r.events(0).kv().mod_revision(), now + 3);
}

TEST_F(Watch, ProgressOnRequestIsForAllOfTheStream) {
    const auto at = put("a", "1");
    WatchStream w;
    w.create(key("a"));
    w.create(key("b"));
    EXPECT_TRUE(w.next().created());
    EXPECT_TRUE(w.next().created());
    // A watcher that was just made may not be in step yet: then there is silence.
    pb::WatchResponse progress;
    for (int i = 0; i < 50; ++i) {
        w.ask_for_progress();
        if (!w.silent(1)) break;
    }
    w.ask_for_progress();
    progress = w.next();
    EXPECT_EQ(progress.watch_id(), -1);
    EXPECT_EQ(progress.events_size(), 0);
    EXPECT_GE(progress.header().revision(), at);
}

TEST_F(Watch, AnEmptyKeyIsTheFirstOfAll) {
    const auto before = put("a", "1");
    WatchStream w;
    w.create("", std::string(1, '\0'), before);
    EXPECT_TRUE(w.next().created());
    EXPECT_EQ(names(w.next()), "+a");
}

TEST_F(Watch, ManyWatchesOnOneStreamGetWhatIsTheirs) {
    constexpr int kWatches = 500;
    WatchStream w;
    for (int i = 0; i < kWatches; ++i)
        w.create(key(std::to_string(i)));
    for (int i = 0; i < kWatches; ++i)
        EXPECT_TRUE(w.next().created());
    for (int i = 0; i < kWatches; i += 50)
        put(std::to_string(i), "x");
    for (int i = 0; i < kWatches; i += 50) {
        const auto r = w.next();
        EXPECT_EQ(r.watch_id(), i);
        EXPECT_EQ(names(r), "+" + std::to_string(i));
    }
}

// etcd #15402, #17529: a large answer on the connection starved its watches.
TEST_F(Watch, LargeAnswersOnTheSameConnectionDoNotStarveIt) {
    for (int i = 0; i < 200; ++i)
        put("large/" + std::to_string(1000 + i), std::string(100'000, 'x'));
    WatchStream w;
    w.create(key("small"));
    EXPECT_TRUE(w.next().created());
    pb::RangeRequest large;
    large.set_key(key("large/"));
    large.set_range_end(key("large0"));
    put("small", "1");
    EXPECT_EQ(range(large)->kvs_size(), 200);
    EXPECT_EQ(names(w.next()), "+small");
    remove("large/", "large0");
}

}  // namespace
}  // namespace contract
