#pragma once
// Upstream's Protobuf envelope: "k8s\0" and a runtime.Unknown with the type and the message. It is
// the form of application/vnd.kubernetes.protobuf bodies and of what is stored. And the frames of
// watches. Pure; any thread.

#include <google/protobuf/message.h>

#include <string>
#include <string_view>

#include "api/codec/json.h"
#include "base/result.h"

namespace api {

struct Envelope {
    TypeMeta type;
    std::string_view raw;  // the message's bytes; points into what was decoded
    std::string content_type;
    std::string content_encoding;
};

std::string encode_envelope(const TypeMeta& type, const google::protobuf::Message& message);
// The same around bytes of a message.
std::string encode_envelope_raw(const TypeMeta& type, std::string_view raw);
// InvalidArgument when it is none.
base::Result<Envelope> decode_envelope(std::string_view bytes);
bool is_envelope(std::string_view bytes);

// {"type":"ADDED","object":…} and a line feed, around an object's JSON.
std::string json_watch_frame(std::string_view type, std::string_view object_json);
// Length (4 bytes, big-endian) and a WatchEvent, around an object's whole envelope.
std::string protobuf_watch_frame(std::string_view type, std::string_view envelope);

struct ProtobufWatchEvent {
    std::string_view type;
    std::string_view envelope;  // both point into the buffer
};
// Takes one frame off the front of `in`. False, and `in` unchanged, when it is not whole yet.
// InvalidArgument when it is none, or longer than 64 MiB.
base::Result<bool> take_watch_frame(std::string_view* in, ProtobufWatchEvent* out);

}  // namespace api
