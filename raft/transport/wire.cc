#include "raft/transport/wire.h"

#include "base/bytes.h"
#include "base/crc32c.h"

namespace raft {
namespace {

// Protobuf's wire types.
enum : std::uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

void put_tag(std::string* out, std::uint32_t field, std::uint32_t wire) {
    base::append_varint(out, field << 3U | wire);
}
void put_varint(std::string* out, std::uint32_t field, std::uint64_t v) {
    if (v == 0) return;
    put_tag(out, field, kVarint);
    base::append_varint(out, v);
}
void put_fixed(std::string* out, std::uint32_t field, std::uint64_t v) {
    if (v == 0) return;
    put_tag(out, field, kFixed64);
    base::append_le(out, v);
}
std::size_t varint_size(std::uint64_t v) {
    std::size_t n = 1;
    for (; v >= 128; v >>= 7U)
        ++n;
    return n;
}
std::size_t field_size(std::uint64_t v) {
    return v == 0 ? 0 : 1 + varint_size(v);
}
std::size_t bytes_size(std::size_t n) {
    return n == 0 ? 0 : 1 + varint_size(n) + n;
}

void put_bytes(std::string* out, std::uint32_t field, std::string_view v) {
    if (v.empty()) return;
    put_tag(out, field, kBytes);
    base::append_varint(out, v.size());
    out->append(v);
}

struct Field {
    std::uint32_t number = 0;
    std::uint32_t wire = 0;
    std::uint64_t number_value = 0;
    std::string_view bytes;
};

bool take_field(std::string_view* in, Field* out) {
    std::uint64_t tag = 0;
    if (!base::take_varint(in, &tag) || tag >> 3U == 0 || tag > 0xffffffffU) return false;
    out->number = static_cast<std::uint32_t>(tag >> 3U);
    out->wire = tag & 7U;
    out->bytes = {};
    switch (out->wire) {
        case kVarint:
            return base::take_varint(in, &out->number_value);
        case kFixed64:
            if (in->size() < 8) return false;
            out->number_value = base::load_le<std::uint64_t>(in->data());
            in->remove_prefix(8);
            return true;
        case kFixed32:
            if (in->size() < 4) return false;
            in->remove_prefix(4);
            return true;
        case kBytes: {
            std::uint64_t size = 0;
            if (!base::take_varint(in, &size) || size > in->size()) return false;
            out->bytes = in->substr(0, size);
            in->remove_prefix(size);
            return true;
        }
        default:
            return false;
    }
}

bool decode_entry(std::string_view in, Entry* out) {
    while (!in.empty()) {
        Field f;
        if (!take_field(&in, &f)) return false;
        if (f.number < 4 && f.wire != kVarint) return false;
        switch (f.number) {
            case 1:
                out->term = Term(f.number_value);
                break;
            case 2:
                out->index = Index(f.number_value);
                break;
            case 3:
                if (f.number_value > 1) return false;
                out->type = static_cast<EntryType>(f.number_value);
                break;
            case 4:
                if (f.wire != kBytes) return false;
                if (!f.bytes.empty()) out->payload = std::make_shared<const std::string>(f.bytes);
                break;
            default:
                break;  // a newer member's
        }
    }
    return true;
}

bool set_field(const Field& f, Message* m) {
    const bool fixed = f.number == 2 || f.number == 3 || f.number == 9 || f.number == 10;
    const bool bytes = f.number == 14 || f.number == 15;
    if (f.number > 17) return true;  // a newer member's
    if (f.wire != (fixed ? kFixed64 : bytes ? kBytes : kVarint)) return false;
    const std::uint64_t v = f.number_value;
    switch (f.number) {
        case 1:
            if (v == 0 || v > static_cast<std::uint64_t>(kLastMessageType)) return false;
            m->type = static_cast<MessageType>(v);
            break;
        case 2:
            m->from = NodeId(v);
            break;
        case 3:
            m->to = NodeId(v);
            break;
        case 4:
            m->term = Term(v);
            break;
        case 5:
            m->index = Index(v);
            break;
        case 6:
            m->log_term = Term(v);
            break;
        case 7:
            m->commit = Index(v);
            break;
        case 8:
            m->hint = Index(v);
            break;
        case 9:
            m->context = v;
            break;
        case 10:
            m->hint_node = NodeId(v);
            break;
        case 11:
            m->reject = v != 0;
            break;
        case 12:
            m->force = v != 0;
            break;
        case 13:
            if (v > static_cast<std::uint64_t>(kLastReject)) return false;
            m->reason = static_cast<Reject>(v);
            break;
        case 14:
            return decode_entry(f.bytes, &m->entries.emplace_back());
        case 15:
            m->payload = std::make_shared<const std::string>(f.bytes);
            break;
        case 16:
            m->lease = v != 0;
            break;
        case 17:
            if (v > 0xffffffffU) return false;
            m->priority = static_cast<std::uint32_t>(v);
            break;
        default:
            break;
    }
    return true;
}

}  // namespace

void append_message(std::string* out, const Message& m) {
    out->reserve(out->size() + m.cost());
    put_varint(out, 1, static_cast<std::uint64_t>(m.type));
    put_fixed(out, 2, m.from.value());
    put_fixed(out, 3, m.to.value());
    put_varint(out, 4, m.term.value());
    put_varint(out, 5, m.index.value());
    put_varint(out, 6, m.log_term.value());
    put_varint(out, 7, m.commit.value());
    put_varint(out, 8, m.hint.value());
    put_fixed(out, 9, m.context);
    put_fixed(out, 10, m.hint_node.value());
    put_varint(out, 11, m.reject ? 1 : 0);
    put_varint(out, 12, m.force ? 1 : 0);
    put_varint(out, 13, static_cast<std::uint64_t>(m.reason));
    for (const Entry& e : m.entries) {
        const auto type = static_cast<std::uint64_t>(e.type);
        put_tag(out, 14, kBytes);
        base::append_varint(out, field_size(e.term.value()) + field_size(e.index.value()) +
                                     field_size(type) + bytes_size(e.data().size()));
        put_varint(out, 1, e.term.value());
        put_varint(out, 2, e.index.value());
        put_varint(out, 3, type);
        put_bytes(out, 4, e.data());
    }
    if (m.payload) put_bytes(out, 15, *m.payload);
    put_varint(out, 16, m.lease ? 1 : 0);
    put_varint(out, 17, m.priority);
}

std::string encode_message(const Message& message) {
    std::string out;
    append_message(&out, message);
    return out;
}

std::optional<Message> decode_message(std::string_view in) {
    Message m;
    bool typed = false;
    while (!in.empty()) {
        Field f;
        if (!take_field(&in, &f) || !set_field(f, &m)) return std::nullopt;
        typed = typed || f.number == 1;
    }
    if (!typed) return std::nullopt;
    return m;
}

namespace {

void begin_frame(std::string* out, FrameKind kind) {
    out->append(8, '\0');
    out->push_back(static_cast<char>(kind));
}

void end_frame(std::string* out, std::size_t start) {
    const std::string_view checked = std::string_view(*out).substr(start + 8);
    base::store_le(&(*out)[start], static_cast<std::uint32_t>(checked.size() - 1));
    base::store_le(&(*out)[start + 4], base::crc32c(checked));
}

}  // namespace

void append_frame(std::string* out, FrameKind kind, std::string_view body) {
    const std::size_t start = out->size();
    begin_frame(out, kind);
    out->append(body);
    end_frame(out, start);
}

void append_message_frame(std::string* out, const Message& message) {
    const std::size_t start = out->size();
    begin_frame(out, FrameKind::kMessage);
    append_message(out, message);
    end_frame(out, start);
}

base::Result<FrameHeader> parse_frame_header(std::string_view header) {
    FrameHeader out;
    out.length = base::load_le<std::uint32_t>(header.data());
    out.crc = base::load_le<std::uint32_t>(header.data() + 4);
    const auto kind = static_cast<std::uint8_t>(header[8]);
    if (kind == 0 || kind > static_cast<std::uint8_t>(FrameKind::kSnapshotTaken))
        return base::invalid_argument("not a peer's frame");
    out.kind = static_cast<FrameKind>(kind);
    if (out.length > kMaxFrame) return base::invalid_argument("frame too long");
    return out;
}

bool frame_is_intact(const FrameHeader& header, std::string_view body) {
    const char kind = static_cast<char>(header.kind);
    return base::crc32c(body, base::crc32c({&kind, 1})) == header.crc;
}

std::string encode_hello(const Hello& hello) {
    std::string out;
    put_fixed(&out, 1, hello.cluster_id);
    put_fixed(&out, 2, hello.from.value());
    put_fixed(&out, 3, hello.to.value());
    put_fixed(&out, 4, hello.stream);
    return out;
}

std::optional<Hello> decode_hello(std::string_view in) {
    Hello out;
    while (!in.empty()) {
        Field f;
        if (!take_field(&in, &f)) return std::nullopt;
        if (f.number < 5 && f.wire != kFixed64) return std::nullopt;
        switch (f.number) {
            case 1:
                out.cluster_id = f.number_value;
                break;
            case 2:
                out.from = NodeId(f.number_value);
                break;
            case 3:
                out.to = NodeId(f.number_value);
                break;
            case 4:
                out.stream = f.number_value;
                break;
            default:
                break;
        }
    }
    if (out.from == kNobody) return std::nullopt;
    return out;
}

}  // namespace raft
