#include "tools/store_role.h"

#include <fmt/format.h>
#include <algorithm>
#include <map>
#include <utility>

#include "base/bytes.h"
#include "base/file.h"
#include "base/log.h"
#include "kvstore/local_client.h"
#include "kvstore/node.h"
#include "kvstore/replica/host.h"
#include "kvstore/server/etcd_service.h"
#include "kvstore/server/json_gateway.h"
#include "kvstore/server/jwt.h"
#include "kvstore/server/store_metrics.h"
#include "net/client.h"
#include "net/grpc.h"
#include "tools/blocking.h"
#include "tools/identity.h"
#include "tools/member_id.h"

namespace tools {

namespace {

constexpr base::Millis kDrain{2000};
// What a request's message may have beside the request, so that one that is too large is told so.
constexpr std::size_t kMessageOverhead = 3 << 20;
constexpr base::Millis kMemberCheck{500};
constexpr base::Millis kPublishRetry{500};
// A new leader's address follows its election by an entry or two of the log.
constexpr base::Millis kAddressRetry{20};
constexpr int kAddressRetries = 100;
constexpr std::size_t kMostWaitingForAddress = 1000;
// How many checks in a row must find this member out: a removal that is not committed may be
// undone.
constexpr int kChecksToLeave = 4;

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
    if (out.empty()) add(c.name, advertised_peer(c));
    return out;
}

// What signs the tokens of users; null for simple ones.
base::Result<std::shared_ptr<const kvstore::Jwt>> token_signer(const Config& c) {
    if (c.auth_token == "simple") return std::shared_ptr<const kvstore::Jwt>();
    if (!c.auth_token.starts_with("jwt,"))
        return base::invalid_argument("--auth-token " + c.auth_token +
                                      ": is neither simple nor jwt,…");
    auto jwt = kvstore::Jwt::open(c.auth_token.substr(4));
    if (!jwt) return jwt.error().with_context("--auth-token");
    return jwt;
}

}  // namespace

struct StoreRole::Impl {
    Impl(const Config& c, Identity i)
        : config(c), identity(std::move(i)), loop("store"), pool("store-work", 2) {}

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
        host_options.replica.id = raft::NodeId(identity.id);
        host_options.replica.cluster_id = identity.cluster;
        if (identity.joined)
            host_options.replica.join_members = identity.others;
        else
            host_options.replica.initial_members = initial_members(config);
        host_options.replica.heartbeat = base::Millis(config.heartbeat_ms);
        host_options.replica.election_min = base::Millis(config.election_ms);
        host_options.replica.leader_priority = config.leader_priority;
        host_options.replica.lease_reads = config.read_mode == "lease";
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
        node_options.lease_checkpoint_seconds = config.lease_checkpoint_interval;
        node_options.max_learners = config.max_learners;
        node_options.quota_bytes = config.quota_backend_bytes;
        node_options.max_txn_ops = config.max_txn_ops;
        node_options.max_request_bytes = static_cast<std::size_t>(config.max_request_bytes);
        TRY(node_options.auto_compaction,
            kvstore::AutoCompactor::parse(config.auto_compaction_mode,
                                          config.auto_compaction_retention));
        node_options.ask_leader = [this](const kvstore::Member& leader, std::string path,
                                         std::string message, std::string token,
                                         kvstore::Done<std::string> done) {
            ask(leader, {std::move(path), std::move(message), std::move(token), std::move(done)});
        };
        if (!is_member() && !host->replica().members().empty())
            return base::Error(base::Code::kFailedPrecondition,
                               "this member was removed from the cluster; a new one needs an empty "
                               "--data-dir and coxctl member add");
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
        service = std::make_unique<net::GrpcService>(
            loop, static_cast<std::size_t>(config.max_request_bytes) + kMessageOverhead);
        service->observe(kvstore::grpc_metrics());
        metrics = std::make_unique<kvstore::StoreMetrics>(loop, *node);
        kvstore::EtcdServiceOptions options;
        options.spool_directory = config.data_dir;
        options.pool = &pool;
        TRY(options.jwt, token_signer(config));
        kvstore::add_etcd_services(loop, *service, *node, std::move(options));
        net::ServerOptions server_options;
        server_options.name = "etcd";
        server_options.address = client.host;
        server_options.port = client.port;
        server_options.max_concurrent_streams = 100'000;
        if (!config.insecure) server_options.tls = config.tls.server(net::ClientAuth::kRequire);
        gateway = std::make_unique<kvstore::JsonGateway>(*service);
        net::ServerHandlers others;
        others.on_exchange = [this](std::shared_ptr<net::Exchange> exchange) {
            if (kvstore::JsonGateway::serves(exchange->request().path()))
                return gateway->serve(std::move(exchange));
            return kvstore::serve_etcd_http(*node, *metrics, std::move(exchange));
        };
        server = std::make_unique<net::Server>(loop, std::move(server_options),
                                               service->handlers(std::move(others)));
        auto port = server->listen();
        if (!port) {
            server.reset();
            return port.error().with_context("--listen-client " + config.listen_client);
        }
        publish.emplace(loop);
        publish->every(kPublishRetry, [this] { publish_urls(); });
        address.emplace(loop);
        membership.emplace(loop);
        membership->every(kMemberCheck, [this] { check_membership(); });
        return {};
    }

    bool is_member() const {
        const auto members = host->replica().members();
        return std::any_of(members.begin(), members.end(), [this](const kvstore::Member& m) {
            return m.id == host->replica().id();
        });
    }

    void check_membership() {
        const bool in = is_member();
        was_member = was_member || in;
        checks_out = in || !was_member || host->replica().is_leader() ? 0 : checks_out + 1;
        if (checks_out != kChecksToLeave) return;
        LOG_ERROR("store", "this member was removed from the cluster; it stops");
        membership->cancel();
        if (on_removed) on_removed();
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

    // A call that is passed on to the leader.
    struct Ask {
        std::string path;
        std::string message;
        std::string token;
        kvstore::Done<std::string> done;
        int retries = 0;
    };

    void ask(const kvstore::Member& leader, Ask call) {
        if (!leader.client_urls.empty()) return send(leader, std::move(call));
        if (waiting_for_address.size() == kMostWaitingForAddress)
            return call.done(base::unavailable("the leader has not published its address yet"));
        if (waiting_for_address.empty()) address->every(kAddressRetry, [this] { ask_again(); });
        waiting_for_address.push_back(std::move(call));
    }

    void ask_again() {
        const auto leader = host->replica().leader();
        const auto members = host->replica().members();
        const auto m = std::ranges::find(members, leader, &kvstore::Member::id);
        const bool known = m != members.end() && !m->client_urls.empty();
        for (Ask& call : std::exchange(waiting_for_address, {})) {
            if (known)
                send(*m, std::move(call));
            else if (++call.retries < kAddressRetries)
                waiting_for_address.push_back(std::move(call));
            else
                call.done(base::unavailable("the leader has not published its address"));
        }
        if (waiting_for_address.empty()) address->cancel();
    }

    void send(const kvstore::Member& leader, Ask call) {
        auto& channel = channels[leader.client_urls.front()];
        if (!channel) {
            auto endpoint = net::Endpoint::parse(leader.client_urls.front());
            if (!endpoint) return call.done(endpoint.error());
            net::GrpcChannelOptions options;
            options.endpoints = {*endpoint};
            if (!config.insecure) options.tls = config.tls.client();
            channel = std::make_unique<net::GrpcChannel>(loop, std::move(options));
        }
        net::Headers metadata;
        if (!call.token.empty()) metadata.add("token", call.token);
        channel->call_async(std::move(call.path), call.message, base::Millis(5000), metadata,
                            std::move(call.done));
    }

    base::Awaitable<void> close() {
        publish.reset();
        membership.reset();
        address.reset();
        for (Ask& call : std::exchange(waiting_for_address, {}))
            call.done(base::unavailable("this member stops"));
        if (server) co_await server->stop(kDrain);
        channels.clear();
        if (host) {
            auto start = [this](base::UniqueFunction<void(int)> resolve) {
                host->replica().stop([r = std::move(resolve)]() mutable { r(0); });
            };
            co_await base::suspend<int>(std::move(start));
        }
        // The next start need not apply so much again.
        if (machine) (void)machine->database().sync();
        server.reset();
        gateway.reset();
        service.reset();
        metrics.reset();
        node.reset();
        host.reset();
        machine.reset();
    }

    Config config;
    Identity identity;
    base::Loop loop;
    base::WorkerPool pool;
    std::unique_ptr<kvstore::Machine> machine;
    std::unique_ptr<kvstore::ReplicaHost> host;
    std::unique_ptr<kvstore::Node> node;
    std::unique_ptr<net::GrpcService> service;
    std::unique_ptr<kvstore::StoreMetrics> metrics;
    std::unique_ptr<kvstore::JsonGateway> gateway;
    std::unique_ptr<net::Server> server;
    std::map<std::string, std::unique_ptr<net::GrpcChannel>> channels;
    std::optional<base::Timer> publish;
    std::optional<base::Timer> membership;
    std::optional<base::Timer> address;
    std::vector<Ask> waiting_for_address;
    std::function<void()> on_removed;
    bool was_member = false;
    int checks_out = 0;
    bool publishing = false;
    bool started = false;
};

StoreRole::StoreRole(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
StoreRole::~StoreRole() {
    stop();
}

base::Result<std::unique_ptr<StoreRole>> StoreRole::start(const Config& config) {
    TRY_VOID(base::make_directories(config.data_dir, 0700));
    TRY(Identity identity, find_identity(config));
    auto impl = std::make_unique<Impl>(config, std::move(identity));
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

void StoreRole::on_removed(std::function<void()> f) {
    impl_->loop.run_and_wait([&] { impl_->on_removed = std::move(f); });
}

void StoreRole::stop() {
    if (!std::exchange(impl_->started, false)) return;
    run_on(impl_->loop, [this] { return impl_->close(); });
    impl_->loop.stop();
    impl_->loop.join();
}

}  // namespace tools
