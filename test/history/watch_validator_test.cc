// The validator itself: a faithful watch passes, and each way of lying breaks the rule it should.

#include "test/history/watch_validator.h"

#include <gmock/gmock.h>

namespace watch_validator {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Event put(const std::string& key, std::int64_t revision, std::int64_t created,
          std::int64_t version) {
    return {false, key, {"v" + std::to_string(revision), created, revision, version}, {}};
}
Event del(const std::string& key, std::int64_t revision) {
    return {true, key, {"", 0, revision, 0}, {}};
}

class WatchValidatorTest : public testing::Test {
  protected:
    WatchValidatorTest() {
        // a=2, b=3, {a, c}=4, -b=5, a=6
        for (const Event& e : {put("a", 2, 2, 1), put("b", 3, 3, 1), put("a", 4, 2, 2),
                               put("c", 4, 4, 1), del("b", 5), put("a", 6, 2, 3)})
            EXPECT_EQ(history_.add(e), std::nullopt);
        watch_.name = "w";
        watch_.key = "a";
        watch_.range_end = "z";
        watch_.start_revision = 2;
        watch_.responses = {{3, false, {put("a", 2, 2, 1), put("b", 3, 3, 1)}},
                            {4, false, {put("a", 4, 2, 2), put("c", 4, 4, 1)}},
                            {4, false, {}},
                            {5, false, {del("b", 5)}},
                            {6, false, {put("a", 6, 2, 3)}}};
    }
    std::vector<std::string> faults() const { return validate(watch_, history_); }

    History history_;
    Watch watch_;
};

TEST_F(WatchValidatorTest, WhatHappenedPasses) {
    EXPECT_THAT(faults(), IsEmpty());
    watch_.responses.resize(2);  // a stream that broke
    EXPECT_THAT(faults(), IsEmpty());
    watch_.responses.clear();
    EXPECT_THAT(faults(), IsEmpty());
}

TEST_F(WatchValidatorTest, AnEventLeftOutIsFound) {
    watch_.responses.erase(watch_.responses.begin() + 3);
    EXPECT_THAT(faults(), ElementsAre(HasSubstr("reliable: delete b at 5 was left out")));
}

TEST_F(WatchValidatorTest, ALateBeginningIsFound) {
    watch_.responses[0].events.erase(watch_.responses[0].events.begin());
    EXPECT_THAT(faults(), ElementsAre(HasSubstr("resumable: put a at 2 was left out")));
}

TEST_F(WatchValidatorTest, AnEarlyBeginningIsFound) {
    watch_.start_revision = 3;
    EXPECT_THAT(faults(), Contains(HasSubstr("resumable: put a at 2 before 3")));
}

TEST_F(WatchValidatorTest, ARepetitionIsFound) {
    watch_.responses.push_back({6, false, {put("a", 6, 2, 3)}});
    EXPECT_THAT(faults(), Contains(HasSubstr("unique: put a at 6")));
}

TEST_F(WatchValidatorTest, AWrongOrderIsFound) {
    std::swap(watch_.responses[3], watch_.responses[4]);
    EXPECT_THAT(faults(), Contains(HasSubstr("ordered: delete b at 5 after revision 6")));
}

TEST_F(WatchValidatorTest, ARevisionInTwoPiecesIsFoundUnlessItWasAskedFor) {
    watch_.responses[1].events.pop_back();
    watch_.responses.insert(watch_.responses.begin() + 2, {4, false, {put("c", 4, 4, 1)}});
    EXPECT_THAT(faults(), ElementsAre(HasSubstr("atomic: revision 4")));
    watch_.fragment = true;
    watch_.responses[1].fragment = true;
    EXPECT_THAT(faults(), IsEmpty());
}

TEST_F(WatchValidatorTest, ProgressAheadOfAnEventIsFound) {
    watch_.responses[2].revision = 5;
    EXPECT_THAT(faults(), Contains(HasSubstr("bookmarkable: progress to 5 before delete b at 5")));
}

TEST_F(WatchValidatorTest, WhatWasNotAskedForIsFound) {
    watch_.no_delete = true;
    EXPECT_THAT(faults(), ElementsAre(HasSubstr("filter: delete b at 5")));
    watch_.no_delete = false;
    watch_.range_end = "c";
    EXPECT_THAT(faults(), Contains(HasSubstr("filter: put c at 4")));
}

TEST_F(WatchValidatorTest, AWrongVersionIsFound) {
    watch_.responses[4].events[0].record.version = 1;
    EXPECT_THAT(faults(), ElementsAre(HasSubstr("is-create: put a at 6")));
}

TEST_F(WatchValidatorTest, WrongPreviousVersionsAreFound) {
    watch_.previous = true;
    for (Response& r : watch_.responses)
        for (Event& e : r.events)
            e.previous = history_.at(e.record.mod_revision, e.key)->previous;
    EXPECT_THAT(faults(), IsEmpty());
    watch_.responses[3].events[0].previous.reset();
    EXPECT_THAT(faults(), ElementsAre(HasSubstr("prev-kv: delete b at 5 lacks")));
    watch_.responses[3].events[0].previous = Record{"v2", 2, 2, 1};
    EXPECT_THAT(faults(), ElementsAre(HasSubstr("prev-kv: delete b at 5 has another")));
}

TEST_F(WatchValidatorTest, WhatNeverHappenedIsFound) {
    watch_.responses.push_back({7, false, {put("d", 7, 7, 1)}});
    EXPECT_THAT(faults(), ElementsAre(HasSubstr("reliable: put d at 7 never happened")));
    watch_.responses.pop_back();
    watch_.responses[4].events[0].record.value = "other";
    EXPECT_THAT(faults(), ElementsAre(HasSubstr("another value")));
}

TEST_F(WatchValidatorTest, AHistoryThatIsNoneIsRefused) {
    EXPECT_NE(history_.add(put("a", 7, 2, 5)), std::nullopt);
    EXPECT_NE(history_.add(del("nothing", 8)), std::nullopt);
    EXPECT_NE(history_.add(put("x", 3, 3, 1)), std::nullopt);
}

}  // namespace
}  // namespace watch_validator
