#pragma once
// The inside of the clients: calls, and the connections that carry them. Private to net/.

#include "base/log.h"
#include "net/client.h"
#include "net/connector.h"
#include "net/h1_codec.h"
#include "net/h2_session.h"
#include "net/inbox.h"

namespace net {

// One request of an HttpClient on its way, whatever carries it.
class ClientCall : public std::enable_shared_from_this<ClientCall> {
  public:
    explicit ClientCall(Request r) : request(std::move(r)) {}

    // From the carrier.
    void got_head(int status, Headers headers);
    void got_end(Headers trailers);
    void fail(base::Error error);
    // The caller gives up (`error` is what it then reads), or nobody reads any more.
    void cancel(base::Error error);

    // Resumes when the head is in or the call has failed.
    base::Awaitable<void> head();
    base::Task<std::optional<std::string>> read();

    Request request;
    int status = 0;
    Headers headers;
    Headers trailers;
    Inbox inbox;
    std::optional<base::Error> failure;
    bool head_done = false;
    bool over = false;
    bool reused = false;  // went out on a connection that had carried others
    // Set by the carrier.
    base::UniqueFunction<void()> on_cancel;
    base::UniqueFunction<void(std::size_t)> on_taken;

  private:
    void wake();
    base::UniqueFunction<void(bool)> waiter_;
};

class H2ClientConnection;

// A stream of an H2ClientConnection. Holds itself from submit until it closes.
class H2ClientStream : public H2Stream, public std::enable_shared_from_this<H2ClientStream> {
  public:
    void on_header(std::string_view name, nghttp2_rcbuf* name_buf,
                   nghttp2_rcbuf* value_buf) override;
    void on_headers_end() override;
    void on_end_stream() override;
    void on_stream_close(std::uint32_t code) override;

    // RST_STREAM(CANCEL); on_closed still comes.
    void cancel_stream();
    // Bytes that on_chunk() brought have been used: the server may send more.
    void taken(std::size_t n);

    using H2Stream::end_body;
    using H2Stream::push_body;
    static constexpr Tail kNoTail = Tail::kNone;

    std::shared_ptr<H2ClientStream> self;
    H2ClientConnection* last_connection = nullptr;  // valid until on_stream_close() has run

  protected:
    virtual void on_head(int status, Headers headers) = 0;
    // Once, last. `trailers` are valid with OK only.
    virtual void on_closed(base::Status status, Headers trailers) = 0;
    void count_unread(std::size_t n) { unread_ += n; }

  private:
    Headers fields_;
    int status_ = 0;
    std::size_t unread_ = 0;
    bool head_done_ = false;
    bool ended_ = false;
};

class H2ClientConnection final : public TransportOwner,
                                 public H2Session,
                                 public std::enable_shared_from_this<H2ClientConnection> {
  public:
    struct Options {
        std::uint32_t stream_window = 4 << 20;
        std::uint32_t connection_window = 64 << 20;
        base::Millis ping_interval{0};
        base::Millis ping_timeout{0};
    };
    H2ClientConnection(std::shared_ptr<Transport> transport, const Options& options);

    // Takes the transport over. `on_change`: the connection ended, or takes no more requests.
    void begin(base::UniqueFunction<void()> on_change);
    bool usable() const { return !ended_ && !goaway_; }
    base::Status submit(const std::shared_ptr<H2ClientStream>& stream,
                        const std::vector<nghttp2_nv>& fields, bool body);
    // Fails the open streams with `why`.
    void close(const base::Error& why);
    // Sends GOAWAY and closes once the open streams are done.
    void retire();
    void tick(base::SteadyTime now);
    const base::Error& end_error() const { return *end_error_; }
    bool ended() const { return ended_; }
    bool heard() const { return transport_->bytes_in() > 0; }

    void on_open() override {}
    void on_data(std::string_view bytes) override;
    void on_eof() override { close(base::unavailable("the server closed the connection")); }
    void fill(std::string* out) override;
    void on_end(const base::Error& why) override;
    void session_has_output() override {
        if (!ended_) transport_->want_flush();
    }

  private:
    void on_goaway(std::uint32_t code, std::string_view debug) override;
    void changed();

    std::shared_ptr<Transport> transport_;
    Options options_;
    base::UniqueFunction<void()> on_change_;
    std::optional<base::Error> end_error_;
    bool ended_ = false;
    bool goaway_ = false;
    bool retired_ = false;
};

class H1ClientConnection final : public TransportOwner,
                                 public std::enable_shared_from_this<H1ClientConnection> {
  public:
    explicit H1ClientConnection(std::shared_ptr<Transport> transport);

    // `on_change`: the connection is idle again or has ended.
    void begin(base::UniqueFunction<void()> on_change);
    bool ended() const { return ended_; }
    bool idle() const { return !ended_ && !call_; }
    base::SteadyTime idle_since() const { return idle_since_; }
    void run(const std::shared_ptr<ClientCall>& call);
    void close(const base::Error& why);

    void on_open() override {}
    void on_data(std::string_view bytes) override;
    void on_eof() override;
    void fill(std::string* out) override;
    void on_end(const base::Error& why) override;

  private:
    void process(std::string_view in);
    void finish_call(bool keep);
    void changed();

    std::shared_ptr<Transport> transport_;
    H1Parser parser_;
    std::shared_ptr<ClientCall> call_;
    base::UniqueFunction<void()> on_change_;
    std::string out_head_;
    SharedBytes out_body_;
    std::size_t out_at_ = 0;
    base::SteadyTime idle_since_{};
    std::string stash_;
    bool sent_ = false;
    bool answered_ = false;  // the first byte of the response is in
    bool ended_ = false;
    bool used_ = false;
};

// A call on an HTTP/2 connection.
std::shared_ptr<H2ClientStream> make_h2_call(std::shared_ptr<ClientCall> call);

}  // namespace net
