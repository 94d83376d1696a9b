#pragma once
// What the store's commands share: where the store is, one blocking call of it, and how answers are
// printed. Main thread; the flags are the process's.

#include <CLI/CLI.hpp>
#include <boost/json/object.hpp>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "net/client.h"
#include "tools/config.h"

namespace etcdserverpb {
class AuthenticateRequest;
}

namespace tools {

inline constexpr const char* kSignIn = "/etcdserverpb.Auth/Authenticate";

struct Target {
    std::vector<net::Endpoint> endpoints;
    std::optional<net::ClientTls> tls;
    // The user who asks; "": none.
    std::string user;
    std::string password;
    std::string token;

    net::GrpcChannelOptions channel() const;
    // What every call carries.
    net::Headers metadata() const;
    // What kSignIn answers with a token.
    etcdserverpb::AuthenticateRequest credentials() const;
    Target only(net::Endpoint endpoint) const {
        Target one = *this;
        one.endpoints = {std::move(endpoint)};
        return one;
    }
};

// Of the command line: --cluster or --endpoints, and --user, who is signed in at the first call.
// InvalidArgument when neither of the first two was given.
base::Result<Target> target();
// The same of other flags. `user`: "name:password", or a name whose password is asked for at the
// terminal.
base::Result<Target> make_target(const std::vector<std::string>& endpoints, const TlsFiles& tls,
                                 const std::string& user);
bool as_json();
base::Millis call_timeout();

// One unary call: a serialized message for another. The next endpoint is tried when one fails.
base::Result<std::string> call_bytes(const Target& target, const char* path, std::string message,
                                     base::Millis timeout);

template <class Response, class Request>
base::Result<Response> call_at(const Target& target, const char* path, const Request& request) {
    TRY(const std::string bytes,
        call_bytes(target, path, request.SerializeAsString(), call_timeout()));
    Response response;
    if (!response.ParseFromString(bytes)) return base::internal_error("the answer cannot be read");
    return response;
}

template <class Response, class Request>
base::Result<Response> call(const char* path, const Request& request) {
    TRY(const Target t, target());
    return call_at<Response>(t, path, request);
}

void print_json(const boost::json::value& value);
// Leases go by their id in hexadecimal, as etcdctl shows them.
base::Result<std::int64_t> lease_id(const std::string& text);

// A command with the flags that all have; `run` is called while the line is parsed.
CLI::App* store_command(CLI::App& parent, int* exit_code, const char* name, const char* help,
                        std::function<base::Status()> run);
// The same for one that asks no store: its only flag is --output.
CLI::App* file_command(CLI::App& parent, int* exit_code, const char* name, const char* help,
                       std::function<base::Status()> run);

}  // namespace tools
