#pragma once
// HTTP/2 over nghttp2, what servers and clients have in common: a session that turns bytes into
// events of its streams and queued bodies into bytes. No sockets. Loop's thread only.

#include <nghttp2/nghttp2.h>

#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/loop.h"
#include "base/result.h"
#include "net/http.h"

namespace net {

class H2Session;

// A name or value as nghttp2 holds it, shared and not copied.
class Rcbuf {
  public:
    Rcbuf() = default;
    explicit Rcbuf(nghttp2_rcbuf* b) : buf_(b) { nghttp2_rcbuf_incref(b); }
    Rcbuf(Rcbuf&& o) noexcept : buf_(std::exchange(o.buf_, nullptr)) {}
    Rcbuf& operator=(Rcbuf&& o) noexcept {
        std::swap(buf_, o.buf_);
        return *this;
    }
    ~Rcbuf() {
        if (buf_) nghttp2_rcbuf_decref(buf_);
    }
    std::string_view view() const {
        if (!buf_) return {};
        const nghttp2_vec v = nghttp2_rcbuf_get_buf(buf_);
        return {reinterpret_cast<const char*>(v.base), v.len};
    }

  private:
    nghttp2_rcbuf* buf_ = nullptr;
};

// One stream: its sending half, and what its owner is told. The session never owns it: it must
// live until on_stream_close().
class H2Stream {
  public:
    virtual ~H2Stream() = default;

    virtual void on_header(std::string_view name, nghttp2_rcbuf* name_buf,
                           nghttp2_rcbuf* value_buf) = 0;
    // A block of headers is complete: the request's or response's, an interim one's, or trailers.
    virtual void on_headers_end() = 0;
    virtual void on_chunk(std::string_view bytes) = 0;
    // The peer has ended its half.
    virtual void on_end_stream() = 0;
    // Bytes of the body went to the socket.
    virtual void on_sent() {}
    // The stream is over; stream_session() is null from now on. `code`: RFC 9113's error code.
    virtual void on_stream_close(std::uint32_t code) = 0;

    std::int32_t stream_id() const { return id_; }
    H2Session* stream_session() const { return session_; }
    std::size_t stream_queued() const { return queued_; }
    bool headers_sent() const { return headers_sent_; }
    // Our half has ended on the wire.
    bool end_sent() const { return end_sent_; }

  protected:
    enum class Tail : std::uint8_t { kNone, kGrpcOk, kHeaders };

    // Adds to the body. No effect after the end.
    void push_body(SharedBytes bytes);
    void end_body(Tail tail);
    void release_queue();
    Headers& tail_headers() { return tail_headers_; }

  private:
    friend class H2Session;
    std::int32_t id_ = -1;
    H2Session* session_ = nullptr;
    std::size_t place_ = 0;  // in the session's list
    std::vector<SharedBytes> queue_;
    std::size_t head_ = 0;    // first unsent element
    std::size_t offset_ = 0;  // bytes of it sent
    std::size_t queued_ = 0;
    Headers tail_headers_;
    Tail tail_ = Tail::kNone;
    bool end_ = false;
    bool deferred_ = false;
    bool headers_sent_ = false;
    bool end_sent_ = false;
    bool peer_ended_ = false;
};

class H2Session {
  public:
    struct Settings {
        bool server = true;
        std::uint32_t max_concurrent_streams = 1000;
        std::uint32_t stream_window = 1 << 20;
        std::uint32_t connection_window = 8 << 20;
        std::uint32_t max_header_bytes = 64 << 10;
    };
    explicit H2Session(const Settings& settings);
    virtual ~H2Session();
    H2Session(const H2Session&) = delete;
    H2Session& operator=(const H2Session&) = delete;

    // Bytes from the peer. An error: not HTTP/2 any more; drop the connection.
    base::Status receive(std::string_view bytes);
    // Appends output, up to about `burst` bytes.
    void produce(std::string* out, std::size_t burst);
    // Nothing more to read or write: close.
    bool finished() const;

    // Server: the answer's headers; `body` tells whether the body follows by push_body.
    void submit_response(H2Stream* stream, const std::vector<nghttp2_nv>& fields, bool body);
    void submit_grpc_head(H2Stream* stream);
    // Client: Unavailable when the session takes no more requests.
    base::Status submit_request(H2Stream* stream, const std::vector<nghttp2_nv>& fields, bool body);
    void reset_stream(H2Stream* stream, std::uint32_t code);
    // Lets the peer send `n` bytes more.
    void consume(H2Stream* stream, std::size_t n);
    // Of a stream that is gone.
    void consume_connection(std::size_t n);
    void goaway(std::uint32_t code);
    void ping();
    std::size_t total_queued() const { return total_queued_; }
    std::size_t open_streams() const { return open_streams_; }

    // Keepalive: call every now and then with the time of the last byte from the peer. False: the
    // peer is dead.
    bool check_alive(base::SteadyTime now, base::SteadyTime last_read, base::Millis interval,
                     base::Millis timeout);

    virtual void session_has_output() = 0;

  protected:
    // Server: a new stream; null refuses it.
    virtual H2Stream* on_new_stream(std::int32_t) { return nullptr; }
    virtual void on_goaway(std::uint32_t, std::string_view) {}
    // The peer reset a stream, as an attacker would by the thousand.
    virtual void on_peer_reset() {}
    // For the end: every open stream is told with `code`.
    void close_all_streams(std::uint32_t code);

  private:
    friend class H2Stream;
    struct Callbacks;
    void attach(H2Stream* stream, std::int32_t id);
    void detach(H2Stream* stream);
    H2Stream* find(std::int32_t id) const;

    nghttp2_session* session_ = nullptr;
    std::string* out_ = nullptr;  // during produce()
    std::size_t burst_ = 0;
    std::size_t total_queued_ = 0;
    std::size_t open_streams_ = 0;
    std::vector<H2Stream*> all_;  // unordered; each stream knows its place
    // Answered before the request had ended, and when.
    std::deque<std::pair<std::int32_t, base::SteadyTime>> half_open_;
    std::optional<base::SteadyTime> ping_sent_;
};

nghttp2_nv h2_field(std::string_view name, std::string_view value);

}  // namespace net
