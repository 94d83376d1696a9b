#include "tools/config.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <CLI/CLI.hpp>
#include <filesystem>

namespace tools {

net::ServerTls TlsFiles::server(net::ClientAuth auth) const {
    net::ServerTls out;
    out.certificate = net::PemSource::from_file(certificate);
    out.key = net::PemSource::from_file(key);
    out.client_ca = net::PemSource::from_file(ca);
    out.client_auth = auth;
    return out;
}

net::ClientTls TlsFiles::client() const {
    net::ClientTls out;
    out.ca = net::PemSource::from_file(ca);
    out.certificate = net::PemSource::from_file(certificate);
    out.key = net::PemSource::from_file(key);
    return out;
}

namespace {

// Lets CLI11 read a flat YAML mapping whose keys are the long flags' names.
class YamlConfig : public CLI::Config {
  public:
    std::string to_config(const CLI::App*, bool, bool, std::string) const override { return {}; }
    std::vector<CLI::ConfigItem> from_config(std::istream& input) const override {
        std::vector<CLI::ConfigItem> out;
        YAML::Node root;
        try {
            root = YAML::Load(input);
        } catch (const YAML::Exception& e) {
            throw CLI::ConfigError(std::string("the configuration file is no YAML: ") + e.what());
        }
        if (root.IsNull()) return out;
        if (!root.IsMap())
            throw CLI::ConfigError(
                "the configuration file is not a mapping of flag names to values");
        for (const auto& entry : root) {
            CLI::ConfigItem item;
            item.name = entry.first.as<std::string>();
            if (entry.second.IsSequence())
                for (const auto& value : entry.second)
                    item.inputs.push_back(value.as<std::string>());
            else if (entry.second.IsScalar())
                item.inputs.push_back(entry.second.as<std::string>());
            else
                throw CLI::ConfigError("the configuration key " + item.name +
                                       " has neither a value nor a list");
            out.push_back(std::move(item));
        }
        return out;
    }
};

// --data-dir → COXSWAIN_DATA_DIR, too.
template <class T>
CLI::Option* flag(CLI::App& app, const std::string& name, T& value, const std::string& help) {
    std::string variable = "COXSWAIN_" + name;
    for (auto& c : variable)
        c = c == '-' ? '_' : static_cast<char>(std::toupper(c));
    return app.add_option("--" + name, value, help)->envname(variable)->capture_default_str();
}
CLI::Option* toggle(CLI::App& app, const std::string& name, bool& value, const std::string& help) {
    std::string variable = "COXSWAIN_" + name;
    for (auto& c : variable)
        c = c == '-' ? '_' : static_cast<char>(std::toupper(c));
    return app.add_flag("--" + name + ",!--no-" + name, value, help)->envname(variable);
}

}  // namespace

void add_flags(CLI::App& app, Config& c, FlagGroups groups) {
    app.set_config("--config", "",
                   "YAML file with any of these flags, without the dashes in front");
    app.config_formatter(std::make_shared<YamlConfig>());
    app.allow_config_extras(CLI::config_extras_mode::error);
    flag(app, "log-level", c.log_level, "debug, info, warn, error or off")
        ->check(CLI::IsMember({"debug", "info", "warn", "error", "off"}));
    toggle(app, "insecure", c.insecure,
           "clear text and no authentication, on loopback addresses only: for benchmarks");
    flag(app, "ca-file", c.tls.ca,
         "PEM: the authority that signed the certificates of peers and clients");
    flag(app, "cert-file", c.tls.certificate,
         "PEM: this process's certificate, as a server and as a client");
    flag(app, "key-file", c.tls.key, "PEM: its private key");
    flag(app, "name", c.name, "this member's name; the identity in elections");
    if (groups.store) {
        flag(app, "data-dir", c.data_dir, "directory of the log and the database");
        flag(app, "cluster-token", c.cluster_token,
             "clusters with different tokens refuse each other");
        flag(app, "initial-cluster", c.initial_cluster,
             "name=https://host:port of every member at the very first start; none: this member "
             "alone")
            ->delimiter(',');
        flag(app, "join", c.join,
             "client URLs of a running cluster that has this member's peer URL (coxctl member add)")
            ->delimiter(',');
        flag(app, "advertise-peer", c.advertise_peer,
             "URL of this member as the other members reach it; default: --listen-peer");
        flag(app, "quota-backend-bytes", c.quota_backend_bytes,
             "largest size of the database; 0: no limit")
            ->check(CLI::NonNegativeNumber);
        flag(app, "auto-compaction-mode", c.auto_compaction_mode, "periodic or revision");
        flag(app, "auto-compaction-retention", c.auto_compaction_retention,
             "history that stays: hours or a duration (30m), or a number of revisions; 0: all");
        flag(app, "max-txn-ops", c.max_txn_ops, "most operations of a transaction")
            ->check(CLI::Range(1, 100000));
        flag(app, "max-request-bytes", c.max_request_bytes, "largest request")
            ->check(CLI::Range(std::int64_t{1024}, std::int64_t{8} << 20));
        flag(app, "listen-peer", c.listen_peer, "host:port for the other members");
        flag(app, "listen-client", c.listen_client, "host:port of the etcd v3 API");
        flag(app, "advertise-client", c.advertise_client,
             "URL of the etcd v3 API as others reach it; default: --listen-client");
        flag(app, "heartbeat-ms", c.heartbeat_ms, "how often a leader is heard of")
            ->check(CLI::Range(10, 5000));
        flag(app, "election-ms", c.election_ms,
             "shortest time without a leader before an election; the longest is twice this")
            ->check(CLI::Range(50, 50000));
        flag(app, "leader-priority", c.leader_priority,
             "the leadership goes to the member with the highest one that keeps up");
        flag(app, "read-mode", c.read_mode,
             "linearizable reads: index (the leader asks a majority) or lease (it answers alone "
             "while its lease holds; needs clocks that run alike); the same on all members")
            ->check(CLI::IsMember({"index", "lease"}));
        flag(app, "max-learners", c.max_learners, "most members without a vote at one time")
            ->check(CLI::Range(0, 100));
        flag(app, "lease-checkpoint-interval", c.lease_checkpoint_interval,
             "seconds between notes of what is left of longer leases, for the next leader; 0: none")
            ->check(CLI::Range(0, 1000000));
    }
    if (groups.store)
        flag(app, "auth-token", c.auth_token,
             "tokens of the store's users: simple, or "
             "jwt,pub-key=FILE,priv-key=FILE,sign-method=RS256,ttl=5m");
    if (groups.store_client)
        flag(app, "store", c.store_endpoints, "host:port of the store's members (Coxswain or etcd)")
            ->delimiter(',')
            ->required();
    if (groups.api) {
        flag(app, "listen-api", c.listen_api, "host:port of the Kubernetes API");
        flag(app, "advertise-address", c.advertise_address,
             "IP address of the API in the endpoints of the service kubernetes; default: "
             "--listen-api's");
        flag(app, "token-auth-file", c.token_file, "lines of token,user,uid,\"group1,group2\"");
        toggle(app, "anonymous-auth", c.anonymous,
               "requests without credentials are system:anonymous; off: they are refused");
    }
    if (groups.api_client)
        flag(app, "server", c.api_endpoint, "URL of the Kubernetes API")->required();
    if (groups.election) {
        flag(app, "leader-elect-lease-seconds", c.lease_seconds,
             "how long a lost leader holds the others back")
            ->check(CLI::Range(2, 3600));
        flag(app, "leader-elect-renew-seconds", c.renew_seconds,
             "how long a leader tries to renew before it gives up")
            ->check(CLI::Range(1, 3600));
        flag(app, "leader-elect-retry-seconds", c.retry_seconds, "pause between attempts")
            ->check(CLI::Range(1, 3600));
        flag(app, "node-grace-seconds", c.node_grace_seconds,
             "how long a node may be silent before it counts as lost")
            ->check(CLI::Range(1, 86400));
    }
    if (groups.hollow) {
        flag(app, "count", c.count, "how many nodes")->check(CLI::Range(1, 100000));
        flag(app, "name-prefix", c.node_prefix, "nodes are called <prefix>0, <prefix>1, …");
        flag(app, "start-delay-ms", c.start_delay_ms, "from a pod's binding until it runs")
            ->check(CLI::Range(0, 3600000));
    }
}

bool is_loopback(const std::string& host) {
    in_addr v4{};
    if (inet_pton(AF_INET, host.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
    return host == "::1" || host == "localhost";
}

namespace {

base::Status check_address(const std::string& text, const char* flag_name, bool insecure) {
    auto parsed = net::Endpoint::parse(text);
    if (!parsed)
        return base::invalid_argument(fmt::format("{}: {}", flag_name, parsed.error().message));
    if (insecure && !is_loopback(parsed->host))
        return base::invalid_argument(
            fmt::format("--insecure: {} is {}, which is not a loopback address", flag_name, text));
    return {};
}

base::Status check_file(const std::string& path, const char* flag_name) {
    if (path.empty())
        return base::invalid_argument(
            fmt::format("{} is needed (or --insecure, on loopback)", flag_name));
    std::error_code ec;
    if (!std::filesystem::is_regular_file(path, ec))
        return base::invalid_argument(fmt::format("{}: there is no file {}", flag_name, path));
    return {};
}

}  // namespace

base::Status validate(const Config& c, FlagGroups groups) {
    if (c.name.empty()) return base::invalid_argument("--name must not be empty");
    if (!c.insecure) {
        TRY_VOID(check_file(c.tls.ca, "--ca-file"));
        TRY_VOID(check_file(c.tls.certificate, "--cert-file"));
        TRY_VOID(check_file(c.tls.key, "--key-file"));
    }
    if (groups.store) {
        TRY_VOID(check_address(c.listen_peer, "--listen-peer", c.insecure));
        TRY_VOID(check_address(c.listen_client, "--listen-client", c.insecure));
        if (c.election_ms < 3 * c.heartbeat_ms)
            return base::invalid_argument(
                fmt::format("--election-ms ({}) must be at least three times --heartbeat-ms ({})",
                            c.election_ms, c.heartbeat_ms));
        for (const auto& endpoint : c.join)
            if (auto parsed = net::Endpoint::parse(endpoint); !parsed)
                return base::invalid_argument("--join: " + parsed.error().message);
        if (!c.join.empty() && !c.initial_cluster.empty())
            return base::invalid_argument(
                "--join and --initial-cluster exclude each other: a member joins a cluster or "
                "begins one");
        if (!c.advertise_peer.empty())
            if (auto parsed = net::Endpoint::parse(c.advertise_peer); !parsed)
                return base::invalid_argument("--advertise-peer: " + parsed.error().message);
        bool found = c.initial_cluster.empty();
        for (const auto& member : c.initial_cluster) {
            const auto equals = member.find('=');
            if (equals == std::string::npos || equals == 0)
                return base::invalid_argument("--initial-cluster: \"" + member +
                                              "\" is not name=URL");
            auto url = net::Endpoint::parse(member.substr(equals + 1));
            if (!url) return base::invalid_argument("--initial-cluster: " + url.error().message);
            found = found || member.substr(0, equals) == c.name;
        }
        if (!found)
            return base::invalid_argument("--initial-cluster does not name this member, " + c.name);
    }
    if (groups.store_client)
        for (const auto& endpoint : c.store_endpoints)
            if (auto parsed = net::Endpoint::parse(endpoint); !parsed)
                return base::invalid_argument("--store: " + parsed.error().message);
    if (groups.api) {
        TRY_VOID(check_address(c.listen_api, "--listen-api", c.insecure));
        if (!c.token_file.empty()) TRY_VOID(check_file(c.token_file, "--token-auth-file"));
    }
    if (groups.api_client)
        if (auto parsed = net::Endpoint::parse(c.api_endpoint); !parsed)
            return base::invalid_argument("--server: " + parsed.error().message);
    if (groups.election &&
        !(c.retry_seconds < c.renew_seconds && c.renew_seconds < c.lease_seconds))
        return base::invalid_argument(
            "--leader-elect-retry-seconds < --leader-elect-renew-seconds < "
            "--leader-elect-lease-seconds must hold");
    return {};
}

}  // namespace tools
