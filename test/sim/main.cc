// sim: runs simulated clusters, one a seed, and stops at the first that breaks a rule, with the
// command that replays it.

#include <fmt/format.h>

#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <string>

#include "base/check.h"
#include "base/log.h"
#include "base/planted.h"
#include "test/sim/cluster.h"

namespace {

struct Arguments {
    std::uint64_t seeds = 500;
    std::uint64_t seed = 1;
    bool one = false;
    bool verbose = false;
    bool all = false;
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

[[noreturn]] void refuse(const std::string& why) {
    fmt::print(stderr, "{}\n", why);
    std::exit(2);
}

void plant([[maybe_unused]] const std::string& name) {
#ifdef COXSWAIN_PLANTED_BUGS
    if (!base::plant(name)) refuse("there is no bug of the name " + name + ": see --list-bugs");
#else
    refuse("this build has no bugs to plant: tools/dev sim --planted");
#endif
}

// Each known bug in a process of its own, for a CHECK may be what finds it. TAP.
int find_planted(const char* program, std::uint64_t seeds) {
    plant(base::kPlantedBugs[0].name);  // or this build has none
    bool missed = false;
    std::size_t n = 0;
    fmt::print("1..{}\n", std::size(base::kPlantedBugs));
    for (const auto& bug : base::kPlantedBugs) {
        const std::string command =
            fmt::format("'{}' --plant {} --seeds {} 2>&1", program, bug.name, seeds);
        std::FILE* pipe = ::popen(command.c_str(), "r");
        CHECK(pipe != nullptr);
        std::string how;
        char line[4096];
        while (std::fgets(line, sizeof line, pipe) != nullptr) {
            const std::string_view text(line);
            if (!how.empty() || !(text.starts_with("seed ") || text.starts_with("replay: ")))
                continue;
            how = text.substr(0, std::min<std::size_t>(text.find('\n'), 120));
            std::ranges::replace_if(
                how, [](unsigned char c) { return c < ' ' || c > '~'; }, '?');
        }
        // With 2 it had not begun.
        const int status = ::pclose(pipe);
        const bool found = status != 0 && WEXITSTATUS(status) != 2 && !how.empty();
        fmt::print("{} {} - {}: {}\n", found ? "ok" : "not ok", ++n, bug.name,
                   found ? how : fmt::format("{} seeds held", seeds));
        missed = missed || !found;
    }
    return missed ? 1 : 0;
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
        } else if (a == "--all") {
            out.all = true;
        } else if (a == "--planted" && i + 1 < argc) {
            std::exit(find_planted(argv[0], number(argv[++i])));
        } else if (a == "--list-bugs") {
            for (const auto& bug : base::kPlantedBugs)
                fmt::print("{}\n", bug.name);
            std::exit(0);
        } else if (a == "--plant" && i + 1 < argc) {
            plant(argv[++i]);
        } else if (a == "--verbose") {
            out.verbose = true;
        } else {
            fmt::print(
                "usage: sim [--seeds N] [--seed FIRST] [--all] [--verbose]\n"
                "  --seeds N     how many clusters to run (500; 1 with --seed alone)\n"
                "  --seed FIRST  the first seed (1)\n"
                "  --all         go on after a seed that fails\n"
                "  --plant NAME  with a known bug (builds with -Dplanted_bugs=true)\n"
                "  --planted N   whether each known bug is found within N seeds\n"
                "  --list-bugs   their names\n"
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
                                       "power failures",
                                       "power failures everywhere",
                                       "power failures in the middle of a change",
                                       "batches torn by a crash",
                                       "torn tails cut",
                                       "unsynced bytes lost",
                                       "unsynced names lost",
                                       "unsynced sectors lost in the middle",
                                       "group commits",
                                       "campaigns",
                                       "elections won",
                                       "appends rejected",
                                       "log suffixes replaced",
                                       "leaders that lost their quorum",
                                       "snapshots streamed",
                                       "snapshots damaged on their way",
                                       "snapshots installed",
                                       "entries applied aside",
                                       "waits for room in the database",
                                       "snapshots that waited for one",
                                       "logs compacted",
                                       "log compactions",
                                       "leader transfers",
                                       "transfers done",
                                       "linearizable reads",
                                       "reads answered",
                                       "linearizable ranges",
                                       "serializable ranges",
                                       "ranges of what is compacted",
                                       "writes answered",
                                       "deletes answered",
                                       "transactions that held",
                                       "transactions that did not hold",
                                       "requests failed",
                                       "compactions",
                                       "hashes compared",
                                       "histories checked",
                                       "entries applied before the own disk had them",
                                       "messages lost",
                                       "messages doubled",
                                       "power failures after a vote",
                                       "entries of an old term on a majority",
                                       "partitions",
                                       "one-way partitions",
                                       "pauses",
                                       "slow disks",
                                       "syncs of the database failed",
                                       "syncs of the log failed",
                                       "log disks that were full",
                                       "log disks with space again",
                                       "writes of the database to a full disk",
                                       "members that ended themselves",
                                       "members that found damage while they ran",
                                       "starts that failed",
                                       "proposals sent again",
                                       "states ahead of their log",
                                       "logs damaged",
                                       "writes of the log in a wrong place",
                                       "copies of votes damaged",
                                       "databases lost",
                                       "databases set aside",
                                       "catalogues of databases damaged",
                                       "tables or logs of databases damaged",
                                       "members repaired",
                                       "membership changes of kind 0",
                                       "membership changes of kind 1",
                                       "membership changes of kind 2",
                                       "membership changes of kind 3",
                                       "leases granted",
                                       "leases renewed",
                                       "leases revoked",
                                       "leases expired",
                                       "leases listed",
                                       "keys put on leases",
                                       "watch batches delivered",
                                       "changes handed to watchers in slices",
                                       "watches moved",
                                       "watches resumed in the past",
                                       "watches cancelled by compaction",
                                       "members that stay broken",
                                       "membership changes of kind 4"};

}  // namespace

int main(int argc, char** argv) {
    const Arguments arguments = parse(argc, argv);
    std::signal(SIGABRT, on_abort);
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    base::set_log_level(arguments.verbose ? base::LogLevel::kInfo : base::LogLevel::kOff);
    std::uint64_t failed = 0;
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
            if (!arguments.all) return 1;
            ++failed;
        }
    }
    if (failed > 0) {
        fmt::print("{} of {} seeds failed\n", failed, arguments.seeds);
        return 1;
    }
    bool complete = true;
    for (const char* what : kMustHappen)
        sim::World::cover(what, 0);
    for (const auto& [what, count] : sim::World::coverage())
        fmt::print("{:>10}  {}\n", count, what);
    if (arguments.seeds >= 1000)
        for (const char* what : kMustHappen)
            if (sim::World::coverage()[what] == 0) {
                fmt::print("never happened: {}\n", what);
                complete = false;
            }
    fmt::print("{} seeds, all rules held\n", arguments.seeds);
    return complete ? 0 : 1;
}
