#include "tools/cluster_commands.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <csignal>
#include <filesystem>

#include "tools/cluster.h"

namespace tools {

namespace {

constexpr base::Millis kReadyTimeout{30'000};

int report(const base::Status& status) {
    if (status) return 0;
    fmt::print(stderr, "coxctl: {}\n", status.error().message);
    return 1;
}

base::Status up(ClusterOptions options) {
    auto opened = Cluster::open(options.directory);
    if (!opened && opened.error().code != base::Code::kNotFound) return opened.error();
    const bool existing = opened.has_value();
    if (!existing) opened = Cluster::create(options);
    if (!opened) return opened.error();
    Cluster& cluster = *opened;
    fmt::print(stderr, "{} a cluster of {} in {}\n", existing ? "starting" : "made",
               cluster.members().size(), options.directory);
    for (const auto& member : cluster.members())
        TRY_VOID(cluster.start_member(member));
    TRY_VOID(cluster.wait_ready(kReadyTimeout));
    fmt::print(stderr, "all {} members are ready\n", cluster.members().size());
    TRY_VOID(cluster.start_haproxy());
    TRY_VOID(cluster.wait_api(kReadyTimeout));
    TRY_VOID(cluster.start_hollow_nodes());
    fmt::print("export KUBECONFIG={}\nkubectl get nodes\n", cluster.kubeconfig_path());
    return {};
}

base::Status down(const std::string& directory, bool remove) {
    TRY(Cluster cluster, Cluster::open(directory));
    std::vector<std::string> all{"hollow-nodes", "haproxy"};
    for (const auto& m : cluster.members())
        all.push_back(m.name);
    for (const auto& what : all) {
        TRY(const bool ran, cluster.stop(what, SIGTERM));
        if (ran) fmt::print(stderr, "stopped {}\n", what);
    }
    std::error_code ec;
    if (remove) std::filesystem::remove_all(directory, ec);
    return {};
}

boost::json::object status_json(const Cluster& cluster) {
    boost::json::array members;
    for (const auto& m : cluster.members()) {
        const auto s = cluster.status(m);
        members.push_back(boost::json::object{{"id", fmt::format("{:x}", s.id)},
                                              {"name", m.name},
                                              {"pid", s.pid},
                                              {"leader", s.leader},
                                              {"healthy", s.healthy},
                                              {"client", cluster.member_url(m, "client")},
                                              {"peer", cluster.member_url(m, "peer")},
                                              {"api", cluster.member_url(m, "api")},
                                              {"revision", s.revision},
                                              {"applied_index", s.applied_index}});
    }
    boost::json::object out{{"members", std::move(members)}};
    out["haproxy"] = nullptr;
    if (cluster.has_haproxy())
        out["haproxy"] =
            boost::json::object{{"pid", cluster.pid_of("haproxy")}, {"api", cluster.api_url()}};
    out["controllers_leader"] = cluster.lease_holder("kube-controller-manager");
    out["scheduler_leader"] = cluster.lease_holder("kube-scheduler");
    out["ca"] = cluster.insecure() ? "" : cluster.pki("ca.crt");
    out["cert"] = cluster.insecure() ? "" : cluster.pki("admin.crt");
    out["key"] = cluster.insecure() ? "" : cluster.pki("admin.key");
    out["kubeconfig"] = cluster.kubeconfig_path();
    return out;
}

base::Status status(const std::string& directory, const std::string& format) {
    TRY(const Cluster cluster, Cluster::open(directory));
    const auto json = status_json(cluster);
    if (format == "json") {
        fmt::print("{}\n", boost::json::serialize(json));
        return {};
    }
    fmt::print("{:<8} {:<18} {:<8} {:<8} {:<8} {:<10} {}\n", "NAME", "ID", "PID", "HEALTHY",
               "LEADER", "REVISION", "API");
    for (const auto& m : json.at("members").as_array()) {
        const auto& o = m.as_object();
        auto text = [&](const char* key) { return std::string(o.at(key).as_string()); };
        fmt::print("{:<8} {:<18} {:<8} {:<8} {:<8} {:<10} {}\n", text("name"), text("id"),
                   o.at("pid").as_int64(), o.at("healthy").as_bool() ? "yes" : "no",
                   o.at("leader").as_bool() ? "yes" : "no", o.at("revision").as_int64(),
                   text("api"));
    }
    if (cluster.has_haproxy())
        fmt::print("haproxy  {} (pid {})\n", cluster.api_url(), cluster.pid_of("haproxy"));
    fmt::print("controllers run on: {}\nscheduler runs on: {}\nkubeconfig: {}\n",
               std::string(json.at("controllers_leader").as_string()),
               std::string(json.at("scheduler_leader").as_string()), cluster.kubeconfig_path());
    return {};
}

base::Status signal_member(const std::string& directory, const std::string& which, int signal) {
    TRY(Cluster cluster, Cluster::open(directory));
    TRY(const ClusterMember* member, cluster.find(which));
    TRY(const bool ran, cluster.stop(member->name, signal));
    if (!ran) return base::unavailable("member " + member->name + " does not run");
    fmt::print("{}\n", member->name);
    return {};
}

base::Status start_member(const std::string& directory, const std::string& which) {
    TRY(Cluster cluster, Cluster::open(directory));
    TRY(const ClusterMember* member, cluster.find(which));
    TRY_VOID(cluster.start_member(*member));
    fmt::print("{}\n", member->name);
    return {};
}

}  // namespace

void add_cluster_commands(CLI::App& app, int* exit_code) {
    auto* cluster = app.add_subcommand("cluster", "a cluster of this machine's processes");
    cluster->require_subcommand(1);
    // CLI11 keeps references: these live as long as the process.
    static ClusterOptions options;
    static std::string format = "table";
    static std::string which;
    static bool remove = false;
    auto command = [&](const char* name, const char* help) {
        auto* sub = cluster->add_subcommand(name, help);
        sub->add_option("--dir", options.directory, "the cluster's directory")->required();
        return sub;
    };
    auto* up_command = command("up",
                               "make a cluster, or start what is not running of one that is there, "
                               "and wait until it is healthy");
    up_command->add_option("--members", options.members, "how many: 1, 3, 5, …")
        ->capture_default_str();
    up_command->add_option("--hollow-nodes", options.hollow_nodes, "simulated nodes")
        ->check(CLI::Range(0, 100000))
        ->capture_default_str();
    up_command->add_flag("--haproxy", options.haproxy, "put HAProxy in front of the API servers");
    up_command->add_flag("--insecure", options.insecure,
                         "clear text without authentication, on loopback: for benchmarks");
    up_command->add_option("--base-port", options.base_port,
                           "first of 3 ports a member and one more; default: free ones are chosen");
    up_command->add_option("--set", options.extra_flags,
                           "\"flag: value\" for every member's configuration");
    up_command->callback([exit_code] { *exit_code = report(up(options)); });

    auto* down_command = command("down", "stop all of it");
    down_command->add_flag("--remove", remove, "and remove the directory");
    down_command->callback([exit_code] { *exit_code = report(down(options.directory, remove)); });

    auto* status_command = command("status", "who is healthy, who leads, where everything is");
    status_command->add_option("-o,--output", format, "table or json")
        ->check(CLI::IsMember({"table", "json"}))
        ->capture_default_str();
    status_command->callback(
        [exit_code] { *exit_code = report(status(options.directory, format)); });

    auto member_command = [&](const char* name, const char* help, auto run) {
        auto* sub = command(name, help);
        sub->add_option("member", which, "its name, its id, or \"leader\"")->required();
        sub->callback([exit_code, run] { *exit_code = report(run()); });
    };
    member_command("stop-member", "stop a member in good order",
                   [] { return signal_member(options.directory, which, SIGTERM); });
    member_command("kill-member", "kill -9 a member",
                   [] { return signal_member(options.directory, which, SIGKILL); });
    member_command("start-member", "start a member that was stopped or killed",
                   [] { return start_member(options.directory, which); });
}

}  // namespace tools
