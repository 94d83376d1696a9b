#include "kvstore/mvcc/schema.h"

#include "base/bytes.h"

namespace kvstore::schema {
namespace {

std::string prefixed(char space, std::string_view rest) {
    std::string out;
    out.reserve(rest.size() + 1);
    out.push_back(space);
    out.append(rest);
    return out;
}

}  // namespace

void append_escaped(std::string* out, std::string_view key) {
    for (char c : key) {
        out->push_back(c);
        if (c == '\0') out->push_back('\xFF');
    }
    out->push_back('\0');
    out->push_back('\x01');
}

std::string encode_number(std::int64_t number) {
    std::string out;
    base::append_le(&out, number);
    return out;
}

std::string encode_applied(std::uint64_t index, std::uint64_t term) {
    std::string out;
    base::append_le(&out, index);
    base::append_le(&out, term);
    return out;
}

std::string current_key(std::string_view key) {
    return prefixed(kCurrent, key);
}

std::string history_prefix(std::string_view key) {
    std::string out;
    out.reserve(key.size() + 11);
    out.push_back(kHistory);
    append_escaped(&out, key);
    return out;
}

std::string history_key(std::string_view key, std::int64_t revision) {
    std::string out = history_prefix(key);
    base::append_be(&out, ~revision);
    return out;
}

std::string revision_key(std::int64_t revision, std::int64_t sub) {
    std::string out(1, kRevision);
    base::append_be(&out, revision);
    base::append_be(&out, sub);
    return out;
}

std::string lease_key(std::int64_t lease) {
    std::string out(1, kLease);
    base::append_be(&out, lease);
    return out;
}

std::string attached_prefix(std::int64_t lease) {
    std::string out(1, kAttached);
    base::append_be(&out, lease);
    return out;
}

std::string attached_key(std::int64_t lease, std::string_view key) {
    std::string out = attached_prefix(lease);
    out.append(key);
    return out;
}

std::string encode_change(bool is_delete, std::string_view key) {
    std::string out(1, is_delete ? 'd' : 'p');
    base::append_varint(&out, key.size());
    return out.append(key);
}

std::optional<Change> parse_change(std::string_view value) {
    if (value.empty()) return std::nullopt;
    const char what = value[0];
    value.remove_prefix(1);
    if (what == 'P' || what == 'D') return Change{what == 'D', value, {}};
    std::uint64_t size = 0;
    if ((what != 'p' && what != 'd') || !base::take_varint(&value, &size) || size > value.size())
        return std::nullopt;
    return Change{what == 'd', value.substr(0, size), value.substr(size)};
}

std::optional<HistoryKey> parse_history_key(std::string_view bytes) {
    if (bytes.size() < 11 || bytes[0] != kHistory) return std::nullopt;
    HistoryKey out;
    std::size_t i = 1;
    for (;; ++i) {
        if (i + 1 >= bytes.size()) return std::nullopt;
        if (bytes[i] != '\0') {
            out.key.push_back(bytes[i]);
        } else if (bytes[i + 1] == '\xFF') {
            out.key.push_back('\0');
            ++i;
        } else {
            break;
        }
    }
    if (bytes.size() != i + 2 + sizeof(std::int64_t)) return std::nullopt;
    out.revision = ~base::load_be<std::int64_t>(bytes.data() + i + 2);
    return out;
}

std::optional<RevisionKey> parse_revision_key(std::string_view bytes) {
    if (bytes.size() != 17 || bytes[0] != kRevision) return std::nullopt;
    return RevisionKey{base::load_be<std::int64_t>(bytes.data() + 1),
                       base::load_be<std::int64_t>(bytes.data() + 9)};
}

std::optional<std::int64_t> parse_lease_key(std::string_view bytes) {
    if (bytes.size() != 9 || bytes[0] != kLease) return std::nullopt;
    return base::load_be<std::int64_t>(bytes.data() + 1);
}

std::string_view attached_user_key(std::string_view bytes) {
    return bytes.substr(9);
}

KeyInterval KeyInterval::of(std::string_view key, std::string_view range_end) {
    KeyInterval out;
    // An empty key means the first possible one.
    out.begin = key.empty() && !range_end.empty() ? std::string(1, '\0') : std::string(key);
    if (range_end.empty()) {
        out.single = true;
    } else if (range_end == std::string_view("\0", 1)) {
        out.unbounded = true;
    } else {
        out.end = range_end;
    }
    return out;
}

bool KeyInterval::contains(std::string_view key) const {
    if (single) return key == begin;
    return key >= begin && (unbounded || key < end);
}

std::string prefix_end(std::string prefix) {
    while (!prefix.empty()) {
        if (static_cast<unsigned char>(prefix.back()) != 0xFF) {
            ++prefix.back();
            return prefix;
        }
        prefix.pop_back();
    }
    return std::string(1, '\0');
}

}  // namespace kvstore::schema
