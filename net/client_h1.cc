// The client's HTTP/1.1 connection: one call at a time.

#include "net/client_impl.h"

namespace net {

namespace {
constexpr std::size_t kUnreadLimit = 1 << 20;
constexpr std::size_t kHeaderLimit = 256 << 10;
}  // namespace

H1ClientConnection::H1ClientConnection(std::shared_ptr<Transport> transport)
    : transport_(std::move(transport)),
      parser_(H1Parser::Kind::kResponse, kHeaderLimit),
      idle_since_(std::chrono::steady_clock::now()) {}

void H1ClientConnection::begin(base::UniqueFunction<void()> on_change) {
    on_change_ = std::move(on_change);
    transport_->set_owner(shared_from_this());
}

void H1ClientConnection::run(const std::shared_ptr<ClientCall>& call) {
    CHECK(idle());
    call_ = call;
    call->reused = used_;
    used_ = true;
    sent_ = answered_ = false;
    const Request& r = call->request;
    parser_.reset(r.method == "HEAD");
    out_head_ = r.method + " " + r.target + " HTTP/1.1\r\n";
    for (const auto& [name, value] : r.headers)
        if (name != "content-length" && name != "transfer-encoding" && name != "connection")
            h1_append_field(&out_head_, name, value);
    const std::size_t size = r.body ? r.body->size() : 0;
    if (size > 0 || r.method == "POST" || r.method == "PUT" || r.method == "PATCH")
        h1_append_field(&out_head_, "content-length", std::to_string(size));
    out_head_ += "\r\n";
    out_body_ = r.body;
    out_at_ = 0;
    call->on_cancel = [weak = weak_from_this()] {
        if (auto self = weak.lock()) self->close(base::cancelled("the call was cancelled"));
    };
    call->on_taken = [weak = weak_from_this()](std::size_t) {
        auto self = weak.lock();
        if (!self || self->ended_ || !self->call_) return;
        if (self->call_->inbox.size() >= kUnreadLimit) return;
        const std::string stash = std::move(self->stash_);
        self->stash_ = std::string();
        self->process(stash);
        if (!self->ended_) self->transport_->resume_reading();
    };
    transport_->want_flush();
}

void H1ClientConnection::fill(std::string* out) {
    if (!out_head_.empty()) {
        sent_ = true;
        *out += out_head_;
        out_head_ = std::string();
    }
    if (!out_body_) return;
    const std::size_t n = std::min(out_body_->size() - out_at_, Transport::kBurst);
    out->append(*out_body_, out_at_, n);
    out_at_ += n;
    if (out_at_ == out_body_->size()) out_body_.reset();
}

void H1ClientConnection::on_data(std::string_view bytes) {
    if (!call_) return close(base::unavailable("the server sent bytes that nobody asked for"));
    answered_ = true;
    if (!stash_.empty()) {
        stash_.append(bytes);
        return;
    }
    process(bytes);
}

void H1ClientConnection::process(std::string_view in) {
    auto self = shared_from_this();
    while (call_) {
        if (call_->inbox.size() >= kUnreadLimit) {
            stash_.assign(in);
            transport_->pause_reading();
            return;
        }
        std::string_view body;
        switch (parser_.next(&in, &body)) {
            case H1Parser::Event::kNeedMore:
                return;
            case H1Parser::Event::kHead: {
                H1Head& head = parser_.head();
                if (head.status >= 200) {
                    auto call = call_;
                    call->got_head(head.status, std::move(head.headers));
                }
                break;
            }
            case H1Parser::Event::kBody: {
                auto call = call_;
                call->inbox.push(body);
                break;
            }
            case H1Parser::Event::kEnd:
                if (!call_->head_done) {
                    parser_.reset(call_->request.method == "HEAD");  // an interim response
                    break;
                }
                // A server that answers before the request is out wants no more of it.
                finish_call(parser_.head().keep_alive && !parser_.head().until_eof &&
                            out_head_.empty() && !out_body_ && in.empty());
                break;
            case H1Parser::Event::kError:
                close(base::unavailable("bad response: " + parser_.error()));
                return;
        }
    }
}

void H1ClientConnection::finish_call(bool keep) {
    auto call = std::move(call_);
    call_.reset();
    call->on_cancel = nullptr;
    call->on_taken = nullptr;
    call->got_end(std::move(parser_.head().trailers));
    idle_since_ = std::chrono::steady_clock::now();
    if (!keep) {
        ended_ = true;
        transport_->close_when_flushed();
    }
    changed();
}

void H1ClientConnection::on_eof() {
    if (call_ && call_->head_done && parser_.end_of_input() == H1Parser::Event::kEnd)
        return finish_call(false);
    close(base::unavailable("the server closed the connection"));
}

void H1ClientConnection::close(const base::Error& why) {
    if (ended_) return;
    auto self = shared_from_this();
    transport_->abort();
    on_end(why);
}

void H1ClientConnection::on_end(const base::Error& why) {
    if (ended_) return;
    ended_ = true;
    if (auto call = std::move(call_)) {
        call_.reset();
        call->on_cancel = nullptr;
        call->on_taken = nullptr;
        call->fail(sent_ ? why : not_processed(why));
    }
    changed();
}

void H1ClientConnection::changed() {
    if (on_change_) on_change_();
}

}  // namespace net
