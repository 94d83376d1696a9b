#pragma once
// What an etcd's database holds: its buckets, and how their keys are written. Pure. Source: etcd
// 3.4's and 3.5's server/storage/schema.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kvstore::etcd {

// In the order of names, as they lie in the file.
inline constexpr std::string_view kAuth = "auth";
inline constexpr std::string_view kRoles = "authRoles";  // name: authpb.Role
inline constexpr std::string_view kUsers = "authUsers";  // name: authpb.User
inline constexpr std::string_view kKeys = "key";         // revision: mvccpb.KeyValue
inline constexpr std::string_view kLeases = "lease";     // id, big-endian: EtcdLease
inline constexpr std::string_view kMeta = "meta";

// In kAuth: a byte, 8 bytes big-endian.
inline constexpr std::string_view kAuthEnabled = "authEnabled";
inline constexpr std::string_view kAuthRevision = "authRevision";
// In kMeta: revisions, as in kKeys.
inline constexpr std::string_view kScheduledCompaction = "scheduledCompactRev";
inline constexpr std::string_view kFinishedCompaction = "finishedCompactRev";

// A key of kKeys: revision and sub-revision, big-endian, and a 't' behind that of a deletion.
struct Revision {
    std::int64_t main = 0;
    std::int64_t sub = 0;
    bool is_deletion = false;
};

std::string encode(const Revision& revision);
std::optional<Revision> parse_revision(std::string_view bytes);

}  // namespace kvstore::etcd
