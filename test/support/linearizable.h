#pragma once
// Whether a history of operations on a key-value store is linearizable: the search of Wing and Gong
// with Lowe's memory of states seen, each key by itself (a store is linearizable exactly if each of
// its keys is). A key holds nothing, or a value and the revision that wrote it; revisions grow.
// Operations whose outcome is unknown may have taken effect at any time after their call, or never.
// Pure.
//
// Sources: Wing and Gong 1993; Lowe, "Testing for linearizability" (2017); Herlihy and Wing 1990 on
// locality.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace linearizable {

enum class Kind {
    kGet,
    kPut,
    kDelete,
    kCas,  // if the key's mod revision is `expected`, put `value`, or delete without one
};

// What an operation saw of its key.
struct Seen {
    bool found = false;
    std::string value;
    std::int64_t mod_revision = 0;  // 0: not recorded
};

struct Operation {
    std::uint64_t process = 0;
    std::string key;
    Kind kind = Kind::kGet;
    std::optional<std::string> value;  // what put and cas write
    std::int64_t expected = 0;         // cas; 0: that there is no such key
    std::uint64_t invoked_us = 0;
    std::optional<std::uint64_t> returned_us;  // nothing: its outcome is unknown

    // The answer, where there was one.
    bool succeeded = false;     // cas: the condition held. delete: there was something to delete
    std::int64_t revision = 0;  // the store's, as the answer's header had it; 0: not recorded
    std::optional<Seen> seen;   // get; also a cas that failed and read instead
};

enum class Verdict {
    kLinearizable,
    kNotLinearizable,
    kUndecided,  // the search took more steps than it was allowed
};

struct Options {
    std::uint64_t max_steps = 20'000'000;  // for one key
};

struct Outcome {
    Verdict verdict = Verdict::kLinearizable;
    std::string key;  // of the first key that is not linearizable, or undecided
    // The longest order found, one operation a line, and what could not follow.
    std::string explanation;
    std::uint64_t steps = 0;
};

Outcome check(const std::vector<Operation>& history, const Options& options = {});

// What revisions promise across keys: each write's is its own and above every one that was answered
// before its call; what is read is not below. Nothing, or what is wrong. Operations of one process
// with the same call time are one transaction.
std::optional<std::string> check_revisions(const std::vector<Operation>& history);

std::string to_string(const Operation& operation);

}  // namespace linearizable
