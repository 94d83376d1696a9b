#pragma once
// How the store's data lies in LevelDB. Pure. Spaces of keys, told apart by their first byte:
//
//   c <key>                      the record: the current version of every live key
//   r <revision> <sub>           what happened, in order: 'p' or 'd', the key behind its length,
//   and
//                                the record that was replaced, if any. Watches replay it,
//                                compaction walks it. ('P' or 'D' and the key: databases from
//                                before records were moved here)
//   h <escaped key> <~revision>  versions that were replaced, newest first: the place under `r`
//                                where the record is; "": a deletion. (Or the record itself)
//   l <lease>, a <lease> <key>   LeaseRecord; "": leases, and the keys attached to each
//   u <name>                     users and roles, see kvstore/auth/auth_state.h
//   m <name>                     applied index, revisions, compaction progress, …
//
// A record is a serialized mvccpb.KeyValue, so that a range answer can carry it as it lies here. It
// is written once when it is put, and once more when it is replaced, under the revision that
// replaces it: what is written there comes in order, so that LevelDB moves its tables from level to
// level instead of merging them. Documented in docs/storage.md.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kvstore::schema {

inline constexpr char kCurrent = 'c';
inline constexpr char kHistory = 'h';
inline constexpr char kRevision = 'r';
inline constexpr char kMeta = 'm';
inline constexpr char kLease = 'l';
inline constexpr char kAttached = 'a';
inline constexpr char kAuth = 'u';

inline constexpr std::string_view kMetaApplied = "mapplied";  // u64 index, u64 term (little-endian)
inline constexpr std::string_view kMetaMembership = "mmembership";  // of the group, as applied
inline constexpr std::string_view kMetaRevision = "mrevision";      // i64
inline constexpr std::string_view kMetaCompacted = "mcompacted";  // i64: reads below it are refused
inline constexpr std::string_view kMetaScrubbed =
    "mscrubbed";  // i64: everything below it is physically gone

// i64: how many keys live. Absent in databases from before it was kept: counted once then.
inline constexpr std::string_view kMetaKeys = "mkeys";

// A serialized AlarmResponse: the alarms that are raised.
inline constexpr std::string_view kMetaAlarms = "malarms";

// Values of `m` keys.
std::string encode_number(std::int64_t number);
std::string encode_applied(std::uint64_t index, std::uint64_t term);

std::string current_key(std::string_view key);
// All versions of `key` in history start with this.
std::string history_prefix(std::string_view key);
std::string history_key(std::string_view key, std::int64_t revision);
std::string revision_key(std::int64_t revision, std::int64_t sub = 0);
std::string lease_key(std::int64_t lease);
std::string attached_prefix(std::int64_t lease);
std::string attached_key(std::int64_t lease, std::string_view key);

// What a value under `r` says.
struct Change {
    bool is_delete = false;
    std::string_view key;
    std::string_view replaced;  // a record; empty: there was none, or it is elsewhere
};
// All of it but `replaced`, which follows.
std::string encode_change(bool is_delete, std::string_view key);
// Views into `value`. Nothing when it is not a change.
std::optional<Change> parse_change(std::string_view value);

struct HistoryKey {
    std::string key;
    std::int64_t revision = 0;
};
// Nothing when the bytes are not a history key.
std::optional<HistoryKey> parse_history_key(std::string_view bytes);

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
};

// The end of the interval of all keys that begin with `prefix`.
std::string prefix_end(std::string prefix);

}  // namespace kvstore::schema
