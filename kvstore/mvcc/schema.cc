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

std::string version_prefix(std::string_view key) {
    std::string out;
    out.reserve(key.size() + 11);
    out.push_back(kVersion);
    append_escaped(&out, key);
    return out;
}

std::string version_key(std::string_view key, std::int64_t revision) {
    std::string out = version_prefix(key);
    base::append_be(&out, ~revision);
    return out;
}

std::string large_key(std::string_view key, std::int64_t revision) {
    std::string out(1, kLarge);
    base::append_be(&out, revision);
    return out.append(key);
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

std::string encode_change(const Change& change) {
    std::string out(
        1, change.replaced_apart ? (change.is_delete ? 'D' : 'P') : (change.is_delete ? 'd' : 'p'));
    base::append_varint(&out, static_cast<std::uint64_t>(change.replaced));
    return out.append(change.key);
}

std::optional<Change> parse_change(std::string_view value) {
    if (value.empty()) return std::nullopt;
    const char what = value[0];
    if (what != 'p' && what != 'd' && what != 'P' && what != 'D') return std::nullopt;
    value.remove_prefix(1);
    std::uint64_t replaced = 0;
    if (!base::take_varint(&value, &replaced)) return std::nullopt;
    return Change{what == 'd' || what == 'D', static_cast<std::int64_t>(replaced), value,
                  what == 'P' || what == 'D'};
}

std::int64_t version_revision(std::string_view place) {
    return ~base::load_be<std::int64_t>(place.data() + place.size() - sizeof(std::int64_t));
}

std::string_view version_prefix_of(std::string_view place) {
    return place.substr(0, place.size() - sizeof(std::int64_t));
}

std::string version_user_key(std::string_view place) {
    std::string_view escaped = version_prefix_of(place);
    escaped.remove_prefix(1);
    escaped.remove_suffix(2);
    std::string out;
    out.reserve(escaped.size());
    for (std::size_t i = 0; i < escaped.size(); ++i) {
        out.push_back(escaped[i]);
        if (escaped[i] == '\0') ++i;  // and the 0xFF behind it
    }
    return out;
}

std::int64_t large_revision(std::string_view place) {
    return base::load_be<std::int64_t>(place.data() + 1);
}

std::string_view large_user_key(std::string_view place) {
    return place.substr(1 + sizeof(std::int64_t));
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

bool KeyInterval::overlaps(const KeyInterval& other) const {
    const auto ends_before = [](const KeyInterval& a, const KeyInterval& b) {
        return !a.unbounded && (a.single ? a.begin < b.begin : a.end <= b.begin);
    };
    return !empty() && !other.empty() && !ends_before(*this, other) && !ends_before(other, *this);
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
