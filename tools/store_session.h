#pragma once
// StoreSession: many calls of a store over one connection, from a thread that may wait; the
// connection has a loop and a thread of its own. A token that has ended, or that a change of users
// made one of the past, is replaced by signing in again. Used and destroyed on the thread that made
// it.

#include <future>
#include <string>

#include "base/loop.h"
#include "tools/store_client.h"

namespace tools {

class StoreSession {
  public:
    // `timeout`: of each call.
    StoreSession(const Target& target, base::Millis timeout);
    ~StoreSession();
    StoreSession(const StoreSession&) = delete;
    StoreSession& operator=(const StoreSession&) = delete;

    // A call under way: several may be.
    using Answer = std::future<base::Result<std::string>>;
    Answer begin(const char* path, std::string message);

    template <class Response>
    static base::Result<Response> read(Answer answer) {
        TRY(const std::string bytes, answer.get());
        Response response;
        if (!response.ParseFromString(bytes))
            return base::internal_error("the answer cannot be read");
        return response;
    }
    template <class Response, class Request>
    base::Result<Response> call(const char* path, const Request& request) {
        return read<Response>(begin(path, request.SerializeAsString()));
    }

  private:
    struct Call;

    // On the loop.
    void send(std::shared_ptr<Call> call);
    void sign_in_and_send(std::shared_ptr<Call> call);

    Target target_;
    base::Millis timeout_;
    base::Loop loop_;
    std::unique_ptr<net::GrpcChannel> channel_;  // made, used and destroyed on the loop
};

}  // namespace tools
