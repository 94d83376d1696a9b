#include "raft/transport/tcp_peers.h"

#include <fmt/format.h>

#include <boost/asio/ip/v6_only.hpp>

#include "base/log.h"
#include "raft/transport/tcp_impl.h"

namespace raft {

using boost::asio::ip::tcp;
using boost::system::error_code;

namespace {
constexpr std::size_t kMaxInbound = 1024;
}

base::Status TcpPeers::Impl::open() {
    if (options.server_tls) {
        TRY(server_tls, net::TlsContext::for_server(*options.server_tls));
    }
    if (options.client_tls) {
        TRY(client_tls, net::TlsContext::for_client(*options.client_tls, {}));
    }
    const std::string where = fmt::format("{}:{}", options.listen_host, options.listen_port);
    const auto failed = [&](const error_code& ec) {
        return base::unavailable(
            fmt::format("cannot listen for peers on {}: {}", where, ec.message()));
    };
    error_code ec;
    tcp::resolver resolver(loop.context());
    const auto found = resolver.resolve(options.listen_host, std::to_string(options.listen_port),
                                        tcp::resolver::passive, ec);
    if (ec || found.empty()) return failed(ec);
    const tcp::endpoint endpoint = found.begin()->endpoint();
    acceptor.open(endpoint.protocol(), ec);
    if (ec) return failed(ec);
    acceptor.set_option(tcp::acceptor::reuse_address(true), ec);
    acceptor.bind(endpoint, ec);
    if (ec) return failed(ec);
    acceptor.listen(128, ec);
    if (ec) return failed(ec);
    port = acceptor.local_endpoint(ec).port();
    return {};
}

void TcpPeers::Impl::accept() {
    acceptor.async_accept([self = shared_from_this()](const error_code& ec, tcp::socket socket) {
        if (!self->acceptor.is_open()) return;
        if (ec) {
            LOG_WARN("peers", "accept: {}", ec.message());
            auto timer = std::make_shared<base::Timer>(self->loop);
            timer->after(base::Millis(100), [self, timer] {
                if (self->acceptor.is_open()) self->accept();
            });
            return;
        }
        if (self->inbound.size() < kMaxInbound) {
            std::unique_ptr<net::TlsSession> tls;
            if (self->server_tls) {
                self->server_tls->reload_if_changed();
                tls = std::make_unique<net::TlsSession>(self->server_tls, "");
            }
            auto connection = std::make_shared<Inbound>(self);
            self->inbound.insert(connection);
            connection->start(std::make_shared<net::Transport>(std::move(socket), std::move(tls)));
        }
        self->accept();
    });
}

void TcpPeers::Impl::stop() {
    handler = nullptr;
    error_code ec;
    acceptor.close(ec);
    for (auto& [id, link] : std::exchange(links, {}))
        link->close();
    talking.clear();
    receiving.clear();
    for (const auto& connection : std::exchange(inbound, {}))
        connection->close();
    for (auto& [id, sender] : std::exchange(snapshots, {}))
        sender->finish(base::cancelled("stopping"));
}

std::shared_ptr<net::TlsContext> TcpPeers::Impl::client_context(bool secure) {
    if (!secure) return nullptr;
    if (client_tls) client_tls->reload_if_changed();
    return client_tls;
}

void TcpPeers::Impl::abandon_receiving(NodeId from) {
    receiving.erase(from);
    if (handler != nullptr) handler->on_snapshot_aborted(from);
}

void TcpPeers::Impl::report_unreachable(NodeId peer) {
    loop.post([weak = weak_from_this(), peer] {
        const auto self = weak.lock();
        if (self && self->handler != nullptr) self->handler->on_unreachable(peer);
    });
}

base::Result<net::Endpoint> TcpPeers::Impl::endpoint(NodeId peer, std::size_t attempt,
                                                     bool* secure) const {
    const auto it = addresses.find(peer);
    if (it == addresses.end() || it->second.urls.empty())
        return base::not_found(fmt::format("no address of member {:x} is known", peer));
    return net::Endpoint::parse(it->second.urls[attempt % it->second.urls.size()], secure);
}

std::string TcpPeers::Impl::hello(NodeId to, std::uint64_t stream) const {
    return encode_hello({options.cluster_id, options.id, to, stream});
}

// ------------------------------------------------------------------ the public face

base::Result<std::unique_ptr<TcpPeers>> TcpPeers::listen(base::Loop& loop,
                                                         TcpPeersOptions options) {
    auto impl = std::make_shared<Impl>(loop, std::move(options));
    TRY_VOID(impl->open());
    return std::unique_ptr<TcpPeers>(new TcpPeers(std::move(impl)));
}

TcpPeers::TcpPeers(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

TcpPeers::~TcpPeers() {
    impl_->stop();
}

std::uint16_t TcpPeers::port() const {
    return impl_->port;
}

void TcpPeers::start(PeerHandler* handler) {
    impl_->handler = handler;
    impl_->accept();
}

void TcpPeers::stop() {
    impl_->stop();
}

void TcpPeers::set_peers(std::vector<PeerAddress> peers) {
    std::map<NodeId, PeerAddress> next;
    for (PeerAddress& peer : peers)
        next[peer.id] = std::move(peer);
    for (auto it = impl_->links.begin(); it != impl_->links.end();) {
        const auto kept = next.find(it->first);
        if (kept != next.end() && kept->second == impl_->addresses[it->first]) {
            ++it;
            continue;
        }
        it->second->close();
        it = impl_->links.erase(it);
    }
    impl_->addresses = std::move(next);
    if (impl_->handler == nullptr) return;
    for (const auto& [id, address] : impl_->addresses) {
        if (id == impl_->options.id) continue;
        auto& link = impl_->links[id];
        if (link) continue;
        link = std::make_shared<Impl::Link>(impl_, id);
        link->start();
    }
}

void TcpPeers::send(Message message) {
    const auto it = impl_->links.find(message.to);
    if (it != impl_->links.end()) return it->second->send(std::move(message));
    const auto talking = impl_->talking.find(message.to);
    if (talking != impl_->talking.end()) talking->second->send(message);
}

void TcpPeers::send_snapshot(Message head, ChunkSource chunks,
                             base::UniqueFunction<void(base::Status)> done) {
    const NodeId to = head.to;
    auto sender = std::make_shared<Impl::SnapshotSender>(impl_, std::move(head), std::move(chunks),
                                                         std::move(done));
    auto& slot = impl_->snapshots[to];
    auto old = std::exchange(slot, sender);
    if (old) old->finish(base::cancelled("another snapshot took its place"));
    sender->start();
}

bool TcpPeers::connected(NodeId peer) const {
    const auto it = impl_->links.find(peer);
    return it != impl_->links.end() && it->second->up();
}

}  // namespace raft
