#pragma once
// How the services of a member register their methods: bytes in, a message, the caller found out, a
// message or an error, bytes out. In the services' .cc files only.

#include <memory>
#include <string>
#include <type_traits>

#include "kvstore/node.h"
#include "kvstore/server/gate.h"
#include "net/grpc.h"

namespace kvstore {

// A table of methods behind a gate.
struct GatedService {
    net::GrpcService& service;
    std::shared_ptr<Gate> gate;

    void streaming(std::string path, net::GrpcService::Streaming handler) {
        service.streaming(std::move(path), std::move(handler));
    }
};

// A message behind room for gRPC's prefix, so that it is serialized once, in its place.
template <class T>
std::string framed(const T& message) {
    std::string frame(net::kGrpcPrefix, '\0');
    message.AppendToString(&frame);
    net::grpc_fill_prefix(&frame);
    return frame;
}

template <class T>
void answer(net::GrpcCall& call, const base::Result<T>& result) {
    if (result)
        call.respond_frame(framed(*result));
    else
        call.fail(result.error());
}

inline base::Error unreadable_message() {
    return base::invalid_argument("the request's message cannot be read");
}

// A unary method: `handle(request, done)` or `handle(request, done, caller)`.
template <class Request, class Response, class Handle>
void unary(GatedService& gated, std::string path, Handle handle) {
    auto run = [handle, gate = gated.gate](std::shared_ptr<net::GrpcCall> call,
                                           std::string_view message) {
        Request request;
        if (!request.ParseFromArray(message.data(), static_cast<int>(message.size())))
            return call->fail(unreadable_message());
        auto& asked = *call;
        auto resolved = [handle, gate = gate.get(), call = std::move(call),
                         r = std::move(request)](base::Result<Caller> caller) mutable {
            if (!caller) return call->fail(caller.error());
            if (auto may = gate->may_call(call->path(), *caller); !may)
                return call->fail(may.error());
            auto done = [call = std::move(call)](base::Result<Response> result) {
                answer(*call, result);
            };
            if constexpr (std::is_invocable_v<Handle, Request, Done<Response>, Caller>)
                handle(std::move(r), std::move(done), std::move(*caller));
            else
                handle(std::move(r), std::move(done));
        };
        gate->resolve(asked, std::move(resolved));
    };
    gated.service.unary(std::move(path), std::move(run));
}

template <class Request, class Response>
void unary(GatedService& gated, std::string path, Node& node,
           void (Node::*method)(Request, Done<Response>)) {
    unary<Request, Response>(gated, std::move(path),
                             [&node, method](Request request, Done<Response> done) {
                                 (node.*method)(std::move(request), std::move(done));
                             });
}

template <class Request, class Response>
void unary(GatedService& gated, std::string path, Node& node,
           void (Node::*method)(Request, Done<Response>, Caller)) {
    unary<Request, Response>(gated, std::move(path),
                             [&node, method](Request request, Done<Response> done, Caller caller) {
                                 (node.*method)(std::move(request), std::move(done),
                                                std::move(caller));
                             });
}

// A method of the node as something to await.
template <class Request, class Response>
base::Task<Response> call(Node* node, void (Node::*method)(Request, Done<Response>, Caller),
                          Request request, Caller caller) {
    auto start = [node, method, r = std::move(request),
                  c = std::move(caller)](Done<Response> resolve) mutable {
        (node->*method)(std::move(r), std::move(resolve), std::move(c));
    };
    co_return co_await base::suspend<base::Result<Response>>(std::move(start));
}

// A method with one request and one answer whose work is a coroutine: `serve(stream, request)`
// answers base::Task<Response>. On the wire it is a unary one; the server joins it when it stops.
template <class Request, class Response, class Serve>
base::Awaitable<void> serve_one(std::shared_ptr<net::GrpcStream> stream, Serve serve) {
    auto message = co_await stream->read();
    Request request;
    if (!message) co_return stream->finish(message.error());
    if (!*message || !request.ParseFromString(**message))
        co_return stream->finish(unreadable_message());
    base::Result<Response> response = co_await serve(stream, std::move(request));
    if (!response) co_return stream->finish(response.error());
    if (auto sent = stream->write_frame(net::share(framed(*response))); !sent)
        co_return stream->finish(sent.error());
    stream->finish();
}

}  // namespace kvstore
