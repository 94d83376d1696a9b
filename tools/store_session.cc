#include "tools/store_session.h"

#include "kvstore/errors.h"
#include "kvstore/proto/rpc.pb.h"

namespace tools {

struct StoreSession::Call {
    const char* path;
    std::string message;
    std::promise<base::Result<std::string>> answer;
    bool signed_in_again = false;
};

namespace {

bool is_of_token(const base::Error& error) {
    return error.message == kvstore::errors::invalid_auth_token().message ||
           error.message == kvstore::errors::auth_old_revision().message;
}

}  // namespace

StoreSession::StoreSession(const Target& target, base::Millis timeout)
    : target_(target), timeout_(timeout), loop_("session") {
    loop_.start();
    loop_.run_and_wait(
        [&] { channel_ = std::make_unique<net::GrpcChannel>(loop_, target.channel()); });
}

StoreSession::~StoreSession() {
    loop_.run_and_wait([&] { channel_.reset(); });
}

StoreSession::Answer StoreSession::begin(const char* path, std::string message) {
    auto call = std::make_shared<Call>(path, std::move(message));
    Answer answer = call->answer.get_future();
    loop_.post([this, c = std::move(call)]() mutable { send(std::move(c)); });
    return answer;
}

void StoreSession::send(std::shared_ptr<Call> call) {
    auto done = [this, call](base::Result<std::string> r) {
        // What is refused for its token was not done.
        if (!r && is_of_token(r.error()) && !target_.user.empty() &&
            !std::exchange(call->signed_in_again, true))
            return sign_in_and_send(call);
        call->answer.set_value(std::move(r));
    };
    channel_->call_async(call->path, call->message, timeout_, target_.metadata(), std::move(done));
}

void StoreSession::sign_in_and_send(std::shared_ptr<Call> call) {
    auto done = [this, call](base::Result<std::string> r) {
        etcdserverpb::AuthenticateResponse response;
        if (!r) return call->answer.set_value(std::move(r));
        if (!response.ParseFromString(*r))
            return call->answer.set_value(base::internal_error("the answer cannot be read"));
        target_.token = response.token();
        send(call);
    };
    channel_->call_async(kSignIn, target_.credentials().SerializeAsString(), timeout_, {},
                         std::move(done));
}

}  // namespace tools
