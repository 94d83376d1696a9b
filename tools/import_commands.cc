// `coxctl import`: the content of an etcd, or of another Coxswain, into this store.

#include <fmt/format.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <chrono>

#include "tools/import.h"
#include "tools/store_client.h"
#include "tools/store_commands.h"

namespace tools {

namespace json = boost::json;

namespace {

struct ImportFlags {
    std::vector<std::string> from;
    std::string snapshot;
    TlsFiles tls;
    std::string user;
    ImportOptions options;
};

// On a terminal a line that changes; in a log one every few seconds.
class Progress {
  public:
    void operator()(const ImportCounts& counts) {
        const auto now = std::chrono::steady_clock::now();
        if (now - told_ < (terminal_ ? base::Millis(200) : base::Millis(5000))) return;
        told_ = now;
        fmt::print(stderr, "{}{} keys, {} bytes, {} leases{}",
                   terminal_ ? "\r" : "import: ", counts.keys, counts.bytes, counts.leases,
                   terminal_ ? "" : "\n");
    }
    void end() const {
        if (terminal_) fmt::print(stderr, "\n");
    }

  private:
    bool terminal_ = ::isatty(2) != 0;
    std::chrono::steady_clock::time_point told_;
};

base::Status import_all(const ImportFlags& flags) {
    TRY(const Target to, target());
    if (flags.from.empty() == flags.snapshot.empty())
        return base::invalid_argument("say where from: either --from or --from-snapshot");
    std::optional<StoreSession> source;
    std::unique_ptr<ImportSource> reader;
    if (flags.snapshot.empty()) {
        auto from = make_target(flags.from, flags.tls, flags.user);
        if (!from) return from.error().with_context("--from");
        source.emplace(*from, call_timeout());
        reader = make_api_source(*source, flags.options.prefix);
    } else {
        TRY(reader, open_snapshot_source(flags.snapshot, flags.options.prefix));
    }
    StoreSession destination(to, call_timeout());
    Progress progress;
    auto done = run_import(*reader, destination, flags.options,
                           [&](const ImportCounts& counts) { progress(counts); });
    progress.end();
    if (!done) return done.error();
    if (!flags.options.users)
        if (const auto accounts = reader->accounts(); accounts && !accounts->users.empty())
            fmt::print(stderr, "import: the source's {} users stay behind; --users copies them\n",
                       accounts->users.size());
    if (as_json())
        return print_json(json::object{{"revision", done->revision},
                                       {"keys", done->keys},
                                       {"bytes", done->bytes},
                                       {"leases", done->leases},
                                       {"expired", done->expired},
                                       {"roles", done->roles},
                                       {"users", done->users},
                                       {"locked", done->locked}}),
               base::Status();
    fmt::print("imported {} keys ({} bytes) and {} leases as of revision {}{}\n", done->keys,
               done->bytes, done->leases, done->revision,
               done->expired > 0
                   ? fmt::format("; {} keys were left out, their leases ended", done->expired)
                   : "");
    if (flags.options.users) {
        fmt::print("imported {} roles and {} users\n", done->roles, done->users);
        if (done->locked > 0)
            fmt::print("{} of the users need a new password: the source does not tell theirs\n",
                       done->locked);
    }
    return {};
}

}  // namespace

void add_import_command(CLI::App& app, int* exit_code) {
    static ImportFlags flags;
    auto* command =
        store_command(app, exit_code, "import",
                      "write what another etcd or Coxswain holds, or an etcd's snapshot, "
                      "into this store",
                      [] { return import_all(flags); });
    command->add_option("--from", flags.from, "host:port of the members of the other store")
        ->delimiter(',');
    command->add_option("--from-snapshot", flags.snapshot,
                        "a file of etcdctl snapshot save from an etcd, instead of a running one");
    command->add_option("--from-cacert", flags.tls.ca, "PEM: who signed their certificates");
    command->add_option("--from-cert", flags.tls.certificate, "PEM: the certificate to show them");
    command->add_option("--from-key-file", flags.tls.key, "PEM: its private key");
    command->add_option("--from-user", flags.user, "name:password of a user of theirs");
    command->add_option("--prefix", flags.options.prefix, "only keys that begin with this");
    command->add_flag("--users", flags.options.users,
                      "users and roles, too; only a snapshot has their passwords");
    command->add_flag("--force", flags.options.force,
                      "into a store that has keys there already, writing over the same ones");
    command
        ->add_option("--ops-per-txn", flags.options.ops_per_txn,
                     "keys written at once, at most; the target's --max-txn-ops is a limit")
        ->check(CLI::Range(1, 100'000))
        ->capture_default_str();
}

}  // namespace tools
