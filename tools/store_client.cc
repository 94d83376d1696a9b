#include "tools/store_client.h"

#include <fmt/format.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <charconv>

#include "kvstore/proto/rpc.pb.h"
#include "tools/cluster.h"

namespace tools {

namespace {

// CLI11 keeps references, so this lives as long as the process.
struct Common {
    std::string cluster;
    std::vector<std::string> endpoints;
    TlsFiles tls;
    std::string user;
    std::string format = "table";
    std::int64_t timeout_ms = 5000;
} common;

void add_output(CLI::App* app) {
    app->add_option("-o,--output", common.format, "table or json")
        ->check(CLI::IsMember({"table", "json"}))
        ->capture_default_str();
}

void add_common(CLI::App* app) {
    app->add_option("--cluster", common.cluster,
                    "directory of a cluster that `coxctl cluster up` made");
    app->add_option("--endpoints", common.endpoints, "host:port of members")->delimiter(',');
    app->add_option("--cacert", common.tls.ca, "PEM: who signed the members' certificates");
    app->add_option("--cert", common.tls.certificate, "PEM: the certificate to show");
    app->add_option("--key-file", common.tls.key, "PEM: its private key");
    app->add_option("--user", common.user,
                    "name:password of a user of the store; the name alone asks for the password");
    add_output(app);
    app->add_option("--timeout-ms", common.timeout_ms, "of a call")->capture_default_str();
}

}  // namespace

namespace {

base::Result<std::string> ask_password(const std::string& name) {
    if (::isatty(0) == 0)
        return base::invalid_argument("--user " + name +
                                      ": there is no password (name:password), and no terminal "
                                      "to ask for it");
    const char* typed = ::getpass(("Password of " + name + ": ").c_str());
    if (typed == nullptr) return base::invalid_argument("no password was typed");
    return std::string(typed);
}

// A store that checks no users gives no token and needs none.
base::Status sign_in(Target* at, const std::string& user) {
    if (user.empty()) return {};
    const auto colon = user.find(':');
    at->user = user.substr(0, colon);
    if (colon == std::string::npos) {
        TRY(at->password, ask_password(user));
    } else {
        at->password = user.substr(colon + 1);
    }
    auto response = call_at<etcdserverpb::AuthenticateResponse>(*at, kSignIn, at->credentials());
    if (response)
        at->token = response->token();
    else if (response.error().message != "etcdserver: authentication is not enabled")
        return response.error().with_context("--user");
    return {};
}

base::Result<Target> find_target() {
    if (common.cluster.empty()) return make_target(common.endpoints, common.tls, common.user);
    Target out;
    TRY(const Cluster cluster, Cluster::open(common.cluster));
    for (const auto& m : cluster.members()) {
        TRY(net::Endpoint endpoint, net::Endpoint::parse(cluster.member_url(m, "client")));
        out.endpoints.push_back(std::move(endpoint));
    }
    out.tls = cluster.admin_tls();
    TRY_VOID(sign_in(&out, common.user));
    return out;
}

}  // namespace

base::Result<Target> make_target(const std::vector<std::string>& endpoints, const TlsFiles& tls,
                                 const std::string& user) {
    if (endpoints.empty())
        return base::invalid_argument(
            "say where the store is: --cluster DIR or --endpoints host:port,…");
    Target out;
    bool secure = false;
    for (const auto& text : endpoints) {
        TRY(net::Endpoint endpoint, net::Endpoint::parse(text, &secure));
        out.endpoints.push_back(std::move(endpoint));
    }
    if (!tls.ca.empty() || secure) out.tls = tls.client();
    TRY_VOID(sign_in(&out, user));
    return out;
}

base::Result<Target> target() {
    static std::optional<Target> found;
    if (!found) {
        TRY(found, find_target());
    }
    return *found;
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

namespace {
CLI::App* command(CLI::App& parent, int* exit_code, const char* name, const char* help,
                  std::function<base::Status()> run) {
    auto* sub = parent.add_subcommand(name, help);
    sub->callback([exit_code, run = std::move(run)] {
        const auto done = run();
        *exit_code = done ? 0 : 1;
        if (!done) fmt::print(stderr, "coxctl: {}\n", done.error().message);
    });
    return sub;
}
}  // namespace

CLI::App* store_command(CLI::App& parent, int* exit_code, const char* name, const char* help,
                        std::function<base::Status()> run) {
    auto* sub = command(parent, exit_code, name, help, std::move(run));
    add_common(sub);
    return sub;
}

CLI::App* file_command(CLI::App& parent, int* exit_code, const char* name, const char* help,
                       std::function<base::Status()> run) {
    auto* sub = command(parent, exit_code, name, help, std::move(run));
    add_output(sub);
    return sub;
}

}  // namespace tools
