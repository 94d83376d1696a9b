#include "tools/store_client.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <charconv>

#include "tools/cluster.h"
#include "tools/config.h"

namespace tools {

namespace {

// CLI11 keeps references, so this lives as long as the process.
struct Common {
    std::string cluster;
    std::vector<std::string> endpoints;
    TlsFiles tls;
    std::string format = "table";
    std::int64_t timeout_ms = 5000;
} common;

void add_common(CLI::App* app) {
    app->add_option("--cluster", common.cluster,
                    "directory of a cluster that `coxctl cluster up` made");
    app->add_option("--endpoints", common.endpoints, "host:port of members")->delimiter(',');
    app->add_option("--cacert", common.tls.ca, "PEM: who signed the members' certificates");
    app->add_option("--cert", common.tls.certificate, "PEM: the certificate to show");
    app->add_option("--key-file", common.tls.key, "PEM: its private key");
    app->add_option("-o,--output", common.format, "table or json")
        ->check(CLI::IsMember({"table", "json"}))
        ->capture_default_str();
    app->add_option("--timeout-ms", common.timeout_ms, "of a call")->capture_default_str();
}

}  // namespace

base::Result<Target> target() {
    Target out;
    if (!common.cluster.empty()) {
        TRY(const Cluster cluster, Cluster::open(common.cluster));
        for (const auto& m : cluster.members()) {
            TRY(net::Endpoint endpoint, net::Endpoint::parse(cluster.member_url(m, "client")));
            out.endpoints.push_back(std::move(endpoint));
        }
        out.tls = cluster.admin_tls();
        return out;
    }
    if (common.endpoints.empty())
        return base::invalid_argument(
            "say where the store is: --cluster DIR or --endpoints host:port,…");
    bool secure = false;
    for (const auto& text : common.endpoints) {
        TRY(net::Endpoint endpoint, net::Endpoint::parse(text, &secure));
        out.endpoints.push_back(std::move(endpoint));
    }
    if (!common.tls.ca.empty() || secure) out.tls = common.tls.client();
    return out;
}

bool as_json() {
    return common.format == "json";
}

base::Millis call_timeout() {
    return base::Millis(common.timeout_ms);
}

void print_json(const boost::json::value& value) {
    fmt::print("{}\n", boost::json::serialize(value));
}

base::Result<std::int64_t> lease_id(const std::string& text) {
    std::uint64_t id = 0;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), id, 16);
    if (ec != std::errc() || end != text.data() + text.size())
        return base::invalid_argument("\"" + text + "\" is no lease id (hexadecimal)");
    return static_cast<std::int64_t>(id);
}

CLI::App* store_command(CLI::App& parent, int* exit_code, const char* name, const char* help,
                        std::function<base::Status()> run) {
    auto* sub = parent.add_subcommand(name, help);
    add_common(sub);
    sub->callback([exit_code, run] {
        const auto done = run();
        *exit_code = done ? 0 : 1;
        if (!done) fmt::print(stderr, "coxctl: {}\n", done.error().message);
    });
    return sub;
}

}  // namespace tools
