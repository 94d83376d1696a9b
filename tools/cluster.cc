#include "tools/cluster.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <boost/json.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/bytes.h"
#include "base/file.h"
#include "base/ports.h"
#include "kvstore/proto/rpc.pb.h"
#include "net/pki.h"
#include "tools/blocking.h"
#include "tools/config.h"
#include "tools/member_id.h"
#include "tools/store_client.h"

namespace tools {

namespace {

constexpr const char* kHost = "127.0.0.1";
constexpr base::Millis kCallTimeout{3000};
constexpr base::Millis kStopPatience{15'000};

std::string own_directory() {
    return std::filesystem::read_symlink("/proc/self/exe").parent_path();
}

// A process that has ended but was not waited for is no running one.
bool alive(int pid) {
    if (pid <= 0 || ::kill(pid, 0) != 0) return false;
    std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
    std::string text((std::istreambuf_iterator<char>(stat)), {});
    const auto close = text.rfind(')');
    return close != std::string::npos && close + 2 < text.size() && text[close + 2] != 'Z';
}

base::Task<net::Response> http_get(base::Loop* loop, std::string url,
                                   std::optional<net::ClientTls> tls) {
    net::ClientOptions options;
    const auto slash = url.find('/', url.find("://") + 3);
    CO_TRY(options.endpoint, net::Endpoint::parse(url.substr(0, slash)));
    options.tls = std::move(tls);
    net::HttpClient client(*loop, std::move(options));
    net::Request request;
    request.target = slash == std::string::npos ? "/" : url.substr(slash);
    co_return co_await client.send(std::move(request), kCallTimeout);
}

base::Result<net::Response> get(std::string url, std::optional<net::ClientTls> tls) {
    return run_blocking<net::Response>([&](base::Loop& loop) { return http_get(&loop, url, tls); });
}

}  // namespace

std::string Cluster::member_url(const ClusterMember& m, const char* which) const {
    const std::string_view w = which;
    const std::uint16_t port = w == "client" ? m.client_port
                               : w == "peer" ? m.peer_port
                                             : m.api_port;
    return fmt::format("{}://{}:{}", options_.insecure ? "http" : "https", kHost, port);
}

std::string Cluster::api_url() const {
    if (!options_.haproxy) return member_url(members_.front(), "api");
    return fmt::format("{}://{}:{}", options_.insecure ? "http" : "https", kHost, haproxy_port_);
}

std::optional<net::ClientTls> Cluster::admin_tls() const {
    if (options_.insecure) return std::nullopt;
    TlsFiles files{pki("ca.crt"), pki("admin.crt"), pki("admin.key")};
    return files.client();
}

base::Result<Cluster> Cluster::create(const ClusterOptions& options) {
    if (options.members < 1 || options.members % 2 == 0)
        return base::invalid_argument(
            fmt::format("--members must be odd (a majority of an even number is no better), not {}",
                        options.members));
    std::error_code ec;
    if (std::filesystem::exists(options.directory, ec) &&
        !std::filesystem::is_empty(options.directory, ec))
        return base::invalid_argument("--dir " + options.directory +
                                      " is not empty and holds no cluster");
    Cluster cluster(options);
    cluster.options_.directory = std::filesystem::absolute(options.directory).lexically_normal();
    TRY_VOID(base::make_directories(cluster.options_.directory, 0700));
    std::vector<std::uint16_t> ports;
    const auto count = static_cast<std::size_t>(options.members) * 3 + 1;
    if (options.base_port == 0) {
        TRY(ports, base::free_loopback_ports(count));
    } else {
        if (options.base_port + count > 65535)
            return base::invalid_argument("--base-port leaves too few ports");
        for (std::size_t i = 0; i < count; ++i)
            ports.push_back(static_cast<std::uint16_t>(options.base_port + i));
    }
    // The load balancer has the first.
    cluster.haproxy_port_ = ports[0];
    for (int i = 0; i < options.members; ++i) {
        const auto at = static_cast<std::size_t>(i) * 3 + 1;
        cluster.members_.push_back(
            {"m" + std::to_string(i + 1), ports[at], ports[at + 1], ports[at + 2]});
    }
    if (!options.insecure) TRY_VOID(cluster.make_certificates());
    TRY_VOID(cluster.make_configurations());
    TRY_VOID(cluster.save());
    return cluster;
}

base::Status Cluster::make_certificates() const {
    TRY_VOID(base::make_directories(pki(""), 0700));
    TRY(const net::KeyPair ca, net::make_ca("coxswain-ca"));
    TRY_VOID(net::write_key_pair(ca, pki("ca")));
    net::CertificateSpec admin;
    admin.common_name = "kubernetes-admin";
    admin.organizations = {"system:masters"};
    admin.client = true;
    admin.validity = std::chrono::hours(24 * 365 * 10);
    TRY(const net::KeyPair admin_pair, net::issue_certificate(ca, admin));
    TRY_VOID(net::write_key_pair(admin_pair, pki("admin")));
    for (const auto& m : members_) {
        net::CertificateSpec spec = admin;
        spec.common_name = "system:coxswain:" + m.name;
        spec.server = true;
        spec.dns_names = {"localhost",
                          "kubernetes",
                          "kubernetes.default",
                          "kubernetes.default.svc",
                          "kubernetes.default.svc.cluster.local",
                          m.name};
        spec.ip_addresses = {kHost, "::1", "10.96.0.1"};
        TRY(const net::KeyPair pair, net::issue_certificate(ca, spec));
        TRY_VOID(net::write_key_pair(pair, pki(m.name)));
    }
    return {};
}

std::string Cluster::token() const {
    return base::hex_encode(std::filesystem::path(options_.directory).filename().string()) + "-" +
           std::to_string(members_.front().peer_port);
}

base::Status Cluster::make_configurations() const {
    std::string initial;
    for (const auto& m : members_)
        initial += fmt::format("  - {}={}\n", m.name, member_url(m, "peer"));
    for (const auto& m : members_) {
        TRY_VOID(base::make_directories(options_.directory + "/" + m.name, 0700));
        std::string text = fmt::format(
            "name: {}\ndata-dir: {}\ncluster-token: \"{}\"\nlisten-peer: {}:{}\nlisten-client: "
            "{}:{}\nlisten-api: {}:{}\n"
            "initial-cluster:\n{}",
            m.name, path(m.name, "data"), token(), kHost, m.peer_port, kHost, m.client_port, kHost,
            m.api_port, initial);
        if (options_.insecure)
            text += "insecure: true\n";
        else
            text += fmt::format("ca-file: {}\ncert-file: {}\nkey-file: {}\n", pki("ca.crt"),
                                pki(m.name + ".crt"), pki(m.name + ".key"));
        for (const auto& line : options_.extra_flags)
            text += line + "\n";
        TRY_VOID(base::write_file_atomic(path(m.name, "config.yaml"), text));
    }
    if (options_.haproxy) {
        TRY_VOID(base::make_directories(options_.directory + "/haproxy", 0700));
        std::string text = fmt::format(
            "# API servers are active-active: connections are spread over those that say they are "
            "ready.\n"
            "global\n    maxconn 4000\n"
            "defaults\n    mode tcp\n    timeout connect 2s\n    timeout client 300s\n    timeout "
            "server 300s\n    timeout check 2s\n    option redispatch\n    retries 3\n"
            "frontend kubernetes\n    bind {}:{}\n    default_backend masters\n"
            "backend masters\n    balance roundrobin\n    option httpchk GET /readyz\n    "
            "http-check expect status 200\n"
            "    default-server check {}inter 500ms fall 2 rise 1 on-marked-down "
            "shutdown-sessions\n",
            kHost, haproxy_port_, options_.insecure ? "" : "check-ssl verify none ");
        for (const auto& m : members_)
            text += fmt::format("    server {} {}:{}\n", m.name, kHost, m.api_port);
        TRY_VOID(base::write_file_atomic(path("haproxy", "haproxy.cfg"), text));
    }
    if (options_.hollow_nodes > 0) {
        TRY_VOID(base::make_directories(options_.directory + "/hollow-nodes", 0700));
        std::string text = fmt::format("name: hollow-nodes\ncount: {}\nserver: {}\n",
                                       options_.hollow_nodes, api_url());
        if (options_.insecure)
            text += "insecure: true\n";
        else
            text += fmt::format("ca-file: {}\ncert-file: {}\nkey-file: {}\n", pki("ca.crt"),
                                pki("admin.crt"), pki("admin.key"));
        TRY_VOID(base::write_file_atomic(path("hollow-nodes", "config.yaml"), text));
    }
    std::string user = "{}";
    std::string authority;
    if (!options_.insecure) {
        TRY(const std::string ca, base::read_file(pki("ca.crt")));
        TRY(const std::string certificate, base::read_file(pki("admin.crt")));
        TRY(const std::string key, base::read_file(pki("admin.key")));
        authority = fmt::format("\n    certificate-authority-data: {}", base::base64_encode(ca));
        user = fmt::format("\n    client-certificate-data: {}\n    client-key-data: {}",
                           base::base64_encode(certificate), base::base64_encode(key));
    }
    const std::string kubeconfig = fmt::format(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: coxswain\n  cluster:\n    server: {}{}\n"
        "users:\n- name: admin\n  user: {}\ncontexts:\n- name: coxswain\n  context:\n    cluster: "
        "coxswain\n    user: admin\ncurrent-context: coxswain\n",
        api_url(), authority, user);
    return base::write_file_atomic(kubeconfig_path(), kubeconfig, 0600);
}

base::Status Cluster::save() const {
    std::string text =
        fmt::format("insecure: {}\nhaproxy: {}\nhaproxy-port: {}\nhollow-nodes: {}\nmembers:\n",
                    options_.insecure, options_.haproxy, haproxy_port_, options_.hollow_nodes);
    for (const auto& m : members_)
        text += fmt::format("- {{name: {}, client: {}, peer: {}, api: {}}}\n", m.name,
                            m.client_port, m.peer_port, m.api_port);
    return base::write_file_atomic(options_.directory + "/cluster.yaml", text);
}

base::Result<Cluster> Cluster::open(const std::string& directory) {
    ClusterOptions options;
    options.directory = std::filesystem::absolute(directory).lexically_normal();
    auto text = base::read_file(options.directory + "/cluster.yaml");
    if (!text) return base::not_found("--dir " + directory + " holds no cluster (no cluster.yaml)");
    try {
        const YAML::Node root = YAML::Load(*text);
        options.insecure = root["insecure"].as<bool>();
        options.haproxy = root["haproxy"].as<bool>();
        options.hollow_nodes = root["hollow-nodes"].as<int>();
        Cluster cluster(options);
        cluster.haproxy_port_ = root["haproxy-port"].as<std::uint16_t>();
        for (const auto& m : root["members"])
            cluster.members_.push_back(
                {m["name"].as<std::string>(), m["client"].as<std::uint16_t>(),
                 m["peer"].as<std::uint16_t>(), m["api"].as<std::uint16_t>()});
        cluster.options_.members = static_cast<int>(cluster.members_.size());
        if (cluster.members_.empty())
            return base::data_loss(directory + "/cluster.yaml names no member");
        return cluster;
    } catch (const YAML::Exception& e) {
        return base::data_loss(directory + "/cluster.yaml: " + e.what());
    }
}

int Cluster::pid_of(const std::string& what) const {
    auto text = base::read_file(path(what, "pid"));
    if (!text) return 0;
    const int pid = std::atoi(text->c_str());
    return alive(pid) ? pid : 0;
}

// A process of its own session that outlives us; its output goes to the log.
base::Status Cluster::spawn(const std::string& what, std::vector<std::string> command) {
    const int log = ::open(log_of(what).c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log < 0) return base::errno_error(errno, "open " + log_of(what));
    std::vector<char*> argv;
    for (auto& word : command)
        argv.push_back(word.data());
    argv.push_back(nullptr);
    const pid_t pid = ::fork();
    if (pid < 0) return base::errno_error(errno, "fork");
    if (pid == 0) {
        ::setsid();
        const int null = ::open("/dev/null", O_RDONLY);
        ::dup2(null, 0);
        ::dup2(log, 1);
        ::dup2(log, 2);
        ::execvp(argv[0], argv.data());
        ::_exit(127);
    }
    ::close(log);
    return base::write_file_atomic(path(what, "pid"), std::to_string(pid) + "\n");
}

base::Status Cluster::start_member(const ClusterMember& m) {
    if (pid_of(m.name) != 0) return {};
    return spawn(
        m.name, {own_directory() + "/coxswain", "server", "--config", path(m.name, "config.yaml")});
}

base::Status Cluster::start_haproxy() {
    if (!options_.haproxy || pid_of("haproxy") != 0) return {};
    const char* kPlaces[] = {"/usr/sbin/haproxy", "/usr/local/sbin/haproxy", "/usr/bin/haproxy"};
    for (const char* place : kPlaces)
        if (::access(place, X_OK) == 0)
            return spawn("haproxy", {place, "-db", "-f", path("haproxy", "haproxy.cfg")});
    return base::not_found("--haproxy: haproxy is not installed (Debian: apt-get install haproxy)");
}

base::Status Cluster::start_hollow_nodes() {
    if (options_.hollow_nodes == 0 || pid_of("hollow-nodes") != 0) return {};
    return spawn("hollow-nodes", {own_directory() + "/coxswain", "hollow-nodes", "--config",
                                  path("hollow-nodes", "config.yaml")});
}

base::Result<bool> Cluster::stop(const std::string& what, int signal) {
    const int pid = pid_of(what);
    if (pid == 0) return false;
    const auto began = std::chrono::steady_clock::now();
    ::kill(pid, signal);
    while (alive(pid)) {
        // Our own child stays a zombie until it is waited for.
        ::waitpid(pid, nullptr, WNOHANG);
        const auto waited = std::chrono::steady_clock::now() - began;
        if (waited > kStopPatience) ::kill(pid, SIGKILL);
        if (waited > 2 * kStopPatience)
            return base::unavailable(what + " does not stop (pid " + std::to_string(pid) + ")");
        std::this_thread::sleep_for(base::Millis(10));
    }
    std::filesystem::remove(path(what, "pid"));
    return true;
}

MemberStatus Cluster::status(const ClusterMember& m) const {
    MemberStatus out;
    out.id = member_id(token(), m.name);
    out.pid = pid_of(m.name);
    if (out.pid == 0) return out;
    auto endpoint = net::Endpoint::parse(member_url(m, "client"));
    CHECK(endpoint.has_value());
    Target target;
    target.endpoints = {*endpoint};
    target.tls = admin_tls();
    auto bytes =
        call_bytes(target, "/etcdserverpb.Maintenance/Status", std::string(), kCallTimeout);
    etcdserverpb::StatusResponse response;
    if (!bytes || !response.ParseFromString(*bytes)) return out;
    out.leader = response.leader() == out.id;
    out.revision = response.header().revision();
    out.applied_index = response.raftappliedindex();
    const auto ready = get(member_url(m, "api") + "/readyz", admin_tls());
    out.healthy = ready && ready->status == 200 && response.leader() != 0;
    return out;
}

std::string Cluster::lease_holder(const std::string& lease) const {
    for (const auto& m : members_) {
        if (pid_of(m.name) == 0) continue;
        auto response =
            get(member_url(m, "api") +
                    "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/" + lease,
                admin_tls());
        if (!response) continue;
        boost::system::error_code ec;
        const auto json = boost::json::parse(response->text(), ec);
        if (ec || response->status != 200) continue;
        if (const auto* holder = json.find_pointer("/spec/holderIdentity", ec);
            holder != nullptr && holder->is_string())
            return std::string(holder->as_string());
        return {};
    }
    return {};
}

base::Result<const ClusterMember*> Cluster::find(const std::string& wanted) const {
    for (const auto& m : members_) {
        if (m.name == wanted) return &m;
        if (wanted.size() < 3 && wanted != "leader") continue;
        const auto s = status(m);
        if ((wanted == "leader" && s.leader) || wanted == fmt::format("{:x}", s.id)) return &m;
    }
    if (wanted == "leader") return base::unavailable("no member leads now");
    return base::invalid_argument("no member is called " + wanted);
}

base::Status Cluster::wait_ready(base::Millis timeout) const {
    const auto until = std::chrono::steady_clock::now() + timeout;
    for (const auto& m : members_) {
        for (;;) {
            if (pid_of(m.name) == 0)
                return base::unavailable(
                    fmt::format("member {} has ended; the end of its log, {}, says why", m.name,
                                log_of(m.name)));
            const auto ready = get(member_url(m, "api") + "/readyz", admin_tls());
            if (ready && ready->status == 200) break;
            if (std::chrono::steady_clock::now() > until)
                return base::unavailable(fmt::format("member {} is not ready: {}; see {}", m.name,
                                                     ready ? ready->text() : ready.error().message,
                                                     log_of(m.name)));
            std::this_thread::sleep_for(base::Millis(20));
        }
    }
    return {};
}

base::Status Cluster::wait_api(base::Millis timeout) const {
    const auto until = std::chrono::steady_clock::now() + timeout;
    for (;;) {
        const auto ready = get(api_url() + "/readyz", admin_tls());
        if (ready && ready->status == 200) return {};
        if (options_.haproxy && pid_of("haproxy") == 0)
            return base::unavailable("haproxy has ended; " + log_of("haproxy") + " says why");
        if (std::chrono::steady_clock::now() > until)
            return base::unavailable(api_url() + " does not answer: " +
                                     (ready ? std::string(ready->text()) : ready.error().message));
        std::this_thread::sleep_for(base::Millis(50));
    }
}

}  // namespace tools
