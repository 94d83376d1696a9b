// sim: runs simulated clusters, one a seed, and stops at the first that breaks a rule, with the
// command that replays it.

#include <fmt/format.h>

#include <csignal>
#include <cstdlib>
#include <string>

#include "base/log.h"
#include "test/sim/cluster.h"

namespace {

struct Arguments {
    std::uint64_t seeds = 500;
    std::uint64_t seed = 1;
    bool one = false;
    bool verbose = false;
};

std::uint64_t number(const char* text) {
    char* end = nullptr;
    const std::uint64_t v = std::strtoull(text, &end, 10);
    if (end == text || *end != '\0') {
        fmt::print(stderr, "not a number: {}\n", text);
        std::exit(2);
    }
    return v;
}

Arguments parse(int argc, char** argv) {
    Arguments out;
    bool counted = false;
    for (int i = 1; i < argc; ++i) {
        const std::string a = argv[i];
        if (a == "--seeds" && i + 1 < argc) {
            out.seeds = number(argv[++i]);
            counted = true;
        } else if (a == "--seed" && i + 1 < argc) {
            out.seed = number(argv[++i]);
            out.one = true;
        } else if (a == "--verbose") {
            out.verbose = true;
        } else {
            fmt::print(
                "usage: sim [--seeds N] [--seed FIRST] [--verbose]\n"
                "  --seeds N     how many clusters to run (500; 1 with --seed alone)\n"
                "  --seed FIRST  the first seed (1)\n"
                "  --verbose     print every message and event\n");
            std::exit(a == "--help" ? 0 : 2);
        }
    }
    if (out.one && !counted) out.seeds = 1;
    out.one = out.seeds == 1;
    return out;
}

// A CHECK that fails ends the process: say which seed it was.
char g_replay[128];
void on_abort(int) {
    std::fputs(g_replay, stdout);
    std::fflush(stdout);
}

struct Outcome {
    std::optional<std::string> failure;
    std::uint64_t hash = 0;
};

Outcome run(std::uint64_t seed, bool verbose) {
    sim::World world(seed);
    world.verbose = verbose;
    static constexpr std::size_t kSizes[] = {3, 3, 3, 5, 1, 2};
    Outcome out;
    {
        sim::Cluster cluster(world, kSizes[world.random.below(6)]);
        out.failure = cluster.run(8 * sim::kSecond);
    }
    out.hash = world.trace_hash();
    return out;
}

// Each must have happened in a long run, or the run has not tested what it claims to.
constexpr const char* kMustHappen[] = {"crashes",
                                       "batches torn by a crash",
                                       "torn tails cut",
                                       "group commits",
                                       "campaigns",
                                       "elections won",
                                       "appends rejected",
                                       "log suffixes replaced",
                                       "leaders that lost their quorum",
                                       "snapshots streamed",
                                       "snapshots installed",
                                       "logs compacted",
                                       "leader transfers",
                                       "transfers done",
                                       "linearizable reads",
                                       "reads answered",
                                       "writes answered",
                                       "writes failed",
                                       "entries applied before the own disk had them",
                                       "applied batches lost in a crash",
                                       "messages lost",
                                       "messages doubled",
                                       "partitions",
                                       "one-way partitions",
                                       "pauses",
                                       "proposals sent again",
                                       "states ahead of their log",
                                       "logs damaged",
                                       "states lost",
                                       "members repaired",
                                       "membership changes of kind 0",
                                       "membership changes of kind 1",
                                       "membership changes of kind 2",
                                       "membership changes of kind 3"};

}  // namespace

int main(int argc, char** argv) {
    const Arguments arguments = parse(argc, argv);
    std::signal(SIGABRT, on_abort);
    base::set_log_level(arguments.verbose ? base::LogLevel::kInfo : base::LogLevel::kOff);
    for (std::uint64_t i = 0; i < arguments.seeds; ++i) {
        const std::uint64_t seed = arguments.seed + i;
        fmt::format_to_n(g_replay, sizeof g_replay - 1, "replay: sim --seed {} --verbose\n{}", seed,
                         '\0');
        const Outcome first = run(seed, arguments.verbose);
        Outcome second = first;
        if (i % 50 == 0 && !arguments.verbose) second = run(seed, false);
        if (second.hash != first.hash) {
            fmt::print("seed {}: two runs differ ({:016x}, {:016x})\n", seed, first.hash,
                       second.hash);
            return 1;
        }
        if (arguments.one) fmt::print("seed {}: trace {:016x}\n", seed, first.hash);
        if (first.failure) {
            fmt::print("seed {}: {}\nreplay: {} --seed {} --verbose\n", seed, *first.failure,
                       argv[0], seed);
            return 1;
        }
    }
    bool complete = true;
    for (const char* what : kMustHappen)
        sim::World::cover(what, 0);
    for (const auto& [what, count] : sim::World::coverage())
        fmt::print("{:>10}  {}\n", count, what);
    if (arguments.seeds >= 200)
        for (const char* what : kMustHappen)
            if (sim::World::coverage()[what] == 0) {
                fmt::print("never happened: {}\n", what);
                complete = false;
            }
    fmt::print("{} seeds, all rules held\n", arguments.seeds);
    return complete ? 0 : 1;
}
