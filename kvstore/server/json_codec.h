#pragma once
// The gateway's words: which path is which method, messages to JSON and back, errors as HTTP. Pure;
// bytes in may be anything.

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace google::protobuf {
class Descriptor;
class MethodDescriptor;
}  // namespace google::protobuf

namespace kvstore::json {

// "/v3/kv/range" → etcdserverpb.KV.Range; null when there is no such path.
const google::protobuf::MethodDescriptor* method_of(std::string_view http_path);

// A JSON object as the serialized message of that type; "" is one without fields. InvalidArgument
// names what is wrong.
base::Result<std::string> to_message(const google::protobuf::Descriptor& type,
                                     std::string_view text);
base::Result<std::string> from_message(const google::protobuf::Descriptor& type,
                                       std::string_view bytes);

// Takes one whole JSON value from the front of `*pending`; nothing when none is complete yet.
// InvalidArgument when what comes can not be an object.
base::Result<std::optional<std::string>> take_object(std::string* pending);

// The HTTP status for a gRPC code, and the body that tells the error; `streamed`: as the last line
// of an answer that has begun.
int http_status(base::Code code);
std::string error_body(const base::Error& error, bool streamed);

}  // namespace kvstore::json
