#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "raft/transport/tcp_impl.h"

namespace raft {
namespace {
constexpr base::Millis kFirstBackoff{50};
constexpr base::Millis kMaxBackoff{1000};
constexpr base::Millis kConnectTimeout{3000};
constexpr std::chrono::seconds kMaxStall{5};
constexpr base::Millis kLook{1000};
}  // namespace

using Link = TcpPeers::Impl::Link;

Link::Link(std::shared_ptr<Impl> owner, NodeId peer)
    : owner_(std::move(owner)),
      peer_(peer),
      timer_(owner_->loop),
      sent_bytes_(base::metrics().counter("etcd_network_peer_sent_bytes_total",
                                          "Bytes sent to other members.",
                                          {{"To", fmt::format("{:x}", peer)}})) {}

void Link::dial() {
    bool secure = false;
    auto endpoint = owner_->endpoint(peer_, attempts_++, &secure);
    if (!endpoint) return down(endpoint.error().message);
    auto tls = owner_->client_context(secure);
    if (secure && !tls) return down("no certificate for https");
    attempt_ = net::connect(owner_->loop, *endpoint, std::move(tls), kConnectTimeout,
                            [weak = weak_from_this()](auto transport) {
                                if (auto self = weak.lock()) self->dialed(std::move(transport));
                            });
}

void Link::dialed(base::Result<std::shared_ptr<net::Transport>> transport) {
    attempt_.reset();
    if (!transport) return down(transport.error().message);
    transport_ = std::move(*transport);
    transport_->set_owner(shared_from_this());
    backoff_ = base::Millis{0};
    logged_ = false;
    hello_due_ = true;
    reader_ = {};
    transport_->want_flush();
    // A peer that takes nothing for seconds has gone without a word.
    timer_.every(kLook, [this] {
        if (!transport_) return;
        const auto since = transport_->stalled_since();
        if (since && std::chrono::steady_clock::now() - *since > kMaxStall)
            transport_->end(base::unavailable("the peer does not take what is sent"));
    });
}

void Link::drop_queue() {
    queue_.clear();
    queue_bytes_ = 0;
}

void Link::down(const std::string& why) {
    if (!logged_) LOG_INFO("peers", "no link to {:x}: {}", peer_, why);
    logged_ = true;
    transport_.reset();
    drop_queue();
    owner_->report_unreachable(peer_);
    backoff_ = backoff_ == base::Millis{0} ? kFirstBackoff : std::min(2 * backoff_, kMaxBackoff);
    timer_.after(backoff_, [this] { dial(); });
}

void Link::hurry() {
    if (transport_ || attempt_) return;
    backoff_ = base::Millis{0};
    timer_.cancel();
    dial();
}

void Link::close() {
    timer_.cancel();
    if (attempt_) attempt_->cancel();
    attempt_.reset();
    if (auto transport = std::move(transport_)) transport->abort();
    transport_.reset();
    drop_queue();
}

void Link::send(Message message) {
    const bool waiting = transport_ == nullptr && attempt_ == nullptr;
    if (waiting) return;  // reported already
    queue_bytes_ += message.cost();
    const bool may_wait = message.type == MessageType::kCommit;
    queue_.push_back(std::move(message));
    bool dropped = false;
    while (queue_.size() > owner_->options.max_queue_messages ||
           (queue_bytes_ > owner_->options.max_queue_bytes && queue_.size() > 1)) {
        queue_bytes_ -= queue_.front().cost();
        queue_.pop_front();
        dropped = true;
    }
    if (dropped) owner_->report_unreachable(peer_);
    if (!transport_) return;
    if (!may_wait) return transport_->want_flush();
    // What is committed is about to be applied: answers to clients go first.
    owner_->loop.post([weak = weak_from_this()] {
        const auto self = weak.lock();
        if (self && self->transport_) self->transport_->want_flush();
    });
}

void Link::fill(std::string* out) {
    if (hello_due_) append_frame(out, FrameKind::kHello, owner_->hello(peer_, 0));
    hello_due_ = false;
    const std::size_t start = out->size();
    while (!queue_.empty() && out->size() - start < net::Transport::kBurst) {
        const Message message = std::move(queue_.front());
        queue_.pop_front();
        queue_bytes_ -= message.cost();
        append_message_frame(out, message);
    }
    sent_bytes_.add(out->size() - start);
}

// A member that does not know us yet answers on our own connection.
void Link::on_data(std::string_view bytes) {
    const base::Status status =
        reader_.feed(bytes, kMaxFrame, [this](FrameKind kind, std::string_view body) {
            auto message = kind == FrameKind::kMessage ? decode_message(body) : std::nullopt;
            if (!message || message->from != peer_)
                return base::Status(base::invalid_argument("unexpected frame"));
            if (owner_->handler != nullptr) owner_->handler->on_message(std::move(*message));
            return base::Status();
        });
    if (!status && transport_) transport_->end(status.error());
}

void Link::on_eof() {
    if (transport_) transport_->end(base::unavailable("connection closed"));
}

void Link::on_end(const base::Error& why) {
    timer_.cancel();
    down(why.message);
}

}  // namespace raft
