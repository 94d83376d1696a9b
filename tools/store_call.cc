// One blocking call of the store: for coxctl, and for a member that joins.

#include "kvstore/proto/rpc.pb.h"
#include "tools/blocking.h"
#include "tools/store_client.h"

namespace tools {

namespace {

base::Task<std::string> call_task(base::Loop* loop, Target target, std::string path,
                                  std::string message, base::Millis timeout) {
    net::GrpcChannel channel(*loop, target.channel());
    co_return co_await channel.call(std::move(path), std::move(message), timeout,
                                    target.metadata());
}

}  // namespace

net::GrpcChannelOptions Target::channel() const {
    net::GrpcChannelOptions options;
    options.endpoints = endpoints;
    options.tls = tls;
    return options;
}

net::Headers Target::metadata() const {
    net::Headers out;
    if (!token.empty()) out.add("token", token);
    return out;
}

etcdserverpb::AuthenticateRequest Target::credentials() const {
    etcdserverpb::AuthenticateRequest out;
    out.set_name(user);
    out.set_password(password);
    return out;
}

base::Result<std::string> call_bytes(const Target& target, const char* path, std::string message,
                                     base::Millis timeout) {
    return run_blocking<std::string>([&](base::Loop& loop) {
        return call_task(&loop, target, path, std::move(message), timeout);
    });
}

}  // namespace tools
