#include "kvstore/server/json_gateway.h"

#include <google/protobuf/descriptor.h>

#include <charconv>

#include "base/bytes.h"
#include "kvstore/server/json_codec.h"

namespace kvstore {

namespace {

using google::protobuf::MethodDescriptor;
constexpr std::string_view kJson = "application/json";

// A gRPC call to the method's handler, an HTTP request to the client.
class JsonExchange final : public net::Exchange {
  public:
    JsonExchange(std::shared_ptr<net::Exchange> inner, const MethodDescriptor& method,
                 std::size_t max_body)
        : inner_(std::move(inner)),
          method_(method),
          max_body_(max_body),
          target_("/" + method.service()->full_name() + "/" + method.name()) {}

    const net::Request& request() override { return inner_->request(); }
    std::string_view method() const override { return "POST"; }
    std::string_view target() const override { return target_; }
    std::string_view header(std::string_view name) const override {
        return name == "content-type" ? "application/grpc" : inner_->header(name);
    }
    // Who sends the HTTP request may be a proxy for anybody: its certificate says nothing.
    const std::shared_ptr<const net::PeerIdentity>& peer() const override { return nobody_; }

    base::Task<std::string> read_body(std::size_t limit) override {
        return inner_->read_body(limit);
    }
    // The request's JSON objects, each as a framed message.
    base::Task<std::optional<std::string>> read_some() override {
        for (;;) {
            CO_TRY(auto object, json::take_object(&pending_));
            if (object) {
                CO_TRY(auto message, json::to_message(*method_.input_type(), *object));
                ++taken_;
                co_return std::optional<std::string>(net::grpc_frame(message));
            }
            if (ended_) co_return at_end();
            if (pending_.size() > max_body_)
                co_return base::invalid_argument("the request's JSON object is too large");
            CO_TRY(auto piece, co_await inner_->read_some());
            if (piece)
                pending_ += *piece;
            else
                ended_ = true;
        }
    }

    void respond(net::Response response) override { answer_error(error_of(response.headers)); }
    void start(int, net::Headers) override {
        started_ = true;
        if (method_.server_streaming()) inner_->start(200, net::Headers{{"content-type", kJson}});
    }
    // Messages come in pieces, or many at once.
    base::Status write(net::SharedBytes bytes) override {
        outgoing_ += *bytes;
        for (;;) {
            const std::size_t size = first_frame(outgoing_);
            if (size == 0) return {};
            TRY(std::string text, text_of(std::string_view(outgoing_).substr(0, size)));
            outgoing_.erase(0, size);
            if (method_.server_streaming())
                TRY_VOID(inner_->write("{\"result\":" + text + "}\n"));
            else
                answer_ = std::move(text);
        }
    }
    void finish(net::Headers trailers) override {
        if (trailers.get("grpc-status") != "0") return answer_error(error_of(trailers));
        if (method_.server_streaming()) return inner_->finish();
        inner_->respond(net::Response::of(200, std::move(answer_), kJson));
    }
    void respond_grpc(net::SharedBytes frame, std::vector<net::SharedBytes> rest) override {
        std::string whole = *frame;
        for (const auto& piece : rest)
            whole += *piece;
        auto text = text_of(whole);
        if (!text) return answer_error(text.error());
        inner_->respond(net::Response::of(200, std::move(*text), kJson));
    }
    void reset(net::ResetCode code) override { inner_->reset(code); }

    std::size_t queued_bytes() const override { return inner_->queued_bytes(); }
    base::Task<void> drained(std::size_t below) override { return inner_->drained(below); }
    bool closed() const override { return inner_->closed(); }
    bool started() const override { return started_ || inner_->started(); }
    void on_close(base::UniqueFunction<void()> f) override { inner_->on_close(std::move(f)); }
    void interrupt(base::Error why) override { inner_->interrupt(std::move(why)); }
    bool draining() const override { return inner_->draining(); }

  private:
    base::Result<std::optional<std::string>> at_end() {
        if (!pending_.empty())
            return base::invalid_argument("the request's JSON object is not complete");
        // No body at all is a message without fields, where one is wanted.
        if (taken_++ == 0 && !method_.client_streaming())
            return std::optional<std::string>(net::grpc_frame({}));
        return std::optional<std::string>();
    }
    // The length of the frame that the bytes begin with; 0: it is not complete.
    static std::size_t first_frame(std::string_view bytes) {
        if (bytes.size() < net::kGrpcPrefix) return 0;
        const auto length =
            static_cast<std::uint32_t>(base::load_be<std::int32_t>(bytes.data() + 1));
        const std::size_t size = net::kGrpcPrefix + length;
        return bytes.size() < size ? 0 : size;
    }
    base::Result<std::string> text_of(std::string_view frame) const {
        return json::from_message(*method_.output_type(), frame.substr(net::kGrpcPrefix));
    }
    static base::Error error_of(const net::Headers& headers) {
        const auto text = headers.get("grpc-status");
        int code = static_cast<int>(base::Code::kUnknown);
        std::from_chars(text.data(), text.data() + text.size(), code);
        if (code < 1 || code > 16) code = static_cast<int>(base::Code::kInternal);
        return {static_cast<base::Code>(code),
                net::grpc_decode_message(headers.get("grpc-message"))};
    }
    void answer_error(const base::Error& error) {
        if (!inner_->started())
            return inner_->respond(net::Response::of(json::http_status(error.code),
                                                     json::error_body(error, false), kJson));
        // What fails here is the connection, which ends the answer anyway.
        if (auto sent = inner_->write(json::error_body(error, true) + "\n"); sent) inner_->finish();
    }

    std::shared_ptr<net::Exchange> inner_;
    const MethodDescriptor& method_;
    std::size_t max_body_;
    std::string target_;
    std::shared_ptr<const net::PeerIdentity> nobody_;
    std::string pending_;   // bytes of the body that are not a whole object yet
    std::string outgoing_;  // bytes of the answer that are not a whole message yet
    std::string answer_;
    int taken_ = 0;
    bool ended_ = false;
    bool started_ = false;
};

void refuse(net::Exchange& exchange, const base::Error& error) {
    exchange.respond(
        net::Response::of(json::http_status(error.code), json::error_body(error, false), kJson));
}

}  // namespace

JsonGateway::JsonGateway(net::GrpcService& service, std::size_t max_body)
    : methods_(service.handlers()), max_body_(max_body) {}

bool JsonGateway::serves(std::string_view path) {
    return json::method_of(path) != nullptr;
}

base::Awaitable<void> JsonGateway::serve(std::shared_ptr<net::Exchange> exchange) {
    const std::string path(exchange->request().path());
    const auto* method = json::method_of(path);
    if (method == nullptr || exchange->method() != "POST")
        co_return refuse(*exchange, base::unimplemented("Method Not Allowed"));
    auto call = std::make_shared<JsonExchange>(exchange, *method, max_body_);
    if (!methods_.wants_whole_body(*call)) {
        co_await methods_.on_exchange(call);
        co_return;
    }
    auto body = co_await exchange->read_body(max_body_);
    if (!body) co_return refuse(*exchange, body.error());
    auto message = json::to_message(*method->input_type(), *body);
    if (!message) co_return refuse(*exchange, message.error());
    methods_.on_request(call, net::grpc_frame(*message));
}

}  // namespace kvstore
