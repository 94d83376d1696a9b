// Ranges as RangeReader and RecordCursor read them.

#include "kvstore/mvcc/range_reader.h"

#include <map>

#include "kvstore/mvcc/record.h"
#include "kvstore/mvcc/record_cursor.h"
#include "kvstore/mvcc/schema.h"
#include "mvcc_fixture.h"

namespace kvstore {
namespace {

namespace pb = etcdserverpb;

// What is encoded as it lies is what the messages say.
TEST_F(MvccTest, AReaderInStepsAnswersAsARangeDoes) {
    base::Random random(7);
    for (int i = 0; i < 600; ++i) {
        const std::string key(1 + random.below(2), static_cast<char>('a' + random.below(5)));
        if (random.below(4) == 0)
            del(key);
        else
            put(key, std::string(random.below(3000), 'v'));
        if (i % 50 == 0) db_->commit();
    }
    ASSERT_TRUE(store_->compact(200));
    db_->commit();
    for (int i = 0; i < 400; ++i) {
        auto request = range_request(random.below(2) != 0 ? "a" : "bb",
                                     random.below(2) != 0 ? std::string(1, '\0') : "d",
                                     random.below(2) != 0 ? 0 : 200 + random.between(0, 400));
        request.set_limit(random.between(0, 8));
        request.set_count_only(random.below(5) == 0);
        request.set_keys_only(random.below(5) == 0);
        const auto expected = store_->range(request);
        if (!expected) continue;
        RangeReader::Options options;
        options.interval = schema::KeyInterval::of(request.key(), request.range_end());
        options.revision = request.revision() >= store_->revision() ? 0 : request.revision();
        options.limit = request.limit();
        options.count_only = request.count_only();
        options.keys_only = request.keys_only();
        RangeReader reader(db_, options);
        while (reader.step(3)) {
        }
        std::string bytes;
        for (const auto& piece : reader.take_pieces())
            bytes += piece;
        pb::RangeResponse got;
        ASSERT_TRUE(got.ParseFromString(bytes));
        *got.mutable_header() = expected->header();
        got.set_more(reader.more());
        got.set_count(reader.count());
        EXPECT_EQ(got.SerializeAsString(), expected->SerializeAsString())
            << request.ShortDebugString();
    }
}

// A reader has its answer from the moment it was made, whatever is written meanwhile.
TEST_F(MvccTest, AReaderSeesOneRevision) {
    for (int i = 0; i < 300; ++i)
        put("k" + std::to_string(1000 + i), std::string(i % 2 == 0 ? 1000 : 4000, 'v'));
    db_->commit();
    RangeReader::Options options;
    options.interval = schema::KeyInterval::of("k", "l");
    RangeReader reader(db_, options);
    EXPECT_TRUE(reader.step(10));
    del("k", "l");
    put("k9999", "late");
    ASSERT_TRUE(store_->compact(store_->revision()));
    EXPECT_FALSE(store_->scrub(1000));
    db_->commit();
    while (reader.step(10)) {
    }
    EXPECT_EQ(reader.count(), 300);
    const auto pieces = reader.take_pieces();
    EXPECT_GT(pieces.size(), 1U);
    std::size_t bytes = 0;
    for (const auto& piece : pieces)
        bytes += piece.size();
    EXPECT_GT(bytes, 150 * 1000 + 150 * 4000U);
}

// What is not wanted comes in runs, long enough to be skipped: versions that are too old, and too
// new, and keys that live no more, or not yet.
TEST_F(MvccTest, RunsOfWhatIsNotWantedAreSkippedAndNothingElse) {
    base::Random random(11);
    const std::vector<std::string> keys{
        "a", std::string("a\0", 2), std::string("a\0b", 3), "ab", "b", "c\xff", "d"};
    std::map<std::int64_t, std::map<std::string, std::string>> states;
    std::map<std::string, std::string> state;
    for (int i = 0; i < 600; ++i) {
        // A run on one key, now and then; elsewhere one after the other.
        const std::string& key = keys[i % 100 < 40 ? i / 100 % keys.size() : random.below(7)];
        if (random.below(3) == 0) {
            if (del(key) == 0) continue;
            state.erase(key);
        } else {
            state[key] = std::to_string(i);
            put(key, state[key]);
        }
        states[store_->revision()] = state;
        if (i % 7 == 0) db_->commit();
    }
    for (int i = 0; i < 50; ++i)
        put("b" + std::to_string(10 + i), "x");
    del("b1", "b9");
    states[store_->revision()] = state;
    db_->commit();
    for (const auto& [revision, then] : states) {
        const bool newest = revision == store_->revision();
        RecordCursor cursor(*db_, schema::KeyInterval::of("a", std::string(1, '\0')),
                            newest ? RecordCursor::kNewest : revision);
        std::map<std::string, std::string> seen;
        for (; cursor.valid(); cursor.next())
            seen[cursor.key()] = RecordView::parse(cursor.record())->value;
        ASSERT_EQ(seen, then) << revision;
        RecordCursor part(*db_, schema::KeyInterval::of("ab", "d"), revision);
        std::map<std::string, std::string> rest;
        for (; part.valid(); part.next())
            rest[part.key()] = RecordView::parse(part.record())->value;
        ASSERT_EQ(rest, (std::map<std::string, std::string>(then.lower_bound("ab"),
                                                            then.lower_bound("d"))))
            << revision;
    }
}

}  // namespace
}  // namespace kvstore
