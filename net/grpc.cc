#include "net/grpc.h"

#include <fmt/format.h>

#include <charconv>
#include <unordered_map>

#include "base/bytes.h"
#include "base/log.h"
#include "net/deadlines.h"

namespace net {
namespace {

constexpr std::string_view kContentType = "application/grpc";

Headers status_fields(const base::Error& error) {
    Headers h;
    h.add("grpc-status", std::to_string(static_cast<int>(error.code)));
    if (!error.message.empty()) h.add("grpc-message", grpc_encode_message(error.message));
    return h;
}

// Ends an exchange with an error: as trailers only when nothing has been sent.
void answer_error(Exchange& exchange, const base::Error& error) {
    if (exchange.started()) {
        exchange.finish(status_fields(error));
        return;
    }
    Response r;
    r.headers = Headers{{"content-type", kContentType}};
    for (const auto& [name, value] : status_fields(error))
        r.headers.add(name, value);
    exchange.respond(std::move(r));
}

}  // namespace

base::Result<std::optional<std::string_view>> grpc_take_frame(std::string_view* bytes,
                                                              std::size_t limit) {
    if (bytes->size() < kGrpcPrefix) return std::optional<std::string_view>();
    if (bytes->front() != 0) return base::unimplemented("compressed messages are not supported");
    const auto size = static_cast<std::uint32_t>(base::load_be<std::int32_t>(bytes->data() + 1));
    if (size > limit)
        return base::Error(
            base::Code::kResourceExhausted,
            fmt::format("grpc: received message larger than max ({} vs. {})", size, limit));
    if (bytes->size() - kGrpcPrefix < size) return std::optional<std::string_view>();
    std::optional<std::string_view> message(bytes->substr(kGrpcPrefix, size));
    bytes->remove_prefix(kGrpcPrefix + size);
    return message;
}

std::string grpc_frame(std::string_view message) {
    std::string out;
    out.reserve(kGrpcPrefix + message.size());
    out.resize(kGrpcPrefix);
    grpc_write_prefix(out.data(), message.size());
    out.append(message);
    return out;
}

void grpc_write_prefix(char* at, std::size_t message_size) {
    at[0] = 0;
    for (int i = 0; i < 4; ++i)
        at[1 + i] = static_cast<char>(message_size >> (8 * (3 - i)));
}

void grpc_fill_prefix(std::string* frame, std::size_t more) {
    CHECK(frame->size() >= kGrpcPrefix);
    grpc_write_prefix(frame->data(), frame->size() - kGrpcPrefix + more);
}

std::string grpc_encode_message(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (const char c : text) {
        if (c >= 0x20 && c <= 0x7e && c != '%')
            out.push_back(c);
        else
            fmt::format_to(std::back_inserter(out), "%{:02X}", static_cast<unsigned char>(c));
    }
    return out;
}

std::string grpc_decode_message(std::string_view text) {
    const auto decoded = percent_decode(text);
    return decoded ? *decoded : std::string(text);
}

std::optional<base::Millis> grpc_parse_timeout(std::string_view text) {
    using namespace std::chrono;
    std::int64_t n = 0;
    if (text.size() < 2 || text.size() > 9) return std::nullopt;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size() - 1, n);
    if (ec != std::errc() || end != text.data() + text.size() - 1 || n < 0) return std::nullopt;
    switch (text.back()) {
        case 'H':
            return hours(n);
        case 'M':
            return minutes(n);
        case 'S':
            return seconds(n);
        case 'm':
            return milliseconds(n);
        case 'u':
            return ceil<milliseconds>(microseconds(n));
        case 'n':
            return ceil<milliseconds>(nanoseconds(n));
        default:
            return std::nullopt;
    }
}

std::string grpc_format_timeout(base::Millis timeout) {
    const auto ms = std::max<std::int64_t>(timeout.count(), 1);
    return ms < 100'000'000 ? fmt::format("{}m", ms)
                            : fmt::format("{}S", std::min<std::int64_t>(ms / 1000, 99'999'999));
}

// ---- GrpcCall

GrpcCall::GrpcCall(std::shared_ptr<Exchange> exchange) : exchange_(std::move(exchange)) {}

GrpcCall::~GrpcCall() {
    if (!closed()) fail(base::internal_error("the call was not answered"));
}

void GrpcCall::respond(std::string_view message) {
    respond_frame(grpc_frame(message));
}

void GrpcCall::respond_frame(std::string frame) {
    respond_frame(std::move(frame), {});
}

void GrpcCall::respond_frame(std::string frame, std::vector<SharedBytes> rest) {
    if (closed()) return;
    answered_ = true;
    std::size_t size = 0;
    for (const auto& piece : rest)
        size += piece->size();
    witness_.sent(frame.size() - kGrpcPrefix + size);
    witness_.handled(0);
    grpc_fill_prefix(&frame, size);
    exchange_->respond_grpc(share(std::move(frame)), std::move(rest));
}

void GrpcCall::fail(const base::Error& error) {
    if (closed()) return;
    answered_ = true;
    witness_.handled(static_cast<int>(error.code));
    answer_error(*exchange_, error);
}

// ---- GrpcStream

GrpcStream::GrpcStream(std::shared_ptr<Exchange> exchange, std::size_t max_message)
    : exchange_(std::move(exchange)), max_message_(max_message) {}

GrpcStream::~GrpcStream() {
    if (!closed()) finish(base::internal_error("the call was not answered"));
}

base::Task<std::optional<std::string>> GrpcStream::read() {
    auto exchange = exchange_;
    for (;;) {
        std::string_view rest = std::string_view(buffer_).substr(buffer_at_);
        CO_TRY(auto message, grpc_take_frame(&rest, max_message_));
        if (message) {
            std::optional<std::string> out(*message);
            buffer_at_ = buffer_.size() - rest.size();
            witness_.received(out->size());
            co_return out;
        }
        CO_TRY(auto piece, co_await exchange->read_some());
        if (!piece) {
            if (buffer_at_ != buffer_.size())
                co_return base::internal_error("the stream ended inside a message");
            co_return std::optional<std::string>();
        }
        buffer_.erase(0, buffer_at_);
        buffer_at_ = 0;
        if (buffer_.empty())
            buffer_ = std::move(*piece);
        else
            buffer_ += *piece;
    }
}

void GrpcStream::send_headers(Headers metadata) {
    if (closed() || exchange_->started()) return;
    metadata.set("content-type", kContentType);
    exchange_->start(200, std::move(metadata));
}

base::Status GrpcStream::write(std::string_view message) {
    return write_frame(share(grpc_frame(message)));
}

base::Status GrpcStream::write_frame(SharedBytes frame) {
    if (closed()) return base::cancelled("the call is over");
    send_headers();
    witness_.sent(frame->size() - kGrpcPrefix);
    return exchange_->write(std::move(frame));
}

void GrpcStream::finish(const base::Status& status) {
    if (closed()) return;
    finished_ = true;
    witness_.handled(status ? 0 : static_cast<int>(status.error().code));
    if (!status) return answer_error(*exchange_, status.error());
    if (!exchange_->started()) {
        Headers metadata{{"content-type", kContentType}};
        exchange_->start(200, std::move(metadata));
    }
    exchange_->finish(Headers{{"grpc-status", "0"}});
}

// ---- GrpcService

struct GrpcService::Impl : std::enable_shared_from_this<GrpcService::Impl> {
    Impl(base::Loop& loop, std::size_t limit) : deadlines(loop), max_message(limit) {}

    struct Hash {
        using is_transparent = void;
        std::size_t operator()(std::string_view s) const {
            return std::hash<std::string_view>{}(s);
        }
    };
    template <class T>
    struct Method {
        T handler;
        std::size_t number = 0;  // the observer's
    };
    template <class T>
    using Table = std::unordered_map<std::string, Method<T>, Hash, std::equal_to<>>;
    template <class T>
    void add(Table<T>* table, std::string path, T handler) {
        const std::size_t number = observer != nullptr ? observer->add(path) : 0;
        table->insert_or_assign(std::move(path), Method<T>{std::move(handler), number});
    }

    void unary_request(const std::shared_ptr<Exchange>& exchange, std::string_view body);
    // Sets the call's deadline from grpc-timeout; `expired` runs when it passes.
    template <class Call>
    void arm(const std::shared_ptr<Call>& call, std::optional<base::SteadyTime>* deadline,
             std::shared_ptr<void>* alarm);
    static void expire(GrpcCall& call);
    static void expire(GrpcStream& stream);

    Deadlines deadlines;
    std::size_t max_message;
    GrpcObserver* observer = nullptr;
    Table<Unary> unary;
    Table<Streaming> streaming;
};

namespace {

const base::Error& deadline_error() {
    static const base::Error error = base::deadline_exceeded("context deadline exceeded");
    return error;
}

bool is_grpc(const Exchange& exchange) {
    const std::string_view type = exchange.header("content-type");
    return type.starts_with(kContentType) &&
           (type.size() == kContentType.size() || type[kContentType.size()] == '+' ||
            type[kContentType.size()] == ';');
}

// The handler's coroutine, with what must live as long as it does.
base::Awaitable<void> run_stream(GrpcService::Streaming* handler,
                                 std::shared_ptr<GrpcStream> stream) {
    bool threw = false;
    try {
        co_await (*handler)(stream);
    } catch (const std::exception& e) {
        threw = true;
        if (!stream->closed()) LOG_ERROR("net", "handler of {}: {}", stream->path(), e.what());
    }
    if (threw) stream->finish(base::internal_error("internal error"));
}

}  // namespace

void GrpcService::Impl::expire(GrpcCall& call) {
    call.exchange_->interrupt(deadline_error());
    call.fail(deadline_error());
}

void GrpcService::Impl::expire(GrpcStream& stream) {
    stream.exchange_->interrupt(deadline_error());
    stream.finish(deadline_error());
}

template <class Call>
void GrpcService::Impl::arm(const std::shared_ptr<Call>& call,
                            std::optional<base::SteadyTime>* deadline,
                            std::shared_ptr<void>* alarm) {
    const std::string_view text = call->metadata("grpc-timeout");
    if (text.empty()) return;
    const auto timeout = grpc_parse_timeout(text);
    if (!timeout) return;
    *deadline = std::chrono::steady_clock::now() + *timeout;
    const auto token = deadlines.add(**deadline, [weak = std::weak_ptr<Call>(call)] {
        if (const auto live = weak.lock(); live && !live->closed()) expire(*live);
    });
    *alarm = std::shared_ptr<void>(
        nullptr, [self = shared_from_this(), token](void*) { self->deadlines.drop(token); });
}

void GrpcService::Impl::unary_request(const std::shared_ptr<Exchange>& exchange,
                                      std::string_view body) {
    const auto method = unary.find(exchange->target());
    if (method == unary.end()) {
        answer_error(*exchange,
                     base::unimplemented(fmt::format("unknown method {}", exchange->target())));
        return;
    }
    std::string_view rest = body;
    const auto message = grpc_take_frame(&rest, max_message);
    if (!message) return answer_error(*exchange, message.error());
    if (!*message)
        return answer_error(*exchange, base::internal_error("the request's message is incomplete"));
    if (!rest.empty())
        return answer_error(*exchange, base::internal_error("more than one message in the call"));
    auto call = std::make_shared<GrpcCall>(exchange);
    call->witness_ = GrpcWitness(observer, method->second.number);
    call->witness_.received((*message)->size());
    arm(call, &call->deadline_, &call->alarm_);
    method->second.handler(std::move(call), **message);
}

GrpcService::GrpcService(base::Loop& loop, std::size_t max_message)
    : impl_(std::make_shared<Impl>(loop, max_message)) {}
GrpcService::~GrpcService() {
    impl_->deadlines.clear();
}

void GrpcService::observe(GrpcObserver* observer) {
    impl_->observer = observer;
}

void GrpcService::unary(std::string path, Unary handler) {
    impl_->add(&impl_->unary, std::move(path), std::move(handler));
}
void GrpcService::streaming(std::string path, Streaming handler) {
    impl_->add(&impl_->streaming, std::move(path), std::move(handler));
}

ServerHandlers GrpcService::handlers(ServerHandlers others) {
    ServerHandlers out;
    Impl* impl = impl_.get();
    const std::size_t other_limit = others.whole_body_limit;
    out.whole_body_limit = std::max(impl->max_message + kGrpcPrefix, other_limit);
    auto shared = std::make_shared<ServerHandlers>(std::move(others));
    out.wants_whole_body = [impl, shared](const Exchange& exchange) {
        if (!is_grpc(exchange)) {
            return shared->wants_whole_body && shared->wants_whole_body(exchange);
        }
        return impl->streaming.find(exchange.target()) == impl->streaming.end();
    };
    out.on_request = [impl, shared, other_limit](const std::shared_ptr<Exchange>& exchange,
                                                 std::string_view body) {
        if (is_grpc(*exchange)) {
            if (exchange->method() == "POST") return impl->unary_request(exchange, body);
            return exchange->respond(Response::of(405, "gRPC uses POST\n"));
        }
        if (body.size() > other_limit)
            return exchange->respond(Response::of(413, "the request body is too large\n"));
        shared->on_request(exchange, body);
    };
    out.on_exchange = [impl, shared](std::shared_ptr<Exchange> exchange) {
        if (!is_grpc(*exchange)) {
            if (shared->on_exchange) return shared->on_exchange(std::move(exchange));
            return [](std::shared_ptr<Exchange> e) -> base::Awaitable<void> {
                e->respond(Response::of(404, "not found\n"));
                co_return;
            }(std::move(exchange));
        }
        auto& method = impl->streaming.find(exchange->target())->second;
        auto stream = std::make_shared<GrpcStream>(std::move(exchange), impl->max_message);
        stream->witness_ = GrpcWitness(impl->observer, method.number);
        impl->arm(stream, &stream->deadline_, &stream->alarm_);
        return run_stream(&method.handler, std::move(stream));
    };
    return out;
}

}  // namespace net
