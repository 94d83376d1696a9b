#pragma once
// One TCP connection on the loop, with TLS or without: bytes in by callback, bytes out pulled from
// the owner when the socket has room, so that what a loop turn produces leaves in one write. Idle
// connections hold no buffers. Never throws; ends exactly once (on_end). Loop's thread only.

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <string>
#include <string_view>

#include "base/loop.h"
#include "net/tls_session.h"

namespace net {

class TransportOwner {
  public:
    virtual ~TransportOwner() = default;
    // The TLS handshake is done; at once in clear text.
    virtual void on_open() = 0;
    // `bytes` are valid during the call.
    virtual void on_data(std::string_view bytes) = 0;
    // The peer sends nothing more; writing may still work.
    virtual void on_eof() = 0;
    // Append output, about kBurst bytes at most a call; nothing means that there is none.
    virtual void fill(std::string* out) = 0;
    // All output so far went into the socket: a good time to make more.
    virtual void on_written() {}
    // The connection is over, whoever ended it, unless by abort(). The transport has let go.
    virtual void on_end(const base::Error& why) = 0;
};

class Transport : public std::enable_shared_from_this<Transport> {
  public:
    static constexpr std::size_t kBurst = 512 << 10;
    using Socket = boost::asio::ip::tcp::socket;

    // `tls` may be null: clear text.
    Transport(Socket socket, std::unique_ptr<TlsSession> tls);
    ~Transport();

    // Keeps `owner` until the end.
    void start(std::shared_ptr<TransportOwner> owner);
    void set_owner(std::shared_ptr<TransportOwner> owner) { owner_ = std::move(owner); }

    // There is something for fill(): written at the end of the present on_data, or else once the
    // loop has run what is queued now.
    void want_flush();
    void pause_reading() { paused_ = true; }
    void resume_reading();
    // Sends what fill() still gives, then ends in order: on_end(Cancelled) once the peer has closed
    // too, or two seconds later.
    void close_when_flushed();
    // At once, without on_end.
    void abort();
    // At once, with on_end.
    void end(base::Error why);

    bool alive() const { return owner_ != nullptr; }
    bool tls() const { return tls_ != nullptr; }
    std::string alpn() const { return tls_ ? tls_->alpn() : std::string(); }
    std::shared_ptr<const PeerIdentity> peer() const { return tls_ ? tls_->peer() : nullptr; }
    const std::string& remote_address() const { return remote_; }
    base::SteadyTime last_read() const { return last_read_; }
    // When output began to wait for the peer; nullopt when none waits.
    std::optional<base::SteadyTime> stalled_since() const { return stalled_since_; }
    std::uint64_t bytes_in() const { return bytes_in_; }
    std::uint64_t bytes_out() const { return bytes_out_; }

  private:
    void arm_read();
    void readable();
    bool deliver(std::string_view bytes);
    void flush();
    // False when the socket is full or broken.
    bool send_pending();
    bool send_some(std::string_view bytes);
    void arm_write();
    void finish_output();

    Socket socket_;
    std::unique_ptr<TlsSession> tls_;
    std::shared_ptr<TransportOwner> owner_;
    std::string remote_;
    std::string pending_;  // bytes the socket did not take yet
    std::size_t pending_at_ = 0;
    std::unique_ptr<boost::asio::steady_timer> linger_;
    base::SteadyTime last_read_;
    std::optional<base::SteadyTime> stalled_since_;
    std::uint64_t bytes_in_ = 0;
    std::uint64_t bytes_out_ = 0;
    bool open_ = false;
    bool reading_ = false;
    bool writing_ = false;
    bool dispatching_ = false;
    bool flushing_ = false;
    bool flush_posted_ = false;
    bool paused_ = false;
    bool eof_ = false;
    bool closing_ = false;
    bool lingering_ = false;
};

}  // namespace net
