#include "kvstore/core/watch_hub.h"

#include "mvcc_fixture.h"

namespace kvstore {
namespace {

class WatchHubTest : public MvccTest {
  protected:
    struct Sink : WatchSink {
        bool ready() const override { return is_ready; }
        void deliver(std::int64_t, const WatchBatchPtr& batch) override {
            for (const Event* e : batch->events) {
                text += (text.empty() ? "" : " ") + std::string(e->is_delete ? "-" : "+") + e->key;
                if (!e->previous.empty()) text += "!";
            }
            if (distinct) {
                EXPECT_GT(batch->revision, last_revision);
            }
            last_revision = batch->revision;
        }
        void compacted(std::int64_t, std::int64_t at) override { compacted_at = at; }
        bool is_ready = true;
        bool distinct = true;  // it is one watcher's only
        std::string text;
        std::int64_t last_revision = 0;
        std::int64_t compacted_at = 0;
    };

    std::int64_t watch(Sink* sink, const std::string& key, const std::string& end = "",
                       std::int64_t start = 0) {
        WatchHub::Request r;
        r.key = key;
        r.range_end = end;
        r.start_revision = start;
        r.previous = true;
        return hub_.add(r, sink);
    }
    void flush() {
        hub_.notify(events_);
        events_.clear();
    }
    void pump() {
        while (hub_.pump()) {
        }
    }

    WatchHub hub_{*store_};
};

TEST_F(WatchHubTest, SyncedWatchersGetWhatTheirKeysAndRangesTouch) {
    Sink one, range, all;
    watch(&one, "b");
    watch(&range, "a", "c");
    watch(&all, "", std::string(1, '\0'));
    put("a", "1");
    put("b", "1");
    del("a");
    put("c", "1");
    flush();
    EXPECT_EQ(one.text, "+b");
    EXPECT_EQ(range.text, "+a +b -a!");
    EXPECT_EQ(all.text, "+a +b -a! +c");
}

TEST_F(WatchHubTest, AWatcherThatIsNotReadyReadsOnFromHistoryAndLosesNothing) {
    Sink slow;
    const auto id = watch(&slow, "a", "z");
    put("a", "1");
    flush();
    slow.is_ready = false;
    for (int i = 0; i < 2000; ++i)
        put("b", "1");
    flush();
    EXPECT_FALSE(hub_.synced(id));
    EXPECT_EQ(slow.text, "+a");
    slow.is_ready = true;
    pump();
    EXPECT_TRUE(hub_.synced(id));
    EXPECT_EQ(std::count(slow.text.begin(), slow.text.end(), 'b'), 2000);
    put("c", "1");
    flush();
    EXPECT_TRUE(slow.text.ends_with("+c"));
}

// Of a thousand watchers on a few streams each stream stands somewhere else.
TEST_F(WatchHubTest, WatchersWhoFellBehindTogetherShareWhatIsRead) {
    std::array<Sink, 10> sinks;
    for (int i = 0; i < 1000; ++i)
        watch(&sinks[i % sinks.size()], "a", "z");
    for (auto& sink : sinks)
        sink.is_ready = false;
    for (int i = 0; i < 700; ++i)
        put("b", "1");
    flush();
    EXPECT_EQ(hub_.behind(), 1000U);
    for (auto& sink : sinks) {
        sink.is_ready = true;
        sink.distinct = false;
        pump();
        sink.is_ready = false;
        EXPECT_EQ(std::count(sink.text.begin(), sink.text.end(), 'b'), 700 * 100);
    }
    EXPECT_EQ(hub_.behind(), 0U);
    EXPECT_EQ(hub_.history_reads(), 2U);  // of 512 and the rest
}

TEST_F(WatchHubTest, ASliceOfPumpIsBounded) {
    Sink past;
    for (int i = 0; i < 100; ++i)
        put("k" + std::to_string(i), "1");
    for (int i = 0; i < 100; ++i)
        watch(&past, "k" + std::to_string(i), "", 2);
    past.distinct = false;
    events_.clear();
    EXPECT_TRUE(hub_.pump());
    EXPECT_GT(hub_.behind(), 50U);
    pump();
    EXPECT_EQ(hub_.behind(), 0U);
    EXPECT_EQ(std::count(past.text.begin(), past.text.end(), '+'), 100);
}

// Looking through a long history for one key must not hold the loop up either.
TEST_F(WatchHubTest, ManyAreHandedABatchInSlices) {
    std::array<Sink, 10> sinks;
    std::array<std::int64_t, 10> ids{};
    for (std::size_t i = 0; i < sinks.size(); ++i)
        ids[i] = watch(&sinks[i], "a", "z");
    int wanted = 0;
    hub_.wants_pump = [&] { ++wanted; };
    hub_.slice = 4;
    put("b", "1");
    flush();
    EXPECT_EQ(wanted, 1);
    EXPECT_EQ(sinks[3].text, "+b");
    EXPECT_EQ(sinks[4].text, "");
    EXPECT_TRUE(hub_.synced(ids[3]));
    EXPECT_FALSE(hub_.synced(ids[4]));
    hub_.remove(ids[0]);
    hub_.remove(ids[9]);
    Sink late;
    const auto late_id = watch(&late, "a", "z");
    EXPECT_TRUE(hub_.pump());
    EXPECT_EQ(sinks[7].text, "+b");
    EXPECT_EQ(sinks[8].text, "");
    // Another batch does not overtake the first.
    put("c", "1");
    flush();
    hub_.settle();
    EXPECT_EQ(sinks[8].text, "+b +c");
    pump();
    for (std::size_t i = 1; i < 9; ++i) {
        EXPECT_EQ(sinks[i].text, "+b +c") << i;
        EXPECT_TRUE(hub_.synced(ids[i]));
    }
    EXPECT_EQ(late.text, "+c");
    EXPECT_TRUE(hub_.synced(late_id));
    EXPECT_EQ(sinks[0].text, "+b");
    EXPECT_EQ(sinks[9].text, "");
}

TEST_F(WatchHubTest, WhatIsForOneStreamIsHandedToItInARow) {
    struct Noting : Sink {
        void deliver(std::int64_t, const WatchBatchPtr&) override { *order += name; }
        std::string* order = nullptr;
        char name = 0;
    };
    std::string order;
    std::array<Noting, 3> sinks;
    for (std::size_t i = 0; i < sinks.size(); ++i) {
        sinks[i].order = &order;
        sinks[i].name = static_cast<char>('a' + i);
    }
    for (std::size_t i = 0; i < 12; ++i)
        watch(&sinks[i % 3], "a", "z");
    put("b", "1");
    flush();
    EXPECT_EQ(order, "aaaabbbbcccc");
}

// Whatever happens between the slices.
TEST_F(WatchHubTest, EveryoneGetsEveryChangeOnceAndInOrder) {
    struct Counting : Sink {
        std::int64_t id = 0;
        std::string expected;
    };
    base::Random random(5);
    for (int round = 0; round < 40; ++round) {
        std::vector<std::unique_ptr<Counting>> sinks;
        hub_.wants_pump = [] {};
        for (int step = 0; step < 400; ++step) {
            hub_.slice = 1 + random.below(4);
            switch (random.below(6)) {
                case 0:
                    sinks.push_back(std::make_unique<Counting>());
                    sinks.back()->id = random.below(3) == 0 ? watch(sinks.back().get(), "k")
                                                            : watch(sinks.back().get(), "a", "z");
                    break;
                case 1:
                    if (sinks.empty()) break;
                    {
                        const auto at =
                            sinks.begin() + static_cast<long>(random.below(sinks.size()));
                        hub_.remove((*at)->id);
                        sinks.erase(at);
                    }
                    break;
                case 2:
                    if (!sinks.empty())
                        sinks[random.below(sinks.size())]->is_ready = random.below(3) != 0;
                    break;
                case 3:
                    (void)hub_.pump();
                    break;
                case 4:
                    if (random.below(10) == 0) hub_.settle();
                    break;
                default:
                    put("k", "1");
                    flush();
                    for (auto& sink : sinks)
                        sink->expected += sink->expected.empty() ? "+k" : " +k";
            }
        }
        for (auto& sink : sinks)
            sink->is_ready = true;
        pump();
        for (auto& sink : sinks) {
            std::erase(sink->text, '!');
            ASSERT_EQ(sink->text, sink->expected) << "round " << round;
            ASSERT_TRUE(hub_.synced(sink->id));
            hub_.remove(sink->id);
        }
    }
}

TEST_F(WatchHubTest, AKeyThatChangedLongAgoIsFoundInSlices) {
    put("a", "1");
    for (int i = 0; i < 25'000; ++i)
        put("b", "1");
    put("a", "2");
    events_.clear();
    Sink past;
    const auto id = watch(&past, "a", "", 2);
    int slices = 1;
    while (hub_.pump())
        ++slices;
    EXPECT_EQ(slices, 3);
    EXPECT_EQ(past.text, "+a +a!");
    EXPECT_TRUE(hub_.synced(id));
}

TEST_F(WatchHubTest, WhatIsSharedIsFilteredForWhoWantsLess) {
    put("a", "1");
    del("a");
    put("a", "2");
    events_.clear();
    Sink all, puts, later;
    watch(&all, "a", "", 2);
    WatchHub::Request request;
    request.key = "a";
    request.start_revision = 2;
    request.no_delete = true;
    hub_.add(request, &puts);
    watch(&later, "a", "", 3);
    pump();
    EXPECT_EQ(all.text, "+a -a! +a");
    EXPECT_EQ(puts.text, "+a +a");
    EXPECT_EQ(later.text, "-a! +a");
    EXPECT_EQ(hub_.history_reads(), 2U);
}

TEST_F(WatchHubTest, StartsFromThePastAndFromTheFuture) {
    put("a", "1");  // 2
    put("a", "2");  // 3
    Sink past, future;
    watch(&past, "a", "", 3);
    watch(&future, "a", "", 6);
    events_.clear();
    pump();
    EXPECT_EQ(past.text, "+a!");
    for (int i = 0; i < 3; ++i)
        put("a", "3");  // 4, 5, 6
    flush();
    EXPECT_EQ(past.text, "+a! +a! +a! +a!");
    EXPECT_EQ(future.text, "+a!");
}

// Seed 440 of the simulator: a watcher resumed at a member that lags behind what it has seen.
TEST_F(WatchHubTest, AWatcherInTheFutureThatIsNotReadyStaysThere) {
    Sink ahead;
    const auto id = watch(&ahead, "a", "z", store_->revision() + 3);
    ahead.is_ready = false;
    put("a", "1");  // it has seen this one,
    flush();
    put("b", "1");  // and this one
    flush();
    pump();
    ahead.is_ready = true;
    pump();
    EXPECT_TRUE(hub_.synced(id));
    put("c", "1");
    flush();
    EXPECT_EQ(ahead.text, "+c");
}

TEST_F(WatchHubTest, ACompactedStartIsToldWithTheRevision) {
    for (int i = 0; i < 5; ++i)
        put("a", "1");
    events_.clear();
    ASSERT_TRUE(store_->compact(5));
    Sink before, at;
    watch(&before, "a", "", 4);
    watch(&at, "a", "", 5);
    pump();
    EXPECT_EQ(before.compacted_at, 5);
    EXPECT_EQ(at.compacted_at, 0);
    EXPECT_EQ(at.text, "+a +a!");  // the first one's predecessor is compacted
    EXPECT_EQ(hub_.size(), 1U);
}

TEST_F(WatchHubTest, AQuietWatcherThatTurnsSlowLateIsNotTakenForCompacted) {
    Sink quiet;
    watch(&quiet, "q");
    for (int i = 0; i < 5; ++i)
        put("a", "1");
    flush();
    ASSERT_TRUE(store_->compact(store_->revision()));
    quiet.is_ready = false;
    put("q", "1");
    flush();
    quiet.is_ready = true;
    pump();
    EXPECT_EQ(quiet.compacted_at, 0);
    EXPECT_EQ(quiet.text, "+q");
}

}  // namespace
}  // namespace kvstore
