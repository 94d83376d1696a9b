#include "api/codec/envelope.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "base/bytes.h"

namespace api {
namespace {

constexpr std::string_view kMagic{"k8s\0", 4};
constexpr std::size_t kMaxFrame = 64 << 20;

void append_field(std::string* out, int number, std::string_view value) {
    base::append_varint(out, static_cast<std::uint64_t>(number) << 3 | 2);
    base::append_varint(out, value.size());
    out->append(value);
}

std::size_t varint_size(std::uint64_t v) {
    std::size_t n = 1;
    for (; v >= 0x80; v >>= 7)
        ++n;
    return n;
}

std::size_t field_size(std::size_t value) {
    return 1 + varint_size(value) + value;
}

// The envelope's front: everything before the bytes of `raw`.
std::string front_of(const TypeMeta& type, std::size_t raw_size) {
    std::string out;
    out.reserve(kMagic.size() + 32 + type.api_version.size() + type.kind.size() + raw_size);
    out.append(kMagic);
    std::string meta;
    append_field(&meta, 1, type.api_version);
    append_field(&meta, 2, type.kind);
    append_field(&out, 1, meta);
    base::append_varint(&out, 2 << 3 | 2);
    base::append_varint(&out, raw_size);
    return out;
}

// Upstream writes the two last fields though they are empty.
constexpr std::string_view kBack{"\x1a\x00\x22\x00", 4};

struct Field {
    int number = 0;
    std::string_view bytes;  // of a length-delimited one
};

// Takes a field of a message off the front of `in`; false for what is none.
bool take_field(std::string_view* in, Field* out) {
    std::uint64_t tag = 0;
    std::uint64_t v = 0;
    if (!base::take_varint(in, &tag) || tag >> 3 == 0 || tag >> 3 > 0x1FFFFFFF) return false;
    *out = {static_cast<int>(tag >> 3), {}};
    std::size_t skip = 0;
    switch (tag & 7) {
        case 0:
            return base::take_varint(in, &v);
        case 1:
            skip = 8;
            break;
        case 2:
            if (!base::take_varint(in, &v) || v > in->size()) return false;
            skip = static_cast<std::size_t>(v);
            break;
        case 5:
            skip = 4;
            break;
        default:
            return false;
    }
    if (skip > in->size()) return false;
    out->bytes = in->substr(0, skip);
    in->remove_prefix(skip);
    return true;
}

}  // namespace

bool is_envelope(std::string_view bytes) {
    return bytes.starts_with(kMagic);
}

std::string encode_envelope(const TypeMeta& type, const google::protobuf::Message& message) {
    std::string out = front_of(type, message.ByteSizeLong());
    {
        // Map entries in the order of their keys: equal objects are equal bytes.
        google::protobuf::io::StringOutputStream stream(&out);
        google::protobuf::io::CodedOutputStream coded(&stream);
        coded.SetSerializationDeterministic(true);
        message.SerializeWithCachedSizes(&coded);
    }
    out.append(kBack);
    return out;
}

std::string encode_envelope_raw(const TypeMeta& type, std::string_view raw) {
    std::string out = front_of(type, raw.size());
    out.append(raw);
    out.append(kBack);
    return out;
}

base::Result<Envelope> decode_envelope(std::string_view bytes) {
    if (!is_envelope(bytes))
        return base::invalid_argument(
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 "
            "0]");
    bytes.remove_prefix(kMagic.size());
    Envelope out;
    Field field;
    while (!bytes.empty()) {
        if (!take_field(&bytes, &field))
            return base::invalid_argument("unable to decode the protobuf envelope");
        if (field.number == 1) {
            std::string_view meta = field.bytes;
            Field inner;
            while (!meta.empty()) {
                if (!take_field(&meta, &inner))
                    return base::invalid_argument(
                        "unable to decode the type of the protobuf envelope");
                if (inner.number == 1) out.type.api_version = inner.bytes;
                if (inner.number == 2) out.type.kind = inner.bytes;
            }
        }
        if (field.number == 2) out.raw = field.bytes;
        if (field.number == 3) out.content_encoding = field.bytes;
        if (field.number == 4) out.content_type = field.bytes;
    }
    return out;
}

std::string json_watch_frame(std::string_view type, std::string_view object_json) {
    std::string out;
    out.reserve(type.size() + object_json.size() + 24);
    out.append("{\"type\":\"")
        .append(type)
        .append("\",\"object\":")
        .append(object_json)
        .append("}\n");
    return out;
}

std::string protobuf_watch_frame(std::string_view type, std::string_view envelope) {
    const std::size_t raw = field_size(envelope.size());
    const std::size_t size = field_size(type.size()) + field_size(raw);
    std::string out;
    out.reserve(4 + size);
    base::append_be(&out, static_cast<std::uint32_t>(size));
    append_field(&out, 1, type);
    base::append_varint(&out, 2 << 3 | 2);
    base::append_varint(&out, raw);
    append_field(&out, 1, envelope);
    return out;
}

base::Result<bool> take_watch_frame(std::string_view* in, ProtobufWatchEvent* out) {
    if (in->size() < 4) return false;
    const auto size = base::load_be<std::uint32_t>(in->data());
    if (size > kMaxFrame) return base::invalid_argument("a watch frame is too long");
    if (in->size() - 4 < size) return false;
    std::string_view body = in->substr(4, size);
    *out = {};
    Field field;
    while (!body.empty()) {
        if (!take_field(&body, &field))
            return base::invalid_argument("a watch frame cannot be read");
        if (field.number == 1) out->type = field.bytes;
        if (field.number != 2) continue;
        std::string_view extension = field.bytes;
        while (!extension.empty()) {
            if (!take_field(&extension, &field))
                return base::invalid_argument("the object of a watch frame cannot be read");
            if (field.number == 1) out->envelope = field.bytes;
        }
    }
    in->remove_prefix(4 + static_cast<std::size_t>(size));
    return true;
}

}  // namespace api
