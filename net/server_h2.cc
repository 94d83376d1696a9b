// The HTTP/2 half of the server.

#include <fmt/format.h>

#include <array>

#include "net/h2_session.h"
#include "net/server_impl.h"

namespace net {
namespace {

// More resets by a peer than this within a second end the connection (CVE-2023-44487).
constexpr std::size_t kResetsPerSecond = 2000;

class H2Protocol;

class H2Exchange final : public ExchangeBase, public H2Stream {
  public:
    H2Exchange(ServerConnection& connection, H2Protocol& protocol);

    const Request& request() override;
    std::string_view method() const override { return method_.view(); }
    std::string_view target() const override { return path_.view(); }
    std::string_view header(std::string_view name) const override;
    const std::shared_ptr<const PeerIdentity>& peer() const override { return peer_; }
    void respond(Response response) override;
    void start(int status, Headers headers) override;
    base::Status write(SharedBytes bytes) override;
    void respond_grpc(SharedBytes frame, std::vector<SharedBytes> rest) override;
    std::size_t queued_bytes() const override { return stream_queued(); }
    void finish(Headers trailers) override;
    void reset(ResetCode code) override;

    void on_header(std::string_view name, nghttp2_rcbuf* name_buf,
                   nghttp2_rcbuf* value_buf) override;
    void on_headers_end() override;
    void on_chunk(std::string_view bytes) override;
    void on_end_stream() override;
    void on_sent() override { wake_writers(); }
    void on_stream_close(std::uint32_t code) override;

    std::shared_ptr<H2Exchange> self;  // the stream's own reference, until it closes

  private:
    void body_taken(std::size_t n) override;
    bool is_grpc() const { return header("content-type").starts_with("application/grpc"); }
    void submit(int status, const Headers& headers, std::optional<std::size_t> length, bool body);
    std::shared_ptr<ExchangeBase> base_pointer() { return self; }

    struct Field {
        Rcbuf name;
        Rcbuf value;
    };
    static constexpr std::size_t kInline = 8;

    template <class F>
    void each_field(F f) const {
        for (std::size_t i = 0; i < std::min(count_, kInline); ++i)
            f(few_[i]);
        for (const Field& field : more_)
            f(field);
    }

    H2Protocol* protocol_;  // valid while stream_session()
    std::shared_ptr<const PeerIdentity> peer_;
    Rcbuf method_, path_, authority_;
    std::array<Field, kInline> few_;
    std::vector<Field> more_;
    std::size_t count_ = 0;
    std::size_t header_bytes_ = 0;
    std::size_t unread_ = 0;  // bytes the peer may not send again yet
    std::unique_ptr<Request> request_;
    bool headers_done_ = false;
    bool malformed_ = false;
    bool no_body_ = false;
};

class H2Protocol final : public ServerProtocol, public H2Session {
  public:
    explicit H2Protocol(ServerConnection& c) : H2Session(settings(c)), c_(c) {}

    void on_data(std::string_view bytes) override;
    void on_eof() override { c_.transport().end(base::cancelled("the client is gone")); }
    void fill(std::string* out) override {
        produce(out, Transport::kBurst);
        if (out->empty()) close_if_finished();
    }
    void on_end(const base::Error&) override {
        ended_ = true;
        close_all_streams(NGHTTP2_CANCEL);
    }
    void drain() override;
    std::size_t active() const override { return open_streams(); }
    bool tick(base::SteadyTime now) override;

    ServerConnection& connection() { return c_; }
    void stream_closed();
    void session_has_output() override {
        if (!ended_) c_.transport().want_flush();
    }

  private:
    static Settings settings(ServerConnection& c);
    H2Stream* on_new_stream(std::int32_t id) override;
    void on_peer_reset() override { ++resets_; }
    void close_if_finished() {
        if (finished()) c_.transport().close_when_flushed();
    }

    ServerConnection& c_;
    std::size_t resets_ = 0;
    base::SteadyTime resets_since_{};
    bool ended_ = false;
    bool draining_ = false;
};

// ---- H2Exchange

H2Exchange::H2Exchange(ServerConnection& connection, H2Protocol& protocol)
    : protocol_(&protocol), peer_(connection.peer()) {
    connection_ = &connection;
}

void H2Exchange::on_header(std::string_view name, nghttp2_rcbuf* name_buf,
                           nghttp2_rcbuf* value_buf) {
    if (headers_done_) return;  // trailers: nobody asks for a request's
    const Rcbuf value(value_buf);
    header_bytes_ += name.size() + value.view().size() + 32;
    if (header_bytes_ > connection_->core().options.max_header_bytes) return;
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(value.view().data());
    const bool pseudo = name.starts_with(':');
    const auto* letters = reinterpret_cast<const std::uint8_t*>(name.data());
    malformed_ = malformed_ || (pseudo && count_ > 0) ||
                 (!pseudo && !nghttp2_check_header_name(letters, name.size())) ||
                 !nghttp2_check_header_value(bytes, value.view().size());
    if (pseudo) {
        if (name == ":method") method_ = Rcbuf(value_buf);
        if (name == ":path") path_ = Rcbuf(value_buf);
        if (name == ":authority") authority_ = Rcbuf(value_buf);
        return;
    }
    Field field{Rcbuf(name_buf), Rcbuf(value_buf)};
    if (count_ < kInline)
        few_[count_] = std::move(field);
    else
        more_.push_back(std::move(field));
    ++count_;
}

std::string_view H2Exchange::header(std::string_view name) const {
    for (std::size_t i = 0; i < std::min(count_, kInline); ++i)
        if (few_[i].name.view() == name) return few_[i].value.view();
    for (const Field& field : more_)
        if (field.name.view() == name) return field.value.view();
    return name == "host" ? authority_.view() : std::string_view();
}

const Request& H2Exchange::request() {
    if (request_) return *request_;
    request_ = std::make_unique<Request>();
    Request& r = *request_;
    r.method = method_.view();
    r.target = path_.view();
    r.version = HttpVersion::kHttp2;
    r.peer = peer_;
    if (connection_) {
        r.remote_address = connection_->transport().remote_address();
        r.secure = connection_->transport().tls();
    }
    if (header("host") == authority_.view() && !authority_.view().empty())
        r.headers.add("host", authority_.view());
    bool cookie = false;
    each_field([&](const Field& f) {
        // HTTP/2 may split cookies over fields (RFC 9113 section 8.2.3).
        if (f.name.view() == "cookie" && cookie) {
            const std::string joined =
                fmt::format("{}; {}", r.headers.get("cookie"), f.value.view());
            r.headers.set("cookie", joined);
            return;
        }
        cookie = cookie || f.name.view() == "cookie";
        if (f.name.view() != "host" || !r.headers.has("host"))
            r.headers.add(f.name.view(), f.value.view());
    });
    return r;
}

void H2Exchange::on_headers_end() {
    if (headers_done_) return;
    headers_done_ = true;
    no_body_ = method_.view() == "HEAD";
    auto keep = base_pointer();
    malformed_ = malformed_ || method_.view().empty() || path_.view().empty();
    if (malformed_)
        refuse(*this, 400, "the request's header is malformed");
    else if (header_bytes_ > connection_->core().options.max_header_bytes)
        refuse(*this, 431, "the request's header is too large");
    else
        connection_->dispatch(keep);
}

void H2Exchange::on_chunk(std::string_view bytes) {
    if (over_ || finished_) {
        protocol_->consume_connection(bytes.size());
        return;
    }
    if (!collecting()) {
        unread_ += bytes.size();
        inbox().push(bytes);
        return;
    }
    protocol_->consume(this, bytes.size());
    if (collect_chunk(bytes, connection_->core().handlers.whole_body_limit)) return;
    if (is_grpc()) {
        Response answer;
        answer.headers = Headers{{"content-type", "application/grpc"},
                                 {"grpc-status", "8"},
                                 {"grpc-message", "the request message is too large"}};
        respond(std::move(answer));
    } else {
        refuse(*this, 413, "the request body is too large");
    }
}

void H2Exchange::on_end_stream() {
    inbox().end();
    if (over_ || !collecting() || started_) return;
    auto keep = base_pointer();
    connection_->dispatch_collected(keep);
}

void H2Exchange::on_stream_close(std::uint32_t) {
    const std::shared_ptr<H2Exchange> keep = std::move(self);
    protocol_->consume_connection(unread_);
    unread_ = 0;
    H2Protocol* protocol = protocol_;
    conclude(end_sent(), base::cancelled("the stream was closed"));
    protocol->stream_closed();
}

void H2Exchange::body_taken(std::size_t n) {
    if (!stream_session()) return;
    unread_ -= n;
    protocol_->consume(this, n);
}

void H2Exchange::submit(int status, const Headers& headers, std::optional<std::size_t> length,
                        bool body) {
    started_ = true;
    const std::string code = std::to_string(status);
    const std::string size = length ? std::to_string(*length) : std::string();
    std::vector<nghttp2_nv> fields;
    fields.reserve(headers.size() + 3);
    fields.push_back(h2_field(":status", code));
    for (const auto& [name, value] : headers)
        if (name != "connection" && name != "transfer-encoding" &&
            (name != "content-length" || !length))
            fields.push_back(h2_field(name, value));
    if (length) fields.push_back(h2_field("content-length", size));
    if (!is_grpc() && !headers.has("date"))
        fields.push_back(h2_field("date", connection_->core().date()));
    protocol_->submit_response(this, fields, body);
}

void H2Exchange::respond(Response response) {
    if (over_ || started_) return;
    const std::size_t size = response.body ? response.body->size() : 0;
    const bool bodiless = response.status == 204 || response.status == 304;
    const bool body = size > 0 && !bodiless && !no_body_;
    std::optional<std::size_t> length;
    if (!bodiless && !is_grpc()) length = size;
    submit(response.status, response.headers, length, body);
    finished_ = true;
    if (!body) return;
    push_body(std::move(response.body));
    end_body(Tail::kNone);
}

void H2Exchange::start(int status, Headers headers) {
    if (over_ || started_) return;
    if (status == 204 || status == 304) no_body_ = true;
    submit(status, headers, std::nullopt, !no_body_);
}

base::Status H2Exchange::write(SharedBytes bytes) {
    if (over_ || finished_ || !started_) return base::cancelled("the exchange is closed");
    if (no_body_) return {};
    const ServerOptions& o = connection_->core().options;
    if (stream_queued() + bytes->size() > o.max_queued_per_stream ||
        protocol_->total_queued() + bytes->size() > o.max_queued_per_connection)
        return base::Error(base::Code::kResourceExhausted, "the client reads too slowly");
    push_body(std::move(bytes));
    return {};
}

void H2Exchange::respond_grpc(SharedBytes frame, std::vector<SharedBytes> rest) {
    if (over_ || started_) return;
    started_ = finished_ = true;
    push_body(std::move(frame));
    for (auto& piece : rest)
        push_body(std::move(piece));
    end_body(Tail::kGrpcOk);
    protocol_->submit_grpc_head(this);
}

void H2Exchange::finish(Headers trailers) {
    if (over_ || finished_ || !started_) return;
    finished_ = true;
    if (no_body_) return;
    const Tail tail = trailers.empty() ? Tail::kNone : Tail::kHeaders;
    tail_headers() = std::move(trailers);
    end_body(tail);
}

void H2Exchange::reset(ResetCode code) {
    if (over_) return;
    protocol_->reset_stream(this, static_cast<std::uint32_t>(code));
    auto keep = shared_from_this();
    conclude(false, base::cancelled("reset by the handler"));
}

// ---- H2Protocol

H2Session::Settings H2Protocol::settings(ServerConnection& c) {
    const ServerOptions& o = c.core().options;
    Settings s;
    s.server = true;
    s.max_concurrent_streams = o.max_concurrent_streams;
    s.stream_window = o.stream_window;
    s.connection_window = o.connection_window;
    s.max_header_bytes = static_cast<std::uint32_t>(o.max_header_bytes);
    return s;
}

void H2Protocol::on_data(std::string_view bytes) {
    if (const base::Status status = receive(bytes); !status)
        return c_.transport().end(status.error());
    if (ended_) return;
    if (resets_ > kResetsPerSecond) {
        const auto now = std::chrono::steady_clock::now();
        if (now - resets_since_ < std::chrono::seconds(1)) {
            c_.transport().end(base::cancelled("the peer resets streams too fast"));
            return;
        }
        resets_ = 0;
        resets_since_ = now;
    }
    close_if_finished();
}

H2Stream* H2Protocol::on_new_stream(std::int32_t) {
    auto exchange = std::make_shared<H2Exchange>(c_, *this);
    exchange->self = exchange;
    if (open_streams() == 0) c_.touch();
    return exchange.get();
}

void H2Protocol::stream_closed() {
    if (open_streams() > 0 || ended_) return;
    c_.touch();
    if (draining_) c_.transport().close_when_flushed();
}

void H2Protocol::drain() {
    draining_ = true;
    goaway(NGHTTP2_NO_ERROR);
    if (open_streams() == 0) c_.transport().close_when_flushed();
}

bool H2Protocol::tick(base::SteadyTime now) {
    const ServerOptions& o = c_.core().options;
    return check_alive(now, c_.transport().last_read(), o.ping_interval, o.ping_timeout);
}

}  // namespace

std::unique_ptr<ServerProtocol> make_h2_protocol(ServerConnection& connection) {
    return std::make_unique<H2Protocol>(connection);
}

}  // namespace net
