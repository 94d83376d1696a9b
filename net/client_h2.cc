// The client's HTTP/2 connection and its streams.

#include <fmt/format.h>

#include <charconv>

#include "net/client_impl.h"

namespace net {

// ---- H2ClientStream

void H2ClientStream::on_header(std::string_view name, nghttp2_rcbuf*, nghttp2_rcbuf* value_buf) {
    const nghttp2_vec v = nghttp2_rcbuf_get_buf(value_buf);
    const std::string_view value(reinterpret_cast<const char*>(v.base), v.len);
    if (name == ":status")
        std::from_chars(value.data(), value.data() + value.size(), status_);
    else if (fields_.size() < 1000)
        fields_.add(name, value);
}

void H2ClientStream::on_headers_end() {
    if (head_done_) return;  // trailers: they stay in fields_ until the end
    Headers fields = std::move(fields_);
    fields_ = Headers();
    if (status_ < 200) return;
    head_done_ = true;
    auto keep = shared_from_this();
    on_head(status_, std::move(fields));
}

// A server that has answered before it had the whole request needs no more of it.
void H2ClientStream::on_end_stream() {
    ended_ = true;
    if (!end_sent()) stream_session()->reset_stream(this, NGHTTP2_NO_ERROR);
}

void H2ClientStream::taken(std::size_t n) {
    if (!stream_session()) return;
    unread_ -= n;
    stream_session()->consume(this, n);
}

void H2ClientStream::cancel_stream() {
    if (stream_session()) stream_session()->reset_stream(this, NGHTTP2_CANCEL);
}

namespace {

base::Error reset_error(std::uint32_t code) {
    const std::string text =
        fmt::format("the server reset the stream: {}", nghttp2_http2_strerror(code));
    switch (code) {
        case NGHTTP2_REFUSED_STREAM:
            return not_processed(base::unavailable(text));
        case NGHTTP2_CANCEL:
            return base::cancelled(text);
        case NGHTTP2_ENHANCE_YOUR_CALM:
            return {base::Code::kResourceExhausted, text};
        case NGHTTP2_INADEQUATE_SECURITY:
            return {base::Code::kPermissionDenied, text};
        default:
            return base::internal_error(text);
    }
}

}  // namespace

void H2ClientStream::on_stream_close(std::uint32_t code) {
    const auto keep = std::move(self);
    self.reset();
    auto* connection = last_connection;
    if (connection && !connection->ended()) connection->consume_connection(unread_);
    unread_ = 0;
    if (ended_ && head_done_) {
        on_closed({}, std::move(fields_));
        return;
    }
    base::Error error = base::unavailable("the connection ended");
    if (connection && connection->ended()) {
        error = connection->end_error();
        if (!headers_sent()) error = not_processed(error);
    } else {
        error = reset_error(code);
    }
    on_closed(error, {});
}

// ---- H2ClientConnection

namespace {
H2Session::Settings client_settings(const H2ClientConnection::Options& o) {
    H2Session::Settings s;
    s.server = false;
    s.stream_window = o.stream_window;
    s.connection_window = o.connection_window;
    s.max_header_bytes = 256 << 10;
    return s;
}
}  // namespace

H2ClientConnection::H2ClientConnection(std::shared_ptr<Transport> transport, const Options& options)
    : H2Session(client_settings(options)), transport_(std::move(transport)), options_(options) {}

void H2ClientConnection::begin(base::UniqueFunction<void()> on_change) {
    on_change_ = std::move(on_change);
    transport_->set_owner(shared_from_this());
    transport_->want_flush();
}

base::Status H2ClientConnection::submit(const std::shared_ptr<H2ClientStream>& stream,
                                        const std::vector<nghttp2_nv>& fields, bool body) {
    if (!usable()) return not_processed(base::unavailable("the connection takes no more calls"));
    if (const base::Status status = submit_request(stream.get(), fields, body); !status) {
        goaway_ = true;  // out of stream ids, most likely: the next call gets a new connection
        return not_processed(status.error());
    }
    stream->last_connection = this;
    stream->self = stream;
    return {};
}

void H2ClientConnection::on_data(std::string_view bytes) {
    if (const base::Status status = receive(bytes); !status) return close(status.error());
    if (finished()) return close(base::unavailable("the server ended the connection"));
    if (retired_ && open_streams() == 0) transport_->close_when_flushed();
}

void H2ClientConnection::fill(std::string* out) {
    produce(out, Transport::kBurst);
}

void H2ClientConnection::on_goaway(std::uint32_t code, std::string_view debug) {
    if (code != NGHTTP2_NO_ERROR)
        LOG_WARN("net", "GOAWAY from {}: {} {}", transport_->remote_address(),
                 nghttp2_http2_strerror(code), debug.substr(0, 100));
    goaway_ = true;
    changed();
}

void H2ClientConnection::retire() {
    if (ended_ || retired_) return;
    retired_ = goaway_ = true;
    goaway(NGHTTP2_NO_ERROR);
    if (open_streams() == 0) transport_->close_when_flushed();
}

void H2ClientConnection::close(const base::Error& why) {
    if (ended_) return;
    auto self = shared_from_this();
    transport_->abort();
    on_end(why);
}

void H2ClientConnection::on_end(const base::Error& why) {
    if (ended_) return;
    ended_ = true;
    end_error_ = why;
    close_all_streams(NGHTTP2_CANCEL);
    changed();
}

void H2ClientConnection::changed() {
    if (on_change_) on_change_();
}

void H2ClientConnection::tick(base::SteadyTime now) {
    if (ended_) return;
    if (!check_alive(now, transport_->last_read(), options_.ping_interval, options_.ping_timeout))
        close(base::unavailable("the server does not answer PING"));
}

// ---- a ClientCall on a stream

namespace {

class H2Call final : public H2ClientStream {
  public:
    explicit H2Call(std::shared_ptr<ClientCall> call) : call_(std::move(call)) {}

    void hook() {
        std::weak_ptr<H2Call> weak = std::static_pointer_cast<H2Call>(shared_from_this());
        call_->on_cancel = [weak] {
            if (auto live = weak.lock()) live->cancel_stream();
        };
        call_->on_taken = [weak](std::size_t n) {
            if (auto live = weak.lock()) live->taken(n);
        };
    }
    void on_chunk(std::string_view bytes) override {
        count_unread(bytes.size());
        if (call_->over)
            taken(bytes.size());
        else
            call_->inbox.push(bytes);
    }

  private:
    void on_head(int status, Headers headers) override {
        call_->got_head(status, std::move(headers));
    }
    void on_closed(base::Status status, Headers trailers) override {
        call_->on_cancel = nullptr;
        call_->on_taken = nullptr;
        if (status)
            call_->got_end(std::move(trailers));
        else
            call_->fail(status.error());
    }
    std::shared_ptr<ClientCall> call_;
};

}  // namespace

std::shared_ptr<H2ClientStream> make_h2_call(std::shared_ptr<ClientCall> call) {
    auto stream = std::make_shared<H2Call>(std::move(call));
    stream->hook();
    return stream;
}

}  // namespace net
