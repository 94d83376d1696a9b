#pragma once
// A unary gRPC method from a function on messages. For the services' files only. Store loop.

#include <memory>
#include <string>
#include <utility>

#include "kvstore/node.h"
#include "net/grpc.h"

namespace kvstore {

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

// A unary method: bytes in, `handle(request, done)`, bytes out.
template <class Request, class Response, class Handle>
void unary(net::GrpcService& service, std::string path, Handle handle) {
    service.unary(
        std::move(path), [handle](std::shared_ptr<net::GrpcCall> call, std::string_view message) {
            Request request;
            if (!request.ParseFromArray(message.data(), static_cast<int>(message.size())))
                return call->fail(base::invalid_argument("the request's message cannot be read"));
            handle(std::move(request), [call = std::move(call)](base::Result<Response> result) {
                answer(*call, result);
            });
        });
}

template <class Request, class Response>
void unary(net::GrpcService& service, std::string path, Node& node,
           void (Node::*method)(Request, Done<Response>)) {
    unary<Request, Response>(service, std::move(path),
                             [&node, method](Request request, Done<Response> done) {
                                 (node.*method)(std::move(request), std::move(done));
                             });
}

}  // namespace kvstore
