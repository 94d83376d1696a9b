// check_history FILE…: whether the history that all files together hold is linearizable, see
// test/support/history_file.h. Exit code 0: it is; 1: it is not; 2: no such file or not a history;
// 3: undecided.

#include <fmt/format.h>

#include <iterator>

#include "base/file.h"
#include "test/support/history_file.h"

int main(int argc, char** argv) {
    std::vector<linearizable::Operation> history;
    if (argc < 2) {
        fmt::print(stderr, "usage: check_history FILE…\n");
        return 2;
    }
    for (int i = 1; i < argc; ++i) {
        const auto text = base::read_file(argv[i]);
        auto part = text ? linearizable::parse_history(*text) : text.error();
        if (!part) {
            fmt::print(stderr, "{}: {}\n", argv[i], part.error().message);
            return 2;
        }
        history.insert(history.end(), std::make_move_iterator(part->begin()),
                       std::make_move_iterator(part->end()));
    }
    if (const auto fault = linearizable::check_revisions(history)) {
        fmt::print("revisions out of order: {}\n", *fault);
        return 1;
    }
    const linearizable::Outcome outcome = linearizable::check(history);
    switch (outcome.verdict) {
        case linearizable::Verdict::kLinearizable:
            fmt::print("{} operations, linearizable ({} steps)\n", history.size(), outcome.steps);
            return 0;
        case linearizable::Verdict::kNotLinearizable:
            fmt::print("NOT LINEARIZABLE: key {}: {}", outcome.key, outcome.explanation);
            return 1;
        case linearizable::Verdict::kUndecided:
            fmt::print("undecided: key {} needs more than {} steps\n", outcome.key, outcome.steps);
            return 3;
    }
    return 3;
}
