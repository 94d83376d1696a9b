// coxswain: a Kubernetes master. Command line, wiring and signals; everything else stands in the
// rooms.

#include <fmt/format.h>
#include <malloc.h>
#include <pthread.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>

#include "base/log.h"
#include "tools/api_role.h"
#include "tools/config.h"
#include "tools/control_role.h"
#include "tools/store_role.h"

namespace {

using tools::Config;
using tools::FlagGroups;

int fail(const base::Error& error) {
    fmt::print(stderr, "coxswain: {}\n", error.message);
    return 1;
}

void block_signals(sigset_t* set) {
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    // Before any thread is made, so that all of them have it.
    pthread_sigmask(SIG_BLOCK, set, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
}

void wait_for_signal(const sigset_t& set) {
    int signal = 0;
    sigwait(&set, &signal);
    LOG_INFO("main", "stopping on signal {}", signal);
}

// The process ends as on a signal: everything is stopped in order.
void stop_when_removed(tools::StoreRole& store) {
    store.on_removed([] { kill(getpid(), SIGTERM); });
}

int run_store(const Config& config, const sigset_t& signals) {
    auto store = tools::StoreRole::start(config);
    if (!store) return fail(store.error());
    stop_when_removed(**store);
    wait_for_signal(signals);
    return 0;
}

int run_apiserver(const Config& config, const sigset_t& signals) {
    auto api = tools::ApiRole::start(config, nullptr);
    if (!api) return fail(api.error());
    wait_for_signal(signals);
    return 0;
}

int run_server(const Config& config, const sigset_t& signals) {
    auto store = tools::StoreRole::start(config);
    if (!store) return fail(store.error());
    stop_when_removed(**store);
    auto api = tools::ApiRole::start(config, store->get());
    if (!api) return fail(api.error());
    auto control =
        tools::ControlRole::start(config, api->get(), {.controllers = true, .scheduler = true});
    if (!control) return fail(control.error());
    wait_for_signal(signals);
    // Leases are given back first, so that another master takes over at once.
    (*control)->stop();
    (*api)->stop();
    (*store)->stop();
    return 0;
}

int run_control(const Config& config, const sigset_t& signals, tools::ControlRole::Parts parts) {
    auto control = tools::ControlRole::start(config, nullptr, parts);
    if (!control) return fail(control.error());
    wait_for_signal(signals);
    return 0;
}
int run_controllers(const Config& c, const sigset_t& s) {
    return run_control(c, s, {.controllers = true});
}
int run_scheduler(const Config& c, const sigset_t& s) {
    return run_control(c, s, {.scheduler = true});
}
int run_hollow_nodes(const Config& c, const sigset_t& s) {
    return run_control(c, s, {.hollow_nodes = true});
}

struct Command {
    const char* name;
    const char* help;
    FlagGroups groups;
    int (*run)(const Config&, const sigset_t&);
};

const Command kCommands[] = {
    {"server",
     "a whole master member: store, API server, scheduler and controllers in one process",
     {.store = true, .api = true, .election = true},
     run_server},
    {"store",
     "a member of the replicated store alone, with the etcd v3 API",
     {.store = true},
     run_store},
    {"apiserver",
     "the Kubernetes API alone, on a store elsewhere",
     {.store_client = true, .api = true},
     run_apiserver},
    {"controllers",
     "the controllers alone, on an API elsewhere",
     {.api_client = true, .election = true},
     run_controllers},
    {"scheduler",
     "the scheduler alone, on an API elsewhere",
     {.api_client = true, .election = true},
     run_scheduler},
    {"hollow-nodes",
     "simulated nodes: they register and run pods as state changes",
     {.api_client = true, .hollow = true},
     run_hollow_nodes},
};

int usage(std::FILE* out) {
    fmt::print(out,
               "Coxswain: a Kubernetes master in one binary, its store included\n\nusage: coxswain "
               "COMMAND [flags]; coxswain COMMAND --help tells the flags\n\n");
    for (const auto& command : kCommands)
        fmt::print(out, "  {:<14} {}\n", command.name, command.help);
    return out == stdout ? 0 : 2;
}

}  // namespace

int main(int argc, char** argv) {
    // Few arenas: memory that one loop frees is there for the others, and an idle member stays
    // small.
    mallopt(M_ARENA_MAX, 2);
    const std::string_view first = argc > 1 ? argv[1] : "";
    if (first == "--version") return fmt::print("coxswain 0.1.0\n"), 0;
    if (first == "--help" || first == "-h" || first == "help") return usage(stdout);
    for (const auto& command : kCommands) {
        if (command.name != first) continue;
        // An App of its own: only the outermost one reads a configuration file.
        CLI::App app{command.help, std::string("coxswain ") + command.name};
        Config config;
        tools::add_flags(app, config, command.groups);
        CLI11_PARSE(app, argc - 1, argv + 1);
        if (auto valid = tools::validate(config, command.groups); !valid)
            return fail(valid.error());
        base::LogLevel level = base::LogLevel::kInfo;
        base::parse_log_level(config.log_level, &level);
        base::set_log_level(level);
        base::set_log_name(config.name);
        sigset_t signals;
        block_signals(&signals);
        return command.run(config, signals);
    }
    if (!first.empty()) fmt::print(stderr, "coxswain: there is no command {}\n\n", first);
    return usage(stderr);
}
