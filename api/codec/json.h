#pragma once
// JSON of Kubernetes objects: messages to text and back, as upstream's Go types are written and
// read. Driven by the descriptors and the options of api/proto/options.proto, from tables that are
// built once per message type. Pure; any thread.

#include <google/protobuf/message.h>

#include <boost/json/value.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace api {

// kind and apiVersion: in JSON and in the Protobuf envelope, never in the message itself.
struct TypeMeta {
    std::string api_version;
    std::string kind;
    bool operator==(const TypeMeta&) const = default;
};

// Unknown and duplicate fields, in upstream's words: `unknown field "spec.foo"`,
// `duplicate field "spec.bar"`. Each once, at most 100.
using JsonProblems = std::vector<std::string>;

// How deep JSON may be nested.
inline constexpr int kMaxJsonDepth = 512;

// Compact JSON, fields in the order of the type, map keys sorted, no line break in it. An empty
// `type` leaves kind and apiVersion out; messages that have none never get them.
std::string to_json(const google::protobuf::Message& message, const TypeMeta& type = {});
void append_json(std::string* out, const google::protobuf::Message& message,
                 const TypeMeta& type = {});
boost::json::value to_value(const google::protobuf::Message& message, const TypeMeta& type = {});

// Reads into `message`, which is cleared first. Field names are case-sensitive, null means unset,
// quantities become canonical. Unknown and duplicate fields are not errors: they are added to
// `problems`, where given. `type` receives kind and apiVersion as found. InvalidArgument with
// upstream's text for anything else:
//     json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32
base::Status from_json(std::string_view text, google::protobuf::Message* message,
                       TypeMeta* type = nullptr, JsonProblems* problems = nullptr);
base::Status from_value(const boost::json::value& value, google::protobuf::Message* message,
                        TypeMeta* type = nullptr, JsonProblems* problems = nullptr);

// `strict decoding error: unknown field "a", duplicate field "b"`.
std::string strict_decoding_error(const JsonProblems& problems);

// The text of a JSON value: numbers in their shortest form.
std::string json_text(const boost::json::value& value);
// Any JSON text, without blanks. InvalidArgument when it is not JSON.
base::Result<std::string> compact_json(std::string_view text);

// Kind and apiVersion of a JSON object without reading the rest of it into a message.
base::Result<TypeMeta> peek_type(std::string_view text);

// Brings a message that was read from Protobuf into the form that JSON gives: what Go writes on the
// wire though it is zero is unset, quantities are canonical. InvalidArgument for a quantity that
// cannot be read.
base::Status canonicalize(google::protobuf::Message* message);

}  // namespace api
