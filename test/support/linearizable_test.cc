#include "test/support/linearizable.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/random.h"

namespace linearizable {
namespace {

// Histories are written one operation a line: begin, end (0: no answer), what.
Operation at(std::uint64_t begin, std::uint64_t end, Kind kind) {
    Operation o;
    o.key = "k";
    o.kind = kind;
    o.process = begin;
    o.invoked_us = begin;
    if (end > 0) o.returned_us = end;
    return o;
}
Operation put(std::uint64_t begin, std::uint64_t end, std::string value, std::int64_t rev = 0) {
    Operation o = at(begin, end, Kind::kPut);
    o.value = std::move(value);
    o.revision = rev;
    return o;
}
Operation get(std::uint64_t begin, std::uint64_t end, std::string value, std::int64_t mod = 0) {
    Operation o = at(begin, end, Kind::kGet);
    o.seen = Seen{!value.empty(), value, mod};
    return o;
}
Operation erase(std::uint64_t begin, std::uint64_t end, bool found, std::int64_t rev = 0) {
    Operation o = at(begin, end, Kind::kDelete);
    o.succeeded = found;
    o.revision = rev;
    return o;
}
Operation cas(std::uint64_t begin, std::uint64_t end, std::int64_t expected, std::string value,
              bool ok, std::int64_t rev = 0) {
    Operation o = at(begin, end, Kind::kCas);
    o.expected = expected;
    if (!value.empty()) o.value = std::move(value);
    o.succeeded = ok;
    o.revision = rev;
    return o;
}

bool holds(const std::vector<Operation>& history) {
    const Outcome outcome = check(history);
    EXPECT_NE(outcome.verdict, Verdict::kUndecided);
    return outcome.verdict == Verdict::kLinearizable;
}

TEST(Linearizable, OperationsOneAfterAnother) {
    EXPECT_TRUE(holds({}));
    EXPECT_TRUE(holds({get(1, 2, ""), put(3, 4, "a"), get(5, 6, "a"), erase(7, 8, true),
                       get(9, 10, ""), erase(11, 12, false)}));
}

TEST(Linearizable, AStaleReadIsFound) {
    EXPECT_FALSE(holds({put(1, 2, "a"), put(3, 4, "b"), get(5, 6, "a")}));
    EXPECT_FALSE(holds({put(1, 2, "a"), get(3, 4, "")}));
}

TEST(Linearizable, ALostWriteIsFound) {
    EXPECT_FALSE(holds({put(1, 2, "a"), put(3, 4, "b"), get(5, 6, "a"), get(7, 8, "a")}));
    EXPECT_FALSE(holds({put(1, 2, "a"), erase(3, 4, false)}));
}

TEST(Linearizable, AValueThatNobodyWroteIsFound) {
    EXPECT_FALSE(holds({put(1, 2, "a"), get(3, 4, "b")}));
}

TEST(Linearizable, OverlappingOperationsMayGoEitherWay) {
    EXPECT_TRUE(holds({put(1, 10, "a"), put(2, 9, "b"), get(11, 12, "a")}));
    EXPECT_TRUE(holds({put(1, 10, "a"), put(2, 9, "b"), get(11, 12, "b")}));
    EXPECT_TRUE(holds({put(1, 10, "a"), get(2, 3, ""), get(4, 5, "a")}));
}

TEST(Linearizable, ReadsMayNotGoBack) {
    // The write is under way all the time, but once it was seen it stays.
    EXPECT_FALSE(holds({put(1, 10, "a"), get(2, 3, "a"), get(4, 5, "")}));
    EXPECT_FALSE(holds({put(1, 2, "a"), put(3, 20, "b"), get(4, 8, "b"), get(9, 12, "a")}));
}

TEST(Linearizable, WhatHasNoAnswerMayHaveHappenedAtAnyTimeOrNever) {
    EXPECT_TRUE(holds({put(1, 2, "a"), put(3, 0, "b"), get(4, 5, "a"), get(6, 7, "a")}));
    EXPECT_TRUE(holds({put(1, 2, "a"), put(3, 0, "b"), get(4, 5, "a"), get(6, 7, "b")}));
    EXPECT_FALSE(
        holds({put(1, 2, "a"), put(3, 0, "b"), get(4, 5, "b"), get(6, 7, "a"), get(8, 9, "b")}));
    // Not before its call.
    EXPECT_FALSE(holds({put(1, 2, "a"), get(3, 4, "b"), put(5, 0, "b")}));
}

TEST(Linearizable, AnUnknownDeleteExplainsWhatIsMissing) {
    EXPECT_TRUE(holds({put(1, 2, "a"), erase(3, 0, true), get(4, 5, "")}));
    EXPECT_FALSE(holds({put(1, 2, "a"), get(3, 4, ""), erase(5, 0, true)}));
}

TEST(Linearizable, OfTwoThatCompareWithOneRevisionOneWins) {
    EXPECT_TRUE(holds({put(1, 2, "a", 5), cas(3, 10, 5, "b", true, 6), cas(4, 9, 5, "c", false)}));
    EXPECT_FALSE(
        holds({put(1, 2, "a", 5), cas(3, 10, 5, "b", true, 6), cas(4, 9, 5, "c", true, 7)}));
    EXPECT_FALSE(holds({cas(1, 10, 0, "b", true), cas(2, 9, 0, "c", true)}));
    // Neither wins although nothing else happened.
    EXPECT_FALSE(holds({put(1, 2, "a", 5), cas(3, 10, 5, "b", false), cas(4, 9, 5, "c", false)}));
}

TEST(Linearizable, ACasWithoutAnAnswerCountsOnlyIfItsConditionHeld) {
    EXPECT_TRUE(holds({put(1, 2, "a", 5), cas(3, 0, 5, "b", false), get(4, 5, "b")}));
    EXPECT_FALSE(holds({put(1, 2, "a", 5), cas(3, 0, 4, "b", false), get(4, 5, "b")}));
    EXPECT_TRUE(holds({put(1, 2, "a", 5), cas(3, 0, 5, "", false), get(4, 5, "")}));
}

TEST(Linearizable, AFailedCasThatReadIsARead) {
    auto failed = cas(5, 6, 5, "c", false);
    failed.seen = Seen{true, "b", 6};
    EXPECT_TRUE(holds({put(1, 2, "a", 5), put(3, 4, "b", 6), failed}));
    failed.seen = Seen{true, "a", 5};
    EXPECT_FALSE(holds({put(1, 2, "a", 5), put(3, 4, "b", 6), failed}));
    failed.seen = Seen{false, "", 0};
    EXPECT_FALSE(holds({put(1, 2, "a", 5), put(3, 4, "b", 6), failed}));
}

TEST(Linearizable, RevisionsMustMatchAndGrow) {
    EXPECT_TRUE(holds({put(1, 2, "a", 5), get(3, 4, "a", 5)}));
    EXPECT_FALSE(holds({put(1, 2, "a", 5), get(3, 4, "a", 6)}));
    // Overlapping puts of one value, told apart by their revisions.
    EXPECT_FALSE(holds({put(1, 9, "a", 5), put(2, 8, "a", 6), get(10, 11, "a", 5)}));
    // A put without an answer has some revision after those before it, the same for all readers.
    EXPECT_TRUE(holds({put(1, 2, "a", 5), put(3, 0, "b"), get(4, 5, "b", 8), get(6, 7, "b", 8)}));
    EXPECT_FALSE(holds({put(1, 2, "a", 5), put(3, 0, "b"), get(4, 5, "b", 4)}));
    EXPECT_FALSE(holds({put(1, 2, "a", 5), put(3, 0, "b"), get(4, 5, "b", 8), get(6, 7, "b", 9)}));
}

TEST(Linearizable, EachKeyIsJudgedByItself) {
    auto other = get(5, 6, "x");
    other.key = "other";
    const Outcome outcome = check({put(1, 2, "a"), get(3, 4, "a"), other});
    EXPECT_EQ(outcome.verdict, Verdict::kNotLinearizable);
    EXPECT_EQ(outcome.key, "other");
    EXPECT_NE(outcome.explanation.find("get other"), std::string::npos) << outcome.explanation;
}

TEST(Linearizable, ASearchThatTakesTooLongIsUndecided) {
    std::vector<Operation> history;
    for (std::uint64_t i = 0; i < 30; ++i)
        history.push_back(put(1 + i, 100, "v" + std::to_string(i)));
    history.push_back(get(101, 102, "never written"));
    EXPECT_EQ(check(history, {.max_steps = 1000}).verdict, Verdict::kUndecided);
}

TEST(Linearizable, RevisionsAcrossKeys) {
    auto a = put(1, 2, "a", 5);
    auto b = put(3, 4, "b", 6);
    b.key = "other";
    auto read = get(5, 6, "b", 6);
    read.key = "other";
    read.revision = 6;
    EXPECT_EQ(check_revisions({a, b, read}), std::nullopt);
    b.revision = 4;
    EXPECT_NE(check_revisions({a, b}), std::nullopt);
    b.revision = 5;
    EXPECT_NE(check_revisions({a, b}), std::nullopt);
    b.revision = 6;
    read.revision = 5;
    EXPECT_NE(check_revisions({a, b, read}), std::nullopt);
    // Overlapping ones have an order, too, but only one of them a revision.
    EXPECT_NE(check_revisions({put(1, 10, "a", 5), put(2, 9, "b", 5)}), std::nullopt);
    auto same_txn = b;
    same_txn.key = "third";
    EXPECT_EQ(check_revisions({a, b, same_txn}), std::nullopt);
}

// ------------------------------------------------------------------ against an oracle

struct Register {
    bool found = false;
    std::string value;
    std::int64_t revision = 0;
    std::int64_t last = 0;
};

// What an atomic register answers; fills the answer in.
void perform(Operation* o, Register* r) {
    const auto write = [&](const std::optional<std::string>& value) {
        r->found = value.has_value();
        r->value = value.value_or("");
        o->revision = r->revision = ++r->last;
    };
    switch (o->kind) {
        case Kind::kGet:
            o->seen = Seen{r->found, r->value, r->found ? r->revision : 0};
            return;
        case Kind::kPut:
            return write(o->value);
        case Kind::kDelete:
            o->succeeded = r->found;
            if (r->found) write(std::nullopt);
            return;
        case Kind::kCas:
            o->succeeded = o->expected == 0 ? !r->found : r->found && r->revision == o->expected;
            if (o->succeeded) write(o->value);
            return;
    }
}

Operation random_operation(base::Random* random) {
    Operation o;
    o.key = "k";
    o.process = random->next();
    o.kind = static_cast<Kind>(random->below(4));
    const std::string value(1, static_cast<char>('a' + random->below(3)));
    if (o.kind == Kind::kPut || (o.kind == Kind::kCas && random->chance(3, 4))) o.value = value;
    if (o.kind == Kind::kCas) o.expected = static_cast<std::int64_t>(random->below(4));
    return o;
}

TEST(Linearizable, WhatAnAtomicRegisterAnswersIsLinearizable) {
    for (std::uint64_t seed = 1; seed <= 200; ++seed) {
        base::Random random(seed);
        Register r;
        std::vector<Operation> history;
        for (std::uint64_t i = 0; i < 60; ++i) {
            Operation o = random_operation(&random);
            const std::uint64_t now = 1000 + i * 10;
            o.invoked_us = now - random.below(100);
            o.returned_us = now + random.below(100);
            const bool happens = random.chance(9, 10);
            if (happens) perform(&o, &r);
            // Some answers never arrive.
            if (!happens || random.chance(1, 8)) {
                o.returned_us.reset();
                o.seen.reset();
                o.revision = 0;
                o.succeeded = false;
            }
            history.push_back(std::move(o));
        }
        const Outcome outcome = check(history);
        ASSERT_EQ(outcome.verdict, Verdict::kLinearizable) << seed << ": " << outcome.explanation;
    }
}

bool same_answer(const Operation& a, const Operation& b) {
    if (a.succeeded != b.succeeded || a.revision != b.revision) return false;
    return a.seen.has_value() == b.seen.has_value() &&
           (!a.seen || (a.seen->found == b.seen->found && a.seen->value == b.seen->value &&
                        a.seen->mod_revision == b.seen->mod_revision));
}

// Every order of all the operations.
bool some_order_explains(const std::vector<Operation>& history) {
    std::vector<std::size_t> order(history.size());
    for (std::size_t i = 0; i < order.size(); ++i)
        order[i] = i;
    do {
        bool fits = true;
        Register r;
        for (std::size_t i = 0; i < order.size() && fits; ++i) {
            const Operation& o = history[order[i]];
            for (std::size_t k = i + 1; k < order.size(); ++k)
                fits = fits && !(*history[order[k]].returned_us < o.invoked_us);
            Operation answer = o;
            answer.seen.reset();
            answer.succeeded = false;
            answer.revision = 0;
            perform(&answer, &r);
            fits = fits && same_answer(answer, o);
        }
        if (fits) return true;
    } while (std::next_permutation(order.begin(), order.end()));
    return false;
}

TEST(Linearizable, TheSearchAgreesWithTryingEveryOrder) {
    int linearizable = 0;
    int not_linearizable = 0;
    for (std::uint64_t seed = 1; seed <= 6000; ++seed) {
        base::Random random(seed);
        Register r;
        std::vector<Operation> history;
        for (std::uint64_t i = 0; i < 6; ++i) {
            Operation o = random_operation(&random);
            const std::uint64_t now = 100 + i * 10;
            perform(&o, &r);
            o.invoked_us = now - random.below(25);
            o.returned_us = now + random.below(25);
            history.push_back(std::move(o));
        }
        // Some change places. (Not their revisions: another key's writes may leave gaps there.)
        for (int i = 0; i < 2; ++i) {
            auto& x = history[random.below(6)];
            auto& y = history[random.below(6)];
            if (random.chance(1, 2)) std::swap(x.invoked_us, y.invoked_us);
            if (x.invoked_us > *x.returned_us) x.returned_us = x.invoked_us + 1;
            if (y.invoked_us > *y.returned_us) y.returned_us = y.invoked_us + 1;
            if (x.kind == Kind::kGet && y.kind == Kind::kGet) std::swap(x.seen, y.seen);
            if (x.kind == Kind::kPut && y.kind == Kind::kPut) std::swap(x.value, y.value);
        }
        const bool expected = some_order_explains(history);
        ++(expected ? linearizable : not_linearizable);
        const Outcome outcome = check(history);
        ASSERT_EQ(outcome.verdict == Verdict::kLinearizable, expected)
            << seed << ": " << outcome.explanation;
    }
    // Both happen often enough to mean something.
    EXPECT_GT(linearizable, 300);
    EXPECT_GT(not_linearizable, 300);
}

TEST(Linearizable, ALongHistoryOfManyProcessesIsQuick) {
    base::Random random(7);
    Register r;
    std::vector<Operation> history;
    for (std::uint64_t i = 0; i < 20000; ++i) {
        Operation o = random_operation(&random);
        if (o.kind == Kind::kCas) o.expected = r.found ? r.revision : 0;
        const std::uint64_t now = 1000 + i * 10;
        o.invoked_us = now - random.below(80);
        o.returned_us = now + random.below(80);
        perform(&o, &r);
        if (random.chance(1, 1000)) {
            o.returned_us.reset();
            o.seen.reset();
            o.revision = 0;
        }
        history.push_back(std::move(o));
    }
    const Outcome outcome = check(history);
    EXPECT_EQ(outcome.verdict, Verdict::kLinearizable) << outcome.explanation;
}

}  // namespace
}  // namespace linearizable
