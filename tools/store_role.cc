#include "tools/store_role.h"

#include <fmt/format.h>
#include <map>

#include "base/bytes.h"
#include "base/file.h"
#include "base/log.h"
#include "kvstore/local_client.h"
#include "kvstore/node.h"
#include "kvstore/replica/host.h"
#include "kvstore/server/etcd_service.h"
#include "net/client.h"
#include "net/grpc.h"
#include "tools/blocking.h"
#include "tools/member_id.h"

namespace tools {

namespace {

constexpr base::Millis kDrain{2000};

std::string scheme(const Config& c) {
    return c.insecure ? "http://" : "https://";
}
std::string client_url(const Config& c) {
    return c.advertise_client.empty() ? scheme(c) + c.listen_client : c.advertise_client;
}

std::vector<kvstore::Member> initial_members(const Config& c) {
    std::vector<kvstore::Member> out;
    auto add = [&](const std::string& name, const std::string& peer_url) {
        kvstore::Member m;
        m.id = raft::NodeId(member_id(c.cluster_token, name));
        m.name = name;
        m.peer_urls = {peer_url};
        // Client URLs are published through the log later: what the log begins with must be the
        // same on every member.
        out.push_back(std::move(m));
    };
    for (const auto& text : c.initial_cluster)
        add(text.substr(0, text.find('=')), text.substr(text.find('=') + 1));
    if (out.empty()) add(c.name, scheme(c) + c.listen_peer);
    return out;
}

}  // namespace

struct StoreRole::Impl {
    explicit Impl(const Config& c) : config(c), loop("store"), pool("store-work", 1) {}

    base::Status open() {
        kvstore::Machine::Options machine_options;
        machine_options.directory = config.data_dir + "/db";
        machine_options.now_ms = [] {
            return std::chrono::duration_cast<base::Millis>(
                       std::chrono::steady_clock::now().time_since_epoch())
                .count();
        };
        machine_options.in_background = [this](base::UniqueFunction<void()> work,
                                               base::UniqueFunction<void()> then) {
            pool.submit([this, w = std::move(work), t = std::move(then)]() mutable {
                w();
                loop.post(std::move(t));
            });
        };
        TRY(machine, kvstore::Machine::open(std::move(machine_options)));

        TRY(const net::Endpoint peer, net::Endpoint::parse(config.listen_peer));
        kvstore::HostOptions host_options;
        host_options.replica.id = raft::NodeId(member_id(config.cluster_token, config.name));
        std::string members = config.cluster_token;
        for (const auto& m : config.initial_cluster)
            members += "\n" + m.substr(0, m.find('='));
        host_options.replica.cluster_id = stable_id(members);
        host_options.replica.initial_members = initial_members(config);
        host_options.replica.heartbeat = base::Millis(config.heartbeat_ms);
        host_options.replica.election_min = base::Millis(config.election_ms);
        host_options.log_directory = config.data_dir + "/log";
        host_options.peers.cluster_id = host_options.replica.cluster_id;
        host_options.peers.id = host_options.replica.id;
        host_options.peers.listen_host = peer.host;
        host_options.peers.listen_port = peer.port;
        if (!config.insecure) {
            host_options.peers.server_tls = config.tls.server(net::ClientAuth::kRequire);
            host_options.peers.client_tls = config.tls.client();
        }
        TRY(host, kvstore::ReplicaHost::open(loop, std::move(host_options), *machine));

        kvstore::Node::Options node_options;
        node_options.min_lease_ttl_seconds = (config.election_ms * 3 / 2 + 999) / 1000;
        node_options.ask_leader = [this](const kvstore::Member& leader, std::string path,
                                         std::string message, kvstore::Done<std::string> done) {
            ask(leader, std::move(path), message, std::move(done));
        };
        host->replica().on_storage_state([](const base::Status& state) {
            if (state)
                LOG_INFO("store", "the disk takes writes again");
            else
                LOG_ERROR("store", "writes wait for the disk: {}", state.error().message);
        });
        node = std::make_unique<kvstore::Node>(loop, *machine, host->replica(),
                                               std::move(node_options));
        return listen();
    }

    base::Status listen() {
        TRY(const net::Endpoint client, net::Endpoint::parse(config.listen_client));
        service = std::make_unique<net::GrpcService>(loop);
        kvstore::EtcdServiceOptions options;
        options.spool_directory = config.data_dir;
        options.pool = &pool;
        kvstore::add_etcd_services(loop, *service, *node, std::move(options));
        net::ServerOptions server_options;
        server_options.name = "etcd";
        server_options.address = client.host;
        server_options.port = client.port;
        server_options.max_concurrent_streams = 100'000;
        if (!config.insecure) server_options.tls = config.tls.server(net::ClientAuth::kRequire);
        net::ServerHandlers others;
        others.on_exchange = [this](std::shared_ptr<net::Exchange> exchange) {
            return kvstore::serve_etcd_http(*node, std::move(exchange));
        };
        server = std::make_unique<net::Server>(loop, std::move(server_options),
                                               service->handlers(std::move(others)));
        auto port = server->listen();
        if (!port) {
            server.reset();
            return port.error().with_context("--listen-client " + config.listen_client);
        }
        publish.emplace(loop);
        publish->every(base::Millis(500), [this] { publish_urls(); });
        return {};
    }

    // The members' URLs are in the log: this member's own, as they are now, have to get there once.
    void publish_urls() {
        if (publishing || host->replica().leader() == raft::kNobody) return;
        for (const auto& m : host->replica().members()) {
            if (m.id != host->replica().id()) continue;
            if (m.client_urls == std::vector<std::string>{client_url(config)})
                return publish->cancel();
            publishing = true;
            kvstore::MembershipChange change;
            change.kind = kvstore::MembershipChange::Kind::kUpdate;
            change.member = m;
            change.member.name = config.name;
            change.member.client_urls = {client_url(config)};
            host->replica().change_membership(
                std::move(change),
                [this](base::Result<std::vector<kvstore::Member>>) { publishing = false; });
        }
    }

    void ask(const kvstore::Member& leader, std::string path, const std::string& message,
             kvstore::Done<std::string> done) {
        if (leader.client_urls.empty())
            return done(base::unavailable("the leader has not published its address yet"));
        auto& channel = channels[leader.client_urls.front()];
        if (!channel) {
            auto endpoint = net::Endpoint::parse(leader.client_urls.front());
            if (!endpoint) return done(endpoint.error());
            net::GrpcChannelOptions options;
            options.endpoints = {*endpoint};
            if (!config.insecure) options.tls = config.tls.client();
            channel = std::make_unique<net::GrpcChannel>(loop, std::move(options));
        }
        channel->call_async(std::move(path), message, base::Millis(5000), {}, std::move(done));
    }

    base::Awaitable<void> close() {
        publish.reset();
        if (server) co_await server->stop(kDrain);
        channels.clear();
        if (host) {
            auto start = [this](base::UniqueFunction<void(int)> resolve) {
                host->replica().stop([r = std::move(resolve)]() mutable { r(0); });
            };
            co_await base::suspend<int>(std::move(start));
        }
        server.reset();
        service.reset();
        node.reset();
        host.reset();
        machine.reset();
    }

    Config config;
    base::Loop loop;
    base::WorkerPool pool;
    std::unique_ptr<kvstore::Machine> machine;
    std::unique_ptr<kvstore::ReplicaHost> host;
    std::unique_ptr<kvstore::Node> node;
    std::unique_ptr<net::GrpcService> service;
    std::unique_ptr<net::Server> server;
    std::map<std::string, std::unique_ptr<net::GrpcChannel>> channels;
    std::optional<base::Timer> publish;
    bool publishing = false;
    bool started = false;
};

StoreRole::StoreRole(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
StoreRole::~StoreRole() {
    stop();
}

base::Result<std::unique_ptr<StoreRole>> StoreRole::start(const Config& config) {
    TRY_VOID(base::make_directories(config.data_dir, 0700));
    auto impl = std::make_unique<Impl>(config);
    impl->loop.start();
    base::Status opened;
    impl->loop.run_and_wait([&] { opened = impl->open(); });
    impl->started = true;
    std::unique_ptr<StoreRole> role(new StoreRole(std::move(impl)));
    if (!opened) return opened.error();
    return role;
}

std::shared_ptr<kvstore::Client> StoreRole::client(base::Loop& home) {
    return kvstore::make_local_client(home, impl_->loop, *impl_->node);
}

void StoreRole::stop() {
    if (!std::exchange(impl_->started, false)) return;
    run_on(impl_->loop, [this] { return impl_->close(); });
    impl_->loop.stop();
    impl_->loop.join();
}

}  // namespace tools
