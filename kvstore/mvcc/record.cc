#include "kvstore/mvcc/record.h"

#include "base/bytes.h"

namespace kvstore {
namespace {

// mvccpb.KeyValue's field numbers and wire types (0 varint, 2 length-delimited).
constexpr char kKeyTag = 1 << 3 | 2;
constexpr char kCreateTag = 2 << 3;
constexpr char kModTag = 3 << 3;
constexpr char kVersionTag = 4 << 3;
constexpr char kValueTag = 5 << 3 | 2;
constexpr char kLeaseTag = 6 << 3;
// Ours, and in no answer.
constexpr char kApartTag = 15 << 3;

void append_bytes_field(std::string* out, char tag, std::string_view bytes) {
    if (bytes.empty()) return;
    out->push_back(tag);
    base::append_varint(out, bytes.size());
    out->append(bytes);
}

void append_int_field(std::string* out, char tag, std::int64_t v) {
    if (v == 0) return;
    out->push_back(tag);
    base::append_varint(out, static_cast<std::uint64_t>(v));
}

}  // namespace

bool RecordView::is_head(std::string_view bytes) {
    return bytes.empty() || bytes[0] != kKeyTag;  // no key is empty
}

std::optional<RecordView> RecordView::parse(std::string_view bytes) {
    RecordView out;
    while (!bytes.empty()) {
        const char tag = bytes[0];
        bytes.remove_prefix(1);
        std::uint64_t n = 0;
        if (!base::take_varint(&bytes, &n)) return std::nullopt;
        if (tag == kKeyTag || tag == kValueTag) {
            if (n > bytes.size()) return std::nullopt;
            (tag == kKeyTag ? out.key : out.value) = bytes.substr(0, n);
            bytes.remove_prefix(n);
            continue;
        }
        const auto v = static_cast<std::int64_t>(n);
        switch (tag) {
            case kCreateTag:
                out.create_revision = v;
                break;
            case kModTag:
                out.mod_revision = v;
                break;
            case kVersionTag:
                out.version = v;
                break;
            case kLeaseTag:
                out.lease = v;
                break;
            case kApartTag:
                out.apart = v != 0;
                break;
            default:
                return std::nullopt;
        }
    }
    return out;
}

std::string RecordView::encode() const {
    std::string out;
    out.reserve(key.size() + value.size() + 48);
    append_bytes_field(&out, kKeyTag, key);
    append_int_field(&out, kCreateTag, create_revision);
    append_int_field(&out, kModTag, mod_revision);
    append_int_field(&out, kVersionTag, version);
    append_bytes_field(&out, kValueTag, value);
    append_int_field(&out, kLeaseTag, lease);
    return out;
}

std::string RecordView::encode_head() const {
    RecordView head = *this;
    head.key = head.value = {};
    std::string out = head.encode();
    append_int_field(&out, kApartTag, apart ? 1 : 0);
    return out;
}

}  // namespace kvstore
