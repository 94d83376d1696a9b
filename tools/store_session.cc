#include "tools/store_session.h"

namespace tools {

StoreSession::StoreSession(const Target& target, base::Millis timeout)
    : metadata_(target.metadata()), timeout_(timeout), loop_("session") {
    loop_.start();
    loop_.run_and_wait(
        [&] { channel_ = std::make_unique<net::GrpcChannel>(loop_, target.channel()); });
}

StoreSession::~StoreSession() {
    loop_.run_and_wait([&] { channel_.reset(); });
}

StoreSession::Answer StoreSession::begin(const char* path, std::string message) {
    std::promise<base::Result<std::string>> promise;
    Answer answer = promise.get_future();
    loop_.post([this, path, m = std::move(message), p = std::move(promise)]() mutable {
        channel_->call_async(
            path, m, timeout_, metadata_,
            [q = std::move(p)](base::Result<std::string> r) mutable { q.set_value(std::move(r)); });
    });
    return answer;
}

}  // namespace tools
