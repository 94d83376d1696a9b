#include "net/transport.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <boost/asio/post.hpp>
#include <cstring>

namespace net {

namespace asio = boost::asio;
using std::chrono::steady_clock;

namespace {

constexpr std::size_t kReadSize = 64 << 10;
constexpr int kBurstsInTurn = 4;
constexpr std::chrono::seconds kLinger{2};

// What all connections of a thread read into and write from; never used across a loop turn.
struct Scratch {
    std::unique_ptr<char[]> in = std::make_unique<char[]>(kReadSize);
    std::string plain_in;
    std::string plain_out;
    std::string wire;
    bool out_busy = false;
};
Scratch& scratch() {
    thread_local Scratch s;
    return s;
}

void empty(std::string* s) {
    s->clear();
    if (s->capacity() > 4 * Transport::kBurst) s->shrink_to_fit();
}

}  // namespace

Transport::Transport(Socket socket, std::unique_ptr<TlsSession> tls)
    : socket_(std::move(socket)), tls_(std::move(tls)), last_read_(steady_clock::now()) {
    boost::system::error_code ec;
    socket_.non_blocking(true, ec);
    socket_.set_option(asio::ip::tcp::no_delay(true), ec);
    socket_.set_option(asio::socket_base::keep_alive(true), ec);
    const auto remote = socket_.remote_endpoint(ec);
    if (!ec) remote_ = Endpoint{remote.address().to_string(), remote.port()}.to_string();
}

Transport::~Transport() = default;

void Transport::start(std::shared_ptr<TransportOwner> owner) {
    owner_ = std::move(owner);
    if (!tls_) {
        open_ = true;
        auto keep = owner_;
        keep->on_open();
    } else {
        deliver({});  // a client speaks first
    }
    if (owner_) flush();
    arm_read();
}

void Transport::arm_read() {
    if (reading_ || paused_ || eof_ || !socket_.is_open()) return;
    reading_ = true;
    socket_.async_wait(Socket::wait_read,
                       [self = shared_from_this()](const boost::system::error_code& ec) {
                           self->reading_ = false;
                           if (!ec) self->readable();
                       });
}

void Transport::resume_reading() {
    if (!paused_) return;
    paused_ = false;
    if (owner_) arm_read();
}

void Transport::readable() {
    if (!owner_ && !lingering_) return;
    Scratch& s = scratch();
    for (int round = 0; round < 4 && !paused_; ++round) {
        const ssize_t n = ::recv(socket_.native_handle(), s.in.get(), kReadSize, 0);
        if (n < 0) {
            if (errno == EINTR) continue;
            if (errno == EAGAIN || errno == EWOULDBLOCK) break;
            end(base::unavailable(fmt::format("connection lost: {}", std::strerror(errno))));
            return;
        }
        if (n == 0) {
            eof_ = true;
            break;
        }
        last_read_ = steady_clock::now();
        bytes_in_ += static_cast<std::uint64_t>(n);
        if (lingering_) continue;
        if (!deliver(std::string_view(s.in.get(), static_cast<std::size_t>(n)))) return;
        if (n < static_cast<ssize_t>(kReadSize)) break;
    }
    if (eof_ || (tls_ && tls_->peer_closed())) {
        eof_ = true;
        if (lingering_ || (tls_ && !open_)) {
            end(base::unavailable("connection closed"));
            return;
        }
        if (auto keep = owner_) keep->on_eof();
    }
    flush();
    arm_read();
}

// False when the connection is over.
bool Transport::deliver(std::string_view bytes) {
    auto keep = owner_;
    dispatching_ = true;
    if (!tls_) {
        keep->on_data(bytes);
        dispatching_ = false;
        return owner_ != nullptr || lingering_;
    }
    Scratch& s = scratch();
    s.plain_in.clear();
    const base::Status status = tls_->feed(bytes, &s.plain_in, &pending_);
    if (tls_->open() && !open_) {
        open_ = true;
        keep->on_open();
    }
    if (owner_ && !s.plain_in.empty() && !lingering_) keep->on_data(s.plain_in);
    dispatching_ = false;
    if (s.plain_in.capacity() > (std::size_t{1} << 20)) s.plain_in.shrink_to_fit();
    if (!status) {
        send_pending();  // the alert, if the socket takes it
        end(status.error());
        return false;
    }
    return owner_ != nullptr || lingering_;
}

void Transport::want_flush() {
    if (dispatching_ || flushing_ || flush_posted_ || writing_ || !owner_) return;
    flush_posted_ = true;
    asio::post(socket_.get_executor(), [self = shared_from_this()] {
        self->flush_posted_ = false;
        self->flush();
    });
}

bool Transport::send_some(std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t n = ::send(socket_.native_handle(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (n < 0) {
            if (errno == EINTR) continue;
            if (errno == EAGAIN || errno == EWOULDBLOCK) {
                pending_.assign(bytes);
                pending_at_ = 0;
                if (!stalled_since_) stalled_since_ = steady_clock::now();
                arm_write();
                return false;
            }
            end(base::unavailable(fmt::format("connection lost: {}", std::strerror(errno))));
            return false;
        }
        bytes_out_ += static_cast<std::uint64_t>(n);
        stalled_since_.reset();
        bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
}

bool Transport::send_pending() {
    while (pending_at_ < pending_.size()) {
        const ssize_t n = ::send(socket_.native_handle(), pending_.data() + pending_at_,
                                 pending_.size() - pending_at_, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno == EINTR) continue;
            if (errno == EAGAIN || errno == EWOULDBLOCK) {
                if (!stalled_since_) stalled_since_ = steady_clock::now();
                arm_write();
                return false;
            }
            end(base::unavailable(fmt::format("connection lost: {}", std::strerror(errno))));
            return false;
        }
        bytes_out_ += static_cast<std::uint64_t>(n);
        stalled_since_.reset();
        pending_at_ += static_cast<std::size_t>(n);
    }
    pending_at_ = 0;
    std::string().swap(pending_);
    return true;
}

void Transport::flush() {
    if (flushing_ || writing_ || lingering_ || !owner_ || !socket_.is_open()) return;
    auto self = shared_from_this();
    auto keep = owner_;
    Scratch& s = scratch();
    if (s.out_busy) {  // inside another connection's fill(): let that one finish
        want_flush();
        return;
    }
    flushing_ = true;
    bool more = false;
    bool wrote = false;
    for (int round = 0; owner_; ++round) {
        if (!pending_.empty() && !send_pending()) break;
        if (!open_) break;
        if (round == kBurstsInTurn) {  // others want their turn too
            more = true;
            break;
        }
        s.out_busy = true;
        s.plain_out.clear();
        keep->fill(&s.plain_out);
        s.out_busy = false;
        if (s.plain_out.empty()) {
            if (wrote && owner_) {
                wrote = false;
                keep->on_written();
                continue;
            }
            break;
        }
        wrote = true;
        std::string* out = &s.plain_out;
        if (tls_) {
            s.wire.clear();
            if (const base::Status status = tls_->write(s.plain_out, &s.wire); !status) {
                end(status.error());
                break;
            }
            out = &s.wire;
        }
        if (!send_some(*out)) break;
    }
    empty(&s.plain_out);
    empty(&s.wire);
    flushing_ = false;
    if (more) want_flush();
    if (!more && closing_ && owner_ && pending_.empty()) finish_output();
}

void Transport::arm_write() {
    if (writing_ || !socket_.is_open()) return;
    writing_ = true;
    socket_.async_wait(Socket::wait_write,
                       [self = shared_from_this()](const boost::system::error_code& ec) {
                           self->writing_ = false;
                           if (!ec) self->flush();
                       });
}

void Transport::close_when_flushed() {
    if (closing_) return;
    closing_ = true;
    want_flush();
}

// All is sent: say so, and read on for a while, since closing a socket with unread input would
// make the kernel throw away what the peer has not taken yet.
void Transport::finish_output() {
    if (lingering_) return;
    lingering_ = true;
    if (tls_) {
        std::string wire;
        tls_->shutdown(&wire);
        (void)::send(socket_.native_handle(), wire.data(), wire.size(), MSG_NOSIGNAL);
    }
    ::shutdown(socket_.native_handle(), SHUT_WR);
    if (eof_) {
        end(base::cancelled("connection closed"));
        return;
    }
    linger_ = std::make_unique<asio::steady_timer>(socket_.get_executor(), kLinger);
    linger_->async_wait([self = shared_from_this()](const boost::system::error_code& ec) {
        if (!ec) self->end(base::cancelled("connection closed"));
    });
    resume_reading();
}

void Transport::abort() {
    owner_.reset();
    lingering_ = false;
    if (linger_) linger_->cancel();
    boost::system::error_code ec;
    socket_.close(ec);
}

void Transport::end(base::Error why) {
    auto self = shared_from_this();
    auto keep = std::move(owner_);
    abort();
    if (keep) keep->on_end(why);
}

}  // namespace net
