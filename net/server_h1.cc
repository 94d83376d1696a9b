// The HTTP/1.1 half of the server: one request at a time on a connection, pipelined ones wait.

#include <fmt/format.h>

#include <deque>

#include "net/h1_codec.h"
#include "net/server_impl.h"

namespace net {
namespace {

constexpr std::size_t kStashLimit = 64 << 10;     // input kept while a request is answered
constexpr std::size_t kDiscardLimit = 256 << 10;  // of a body that nobody wants, to keep alive
constexpr std::size_t kPipelineLimit = 1 << 20;   // queued output that holds back the next request

class H1Protocol;

class H1Exchange final : public ExchangeBase {
  public:
    H1Exchange(ServerConnection& connection, H1Protocol& protocol, H1Head head);

    const Request& request() override { return request_; }
    std::string_view method() const override { return request_.method; }
    std::string_view target() const override { return request_.target; }
    std::string_view header(std::string_view name) const override {
        return request_.headers.get(name);
    }
    const std::shared_ptr<const PeerIdentity>& peer() const override { return request_.peer; }
    void respond(Response response) override;
    void start(int status, Headers headers) override;
    base::Status write(SharedBytes bytes) override;
    void respond_grpc(SharedBytes frame, std::vector<SharedBytes> rest) override;
    std::size_t queued_bytes() const override;
    void finish(Headers trailers) override;
    void reset(ResetCode code) override;

    void end_early(const base::Error& why) { conclude(false, why); }
    void sent() { wake_writers(); }
    bool expects() const { return expects_; }

  private:
    void body_wanted() override;
    void body_taken(std::size_t n) override;
    void append_head(std::string* out, int status, const Headers& headers);
    void done();

    friend class H1Protocol;
    Request request_;
    H1Protocol* protocol_;  // valid while !closed()
    bool keep_alive_;
    bool expects_;  // "100 Continue" is still owed
    bool no_body_ = false;
    bool chunked_ = false;
};

class H1Protocol final : public ServerProtocol {
  public:
    explicit H1Protocol(ServerConnection& c)
        : c_(c), parser_(H1Parser::Kind::kRequest, c.core().options.max_header_bytes) {}

    void on_data(std::string_view bytes) override;
    void on_eof() override;
    void fill(std::string* out) override;
    void on_written() override { resume(); }
    void on_end(const base::Error& why) override;
    void drain() override;
    std::size_t active() const override { return current_ ? 1 : 0; }
    bool tick(base::SteadyTime now) override;

    void push(SharedBytes bytes);
    std::size_t queued() const { return queued_; }
    void exchange_done(H1Exchange& exchange);
    void close();
    bool must_close() const { return eof_ || c_.draining(); }
    void resume();

  private:
    bool blocked() const;
    void process(std::string_view in);
    void begin_request();
    void take_body(std::string_view body);
    void end_request();
    void bad_input();
    void next_request();

    ServerConnection& c_;
    H1Parser parser_;
    std::shared_ptr<H1Exchange> current_;
    std::string stash_;
    std::deque<SharedBytes> out_;
    std::size_t out_offset_ = 0;
    std::size_t queued_ = 0;
    std::size_t discarded_ = 0;
    std::optional<base::SteadyTime> head_since_;
    bool in_request_ = false;    // between the head and the end of its body
    bool request_done_ = false;  // the body is in, the answer not yet out
    bool discarding_ = false;    // the answer is out, the body not yet in
    bool processing_ = false;
    bool closing_ = false;
    bool eof_ = false;
};

// ---- H1Exchange

H1Exchange::H1Exchange(ServerConnection& connection, H1Protocol& protocol, H1Head head)
    : protocol_(&protocol), keep_alive_(head.keep_alive), expects_(head.expect_continue) {
    connection_ = &connection;
    request_.method = std::move(head.method);
    request_.target = std::move(head.target);
    request_.headers = std::move(head.headers);
    request_.version = head.version;
    request_.peer = connection.peer();
    request_.remote_address = connection.transport().remote_address();
    request_.secure = connection.transport().tls();
    no_body_ = request_.method == "HEAD";
}

void H1Exchange::append_head(std::string* out, int status, const Headers& headers) {
    h1_append_status(out, HttpVersion::kHttp11, status);
    for (const auto& [name, value] : headers)
        if (name != "connection" && name != "transfer-encoding" && name != "content-length")
            h1_append_field(out, name, value);
    if (!headers.has("date")) h1_append_field(out, "date", connection_->core().date());
    if (protocol_->must_close() || expects_) keep_alive_ = false;
    if (!keep_alive_)
        h1_append_field(out, "connection", "close");
    else if (request_.version == HttpVersion::kHttp10)
        h1_append_field(out, "connection", "keep-alive");
}

void H1Exchange::respond(Response response) {
    if (over_ || started_) return;
    started_ = true;
    const bool bodiless = response.status == 204 || response.status == 304;
    const std::size_t size = response.body ? response.body->size() : 0;
    std::string head;
    head.reserve(256 + (size < 4096 ? size : 0));
    append_head(&head, response.status, response.headers);
    if (!bodiless) h1_append_field(&head, "content-length", std::to_string(size));
    head += "\r\n";
    const bool body = !no_body_ && !bodiless && size > 0;
    if (body && size < 4096) head += *response.body;
    protocol_->push(share(std::move(head)));
    if (body && size >= 4096) protocol_->push(std::move(response.body));
    done();
}

void H1Exchange::start(int status, Headers headers) {
    if (over_ || started_) return;
    started_ = true;
    const bool bodiless = status == 204 || status == 304;
    const bool sized = headers.has("content-length");
    chunked_ = !sized && !bodiless && request_.version == HttpVersion::kHttp11;
    if (!sized && !bodiless && !chunked_) keep_alive_ = false;
    if (bodiless) no_body_ = true;
    std::string head;
    append_head(&head, status, headers);
    if (sized)
        h1_append_field(&head, "content-length", headers.get("content-length"));
    else if (chunked_)
        h1_append_field(&head, "transfer-encoding", "chunked");
    head += "\r\n";
    protocol_->push(share(std::move(head)));
}

base::Status H1Exchange::write(SharedBytes bytes) {
    if (over_ || !started_) return base::cancelled("the exchange is closed");
    if (no_body_ || bytes->empty()) return {};
    if (protocol_->queued() + bytes->size() > connection_->core().options.max_queued_per_stream)
        return base::Error(base::Code::kResourceExhausted, "the client reads too slowly");
    if (chunked_) protocol_->push(share(fmt::format("{:x}\r\n", bytes->size())));
    protocol_->push(std::move(bytes));
    if (chunked_) {
        static const SharedBytes kEnd = share("\r\n");
        protocol_->push(kEnd);
    }
    return {};
}

void H1Exchange::respond_grpc(SharedBytes frame, std::vector<SharedBytes> rest) {
    Headers headers{{"content-type", "application/grpc"}};
    start(200, std::move(headers));
    (void)write(std::move(frame));
    for (auto& piece : rest)
        (void)write(std::move(piece));
    finish(Headers{{"grpc-status", "0"}});
}

std::size_t H1Exchange::queued_bytes() const {
    return over_ ? 0 : protocol_->queued();
}

void H1Exchange::finish(Headers trailers) {
    if (over_ || !started_) return;
    if (chunked_ && !no_body_) {
        std::string end = "0\r\n";
        for (const auto& [name, value] : trailers)
            h1_append_field(&end, name, value);
        end += "\r\n";
        protocol_->push(share(std::move(end)));
    }
    done();
}

void H1Exchange::done() {
    finished_ = true;
    auto self = shared_from_this();
    H1Protocol* protocol = protocol_;
    const bool keep = keep_alive_;
    conclude(true, base::cancelled("the request is answered"));
    if (!keep) protocol->close();
    protocol->exchange_done(*this);
}

void H1Exchange::reset(ResetCode) {
    if (over_) return;
    connection_->transport().end(base::cancelled("reset by the handler"));
}

void H1Exchange::body_wanted() {
    if (!expects_ || over_ || started_) return;
    expects_ = false;
    static const SharedBytes kContinue = share("HTTP/1.1 100 Continue\r\n\r\n");
    protocol_->push(kContinue);
}

void H1Exchange::body_taken(std::size_t) {
    if (!over_) protocol_->resume();
}

// ---- H1Protocol

bool H1Protocol::blocked() const {
    if (closing_) return true;
    if (current_ && !request_done_)
        return current_->inbox().size() >= c_.core().options.stream_window;
    return request_done_ || queued_ > kPipelineLimit;
}

void H1Protocol::on_data(std::string_view bytes) {
    if (closing_ && !discarding_) return;
    if (!processing_ && stash_.empty() && !blocked()) return process(bytes);
    stash_.append(bytes);
    if (stash_.size() >= kStashLimit) c_.transport().pause_reading();
}

void H1Protocol::resume() {
    if (processing_ || blocked()) return;
    // What the parser has kept may hold the next request even when the stash is empty.
    const std::string stash = std::move(stash_);
    stash_ = std::string();
    process(stash);
    if (stash_.size() < kStashLimit) c_.transport().resume_reading();
}

void H1Protocol::process(std::string_view in) {
    processing_ = true;
    while (!blocked()) {
        std::string_view body;
        const auto event = parser_.next(&in, &body);
        if (event == H1Parser::Event::kNeedMore) break;
        switch (event) {
            case H1Parser::Event::kHead:
                begin_request();
                break;
            case H1Parser::Event::kBody:
                take_body(body);
                break;
            case H1Parser::Event::kEnd:
                end_request();
                break;
            default:
                bad_input();
                break;
        }
    }
    processing_ = false;
    if (closing_) return;
    if (!in.empty()) stash_.insert(0, in);
    if (stash_.size() >= kStashLimit || (current_ && !request_done_ && blocked()))
        c_.transport().pause_reading();
    if (current_ || discarding_ || parser_.at_start())
        head_since_.reset();
    else if (!head_since_)
        head_since_ = std::chrono::steady_clock::now();
}

void H1Protocol::begin_request() {
    H1Head& head = parser_.head();
    in_request_ = true;
    const bool no_host = head.version == HttpVersion::kHttp11 && !head.headers.has("host");
    const bool foreign_expectation = head.headers.has("expect") && !head.expect_continue;
    current_ = std::make_shared<H1Exchange>(c_, *this, std::move(head));
    auto exchange = current_;
    c_.touch();
    if (no_host || foreign_expectation) {
        exchange->keep_alive_ = false;
        if (no_host)
            refuse(*exchange, 400, "the Host field is missing");
        else
            refuse(*exchange, 417, "unknown expectation");
        return;
    }
    if (c_.dispatch(exchange) && !exchange->closed()) exchange->body_wanted();
}

void H1Protocol::take_body(std::string_view body) {
    if (discarding_) {
        discarded_ += body.size();
        if (discarded_ > kDiscardLimit) close();
        return;
    }
    auto exchange = current_;
    if (!exchange->collecting()) {
        exchange->inbox().push(body);
    } else if (!exchange->collect_chunk(body, c_.core().handlers.whole_body_limit)) {
        exchange->keep_alive_ = false;
        refuse(*exchange, 413, "the request body is too large");
    }
}

void H1Protocol::end_request() {
    in_request_ = false;
    if (discarding_ || !current_) {
        next_request();
        return;
    }
    request_done_ = true;
    auto exchange = current_;
    exchange->inbox().end();
    if (exchange->collecting()) {
        std::shared_ptr<ExchangeBase> base = std::move(exchange);
        c_.dispatch_collected(base);
    }
}

void H1Protocol::bad_input() {
    if (current_) {
        auto exchange = current_;
        if (exchange->started()) {
            c_.transport().end(base::unavailable("bad request body: " + parser_.error()));
            return;
        }
        exchange->keep_alive_ = false;
        refuse(*exchange, 400, "bad request body: " + parser_.error());
        return;
    }
    if (!discarding_) {
        const bool large = parser_.header_too_large();
        const std::string body = large ? "the request's header is too large\n"
                                       : fmt::format("bad request: {}\n", parser_.error());
        std::string head;
        h1_append_status(&head, HttpVersion::kHttp11, large ? 431 : 400);
        h1_append_field(&head, "content-type", "text/plain; charset=utf-8");
        h1_append_field(&head, "content-length", std::to_string(body.size()));
        h1_append_field(&head, "connection", "close");
        push(share(head + "\r\n" + body));
    }
    close();
}

void H1Protocol::exchange_done(H1Exchange& exchange) {
    if (current_.get() != &exchange) return;
    current_.reset();
    c_.touch();
    if (closing_) return;
    if (in_request_) {
        discarding_ = true;
        discarded_ = 0;
        c_.transport().resume_reading();
        return;
    }
    next_request();
    resume();
}

void H1Protocol::next_request() {
    request_done_ = discarding_ = in_request_ = false;
    parser_.reset();
}

void H1Protocol::close() {
    closing_ = true;
    stash_.clear();
    c_.transport().close_when_flushed();
}

void H1Protocol::push(SharedBytes bytes) {
    queued_ += bytes->size();
    out_.push_back(std::move(bytes));
    c_.transport().want_flush();
}

void H1Protocol::fill(std::string* out) {
    bool took = false;
    while (!out_.empty() && out->size() < Transport::kBurst) {
        const std::string& front = *out_.front();
        const std::size_t n = std::min(front.size() - out_offset_, Transport::kBurst);
        out->append(front, out_offset_, n);
        out_offset_ += n;
        queued_ -= n;
        took = true;
        if (out_offset_ == front.size()) {
            out_.pop_front();
            out_offset_ = 0;
        }
    }
    if (took && current_) {
        auto exchange = current_;
        exchange->sent();
    }
}

void H1Protocol::on_eof() {
    eof_ = true;
    if (!current_) return close();
    if (in_request_ || current_->started()) {
        c_.transport().end(base::cancelled("the client is gone"));
        return;
    }
    // It may wait for the answer with its sending half closed.
}

void H1Protocol::on_end(const base::Error& why) {
    closing_ = true;
    if (auto exchange = std::move(current_)) exchange->end_early(base::cancelled(why.message));
    current_.reset();
}

void H1Protocol::drain() {
    if (!current_) close();
}

bool H1Protocol::tick(base::SteadyTime now) {
    const ServerOptions& o = c_.core().options;
    if (head_since_ && now - *head_since_ >= o.header_timeout) return false;
    const bool waiting_for_body = in_request_ && !blocked();
    return !(waiting_for_body && now - c_.transport().last_read() >= o.stall_timeout);
}

}  // namespace

std::unique_ptr<ServerProtocol> make_h1_protocol(ServerConnection& connection) {
    return std::make_unique<H1Protocol>(connection);
}

}  // namespace net
