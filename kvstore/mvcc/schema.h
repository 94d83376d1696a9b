#pragma once
// How the store's data lies in LevelDB. Pure. Spaces of keys, told apart by their first byte:
//
//   v <escaped key> <~revision>  every version of every key, newest first: its record; "": a
//                                deletion. Where the value is large: its head
//   z <revision> <key>           the record of a version whose value is large
//   c <key>                      the head of the newest version of every live key. Whatever needs
//                                no values is read here
//   r <revision> <sub>           what happened, in order: 'p' or 'd' ('P' or 'D': what was replaced
//                                is large), the revision of the version that was replaced (varint;
//                                0: none), the key. Watches replay it, compaction walks it
//   l <lease>, a <lease> <key>   LeaseRecord; "": leases, and the keys attached to each
//   u <name>                     users and roles, see kvstore/auth/auth_state.h
//   m <name>                     applied index, revisions, compaction progress, …
//
// A record is a serialized mvccpb.KeyValue, so that a range answer can carry it as it lies here; a
// head is one without key and value (RecordView::encode_head). A record is written once, and moved
// by nothing but LevelDB, which hardly rewrites what comes in the order of its keys: so large
// values have that of revisions. Documented in docs/storage.md.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kvstore::schema {

inline constexpr char kCurrent = 'c';
inline constexpr char kVersion = 'v';
inline constexpr char kLarge = 'z';
inline constexpr char kRevision = 'r';
inline constexpr char kMeta = 'm';
inline constexpr char kLease = 'l';
inline constexpr char kAttached = 'a';
inline constexpr char kAuth = 'u';

// A value of more bytes is large.
inline constexpr std::size_t kMostInline = 1024;

// i64: kFormat. Earlier versions of the program wrote none, or another.
inline constexpr std::string_view kMetaFormat = "mformat";
inline constexpr std::int64_t kFormat = 4;

inline constexpr std::string_view kMetaApplied = "mapplied";  // u64 index, u64 term (little-endian)
inline constexpr std::string_view kMetaMembership = "mmembership";  // of the group, as applied
inline constexpr std::string_view kMetaRevision = "mrevision";      // i64
inline constexpr std::string_view kMetaCompacted = "mcompacted";  // i64: reads below it are refused
inline constexpr std::string_view kMetaScrubbed =
    "mscrubbed";  // i64: everything below it is physically gone

// i64: how many keys live.
inline constexpr std::string_view kMetaKeys = "mkeys";

// A serialized AlarmResponse: the alarms that are raised.
inline constexpr std::string_view kMetaAlarms = "malarms";

// An AuthRecord; in front of names, an authpb.User and an authpb.Role.
inline constexpr std::string_view kAuthState = "um";
inline constexpr std::string_view kAuthUsers = "uu";
inline constexpr std::string_view kAuthRoles = "ur";

// Values of `m` keys.
std::string encode_number(std::int64_t number);
std::string encode_applied(std::uint64_t index, std::uint64_t term);

std::string current_key(std::string_view key);
// All versions of `key` start with this.
std::string version_prefix(std::string_view key);
std::string version_key(std::string_view key, std::int64_t revision);
std::string large_key(std::string_view key, std::int64_t revision);
std::string revision_key(std::int64_t revision, std::int64_t sub = 0);
std::string lease_key(std::int64_t lease);
std::string attached_prefix(std::int64_t lease);
std::string attached_key(std::int64_t lease, std::string_view key);

// What a value under `r` says.
struct Change {
    bool is_delete = false;
    std::int64_t replaced = 0;  // the mod revision of the version before it; 0: there was none
    std::string_view key;
    bool replaced_apart = false;  // that version's record lies under kLarge
};
std::string encode_change(const Change& change);
// A view into `value`. Nothing when it is not a change.
std::optional<Change> parse_change(std::string_view value);

// Of a version's place: its revision, what all versions of its key start with, and the key.
std::int64_t version_revision(std::string_view place);
std::string_view version_prefix_of(std::string_view place);
std::string version_user_key(std::string_view place);

// Of a large record's place: its revision, and the key (a view into it).
std::int64_t large_revision(std::string_view place);
std::string_view large_user_key(std::string_view place);

struct RevisionKey {
    std::int64_t revision = 0;
    std::int64_t sub = 0;
};
std::optional<RevisionKey> parse_revision_key(std::string_view bytes);
std::optional<std::int64_t> parse_lease_key(std::string_view bytes);
// The user key of an attached key.
std::string_view attached_user_key(std::string_view bytes);

// A key with 0x00 → 0x00 0xFF and 0x00 0x01 at its end: keeps the order of keys, and no key is a
// prefix of another.
void append_escaped(std::string* out, std::string_view key);

// The interval of keys that a request names, as etcd does: [key, end); no end is the one key; "\0"
// is "to the last".
struct KeyInterval {
    std::string begin;
    std::string end;         // meaningless when unbounded or single
    bool unbounded = false;  // to the last key
    bool single = false;     // just `begin`

    static KeyInterval of(std::string_view key, std::string_view range_end);
    bool contains(std::string_view key) const;
    bool empty() const { return !single && !unbounded && end <= begin; }
    bool overlaps(const KeyInterval& other) const;
};

// The end of the interval of all keys that begin with `prefix`.
std::string prefix_end(std::string prefix);

}  // namespace kvstore::schema
