#include "net/h1_codec.h"

#include <fmt/format.h>

#include <boost/beast/http/basic_parser.hpp>

#include "base/check.h"

namespace net {

namespace http = boost::beast::http;
using boost::system::error_code;

namespace {

std::string_view sv(boost::core::string_view s) {
    return {s.data(), s.size()};
}

template <bool kRequest>
class Parser final : public http::basic_parser<kRequest> {
  public:
    using View = boost::beast::string_view;

    H1Head head;
    std::string_view piece;

  private:
    void on_request_impl(http::verb, View method, View target, int version,
                         error_code& ec) override {
        ec = {};
        head.method = sv(method);
        head.target = sv(target);
        set_version(version, ec);
    }
    void on_response_impl(int code, View, int version, error_code& ec) override {
        ec = {};
        head.status = code;
        set_version(version, ec);
    }
    void set_version(int version, error_code& ec) {
        if (version != 10 && version != 11) ec = http::error::bad_version;
        head.version = version == 10 ? HttpVersion::kHttp10 : HttpVersion::kHttp11;
    }
    void on_field_impl(http::field, View name, View value, error_code& ec) override {
        ec = {};
        (this->is_header_done() ? head.trailers : head.headers).add(sv(name), sv(value));
    }
    void on_header_impl(error_code& ec) override { ec = {}; }
    void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code& ec) override {
        ec = {};
    }
    std::size_t on_body_impl(View body, error_code& ec) override {
        ec = {};
        piece = sv(body);
        return body.size();
    }
    void on_chunk_header_impl(std::uint64_t, View, error_code& ec) override { ec = {}; }
    std::size_t on_chunk_body_impl(std::uint64_t, View body, error_code& ec) override {
        ec = {};
        piece = sv(body);
        return body.size();
    }
    void on_finish_impl(error_code& ec) override { ec = {}; }
};

}  // namespace

struct H1Parser::Impl {
    Impl(Kind k, std::size_t limit) : kind(k), header_limit(limit) {}

    template <class F>
    decltype(auto) with(F f) {
        return kind == Kind::kRequest ? f(*request) : f(*response);
    }

    Kind kind;
    std::size_t header_limit;
    std::optional<Parser<true>> request;
    std::optional<Parser<false>> response;
    std::string pending;  // input kept from call to call
    std::size_t at = 0;
    bool head_told = false;
    bool end_told = false;
    bool touched = false;
    error_code ec;
    std::string error;
};

H1Parser::H1Parser(Kind kind, std::size_t header_limit)
    : impl_(std::make_unique<Impl>(kind, header_limit)) {
    reset();
}
H1Parser::~H1Parser() = default;

void H1Parser::reset(bool no_body) {
    const auto set_up = [&](auto& parser) {
        parser.header_limit(static_cast<std::uint32_t>(impl_->header_limit));
        parser.body_limit(boost::none);
        if (no_body) parser.skip(true);
    };
    if (impl_->kind == Kind::kRequest)
        set_up(impl_->request.emplace());
    else
        set_up(impl_->response.emplace());
    impl_->head_told = impl_->end_told = impl_->touched = false;
}

H1Head& H1Parser::head() {
    return impl_->with([](auto& p) -> H1Head& { return p.head; });
}
const std::string& H1Parser::error() const {
    return impl_->error;
}
bool H1Parser::header_too_large() const {
    return impl_->ec == http::error::header_limit;
}
bool H1Parser::at_start() const {
    return !impl_->touched && impl_->at == impl_->pending.size();
}
std::string H1Parser::take_rest() {
    std::string rest = impl_->pending.substr(impl_->at);
    impl_->pending.clear();
    impl_->at = 0;
    return rest;
}

H1Parser::Event H1Parser::next(std::string_view* in, std::string_view* body) {
    Impl& m = *impl_;
    if (m.at == m.pending.size()) {
        m.pending.clear();
        m.at = 0;
    }
    return m.with([&](auto& p) {
        for (;;) {
            if (p.is_header_done() && !m.head_told) {
                m.head_told = true;
                p.head.keep_alive = p.keep_alive();
                p.head.until_eof = p.need_eof();
                p.head.expect_continue =
                    equals_ignoring_case(p.head.headers.get("expect"), "100-continue");
                if (const auto n = p.content_length()) p.head.content_length = *n;
                return Event::kHead;
            }
            if (p.is_done() && !m.end_told) {
                m.end_told = true;
                return Event::kEnd;
            }
            CHECK(!m.end_told, "reset() the parser first");
            std::string_view data = *in;
            const bool kept = !m.pending.empty();
            if (kept) {
                m.pending.append(*in);
                *in = {};
                data = std::string_view(m.pending).substr(m.at);
            }
            if (data.empty()) return Event::kNeedMore;
            m.touched = true;
            p.piece = {};
            m.ec = {};
            const std::size_t used =
                p.put(boost::asio::const_buffer(data.data(), data.size()), m.ec);
            if (kept)
                m.at += used;
            else
                in->remove_prefix(used);
            if (!p.piece.empty()) {
                if (m.ec && m.ec != http::error::need_more) return fail();
                *body = p.piece;
                return Event::kBody;
            }
            if (m.ec == http::error::need_more) {
                if (!kept) {
                    m.pending.assign(*in);
                    m.at = 0;
                    *in = {};
                }
                return Event::kNeedMore;
            }
            if (m.ec) return fail();
        }
    });
}

H1Parser::Event H1Parser::fail() {
    impl_->error = impl_->ec.message();
    return Event::kError;
}

H1Parser::Event H1Parser::end_of_input() {
    Impl& m = *impl_;
    return m.with([&](auto& p) {
        m.ec = {};
        if (m.end_told || (p.is_done() && m.at == m.pending.size())) return Event::kEnd;
        if (!p.got_some())
            m.ec = http::error::end_of_stream;
        else
            p.put_eof(m.ec);
        if (m.ec) return fail();
        m.end_told = true;
        return Event::kEnd;
    });
}

void h1_append_status(std::string* out, HttpVersion version, int status) {
    const std::string_view reason = reason_phrase(status);
    fmt::format_to(std::back_inserter(*out), "HTTP/1.{} {} {}\r\n",
                   version == HttpVersion::kHttp10 ? 0 : 1, status, reason);
}

void h1_append_field(std::string* out, std::string_view name, std::string_view value) {
    out->append(name).append(": ");
    for (const char c : value)
        out->push_back(static_cast<unsigned char>(c) < 0x20 && c != '\t' ? ' ' : c);
    out->append("\r\n");
}

}  // namespace net
