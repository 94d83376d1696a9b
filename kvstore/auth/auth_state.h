#pragma once
// AuthState: users, roles and who may do what, as the log's entries left it. Pure and
// deterministic: every member that applies the same entries has the same state and gives the same
// answers. Its owner (Machine) writes what take_changes() gives into the database, in the batch of
// the entry, and loads it again at the start. Store loop only. Behaviour, rules for `root` and
// errors are etcd's.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "kvstore/auth/caller.h"
#include "kvstore/auth/key_ranges.h"
#include "kvstore/proto/auth.pb.h"

namespace etcdserverpb {
class AuthRoleGrantPermissionRequest;
class AuthRoleRevokePermissionRequest;
class AuthUserAddRequest;
}  // namespace etcdserverpb

namespace kvstore::auth {

inline constexpr std::string_view kRoot = "root";  // the user and the role

class AuthState {
  public:
    // A record of the database under schema::kAuth. Nothing as its value: it is removed.
    struct Change {
        std::string key;
        std::optional<std::string> value;
    };

    // Forgets everything; then load() for each record. DataLoss for one that cannot be read.
    void clear();
    base::Status load(std::string_view key, std::string_view value);
    // What the operations since the last call changed.
    std::vector<Change> take_changes();

    bool enabled() const { return enabled_; }
    // Grows with each change; 1 in the beginning.
    std::uint64_t revision() const { return revision_; }

    // Operations; nothing has changed when they answer an error.
    base::Status enable();
    base::Status disable();
    base::Status add_user(const etcdserverpb::AuthUserAddRequest& request);
    base::Status delete_user(const std::string& name);
    base::Status change_password(const std::string& name, const std::string& hashed);
    base::Status grant_role(const std::string& user, const std::string& role);
    base::Status revoke_role(const std::string& user, const std::string& role);
    base::Status add_role(const std::string& name);
    base::Status delete_role(const std::string& name);
    base::Status grant_permission(const etcdserverpb::AuthRoleGrantPermissionRequest& request);
    base::Status revoke_permission(const etcdserverpb::AuthRoleRevokePermissionRequest& request);

    // Nothing when there is none. Valid until the next operation.
    const authpb::User* user(const std::string& name) const;
    const authpb::Role* role(const std::string& name) const;
    const std::map<std::string, authpb::User>& users() const { return users_; }
    const std::map<std::string, authpb::Role>& roles() const { return roles_; }
    bool has_role(const std::string& user, std::string_view role) const;

    // Checks; all answer OK while auth is off or the caller is trusted. For the keys of a request
    // as it came (`range_end` "\0" still means "to the last key"). InvalidArgument without a user
    // or when the caller's revision is old, PermissionDenied otherwise.
    base::Status may_read(const Caller& caller, std::string_view key,
                          std::string_view range_end) const;
    base::Status may_write(const Caller& caller, std::string_view key,
                           std::string_view range_end) const;
    base::Status may_administrate(const Caller& caller) const;

  private:
    struct Allowed {
        KeyRanges read;
        KeyRanges write;
    };

    void changed();
    void save_state();
    void save(const authpb::User& user);
    void save(const authpb::Role& role);
    // The user whose keys are to be looked at; null when everything is allowed.
    base::Result<const authpb::User*> subject(const Caller& caller) const;
    const Allowed& allowed(const authpb::User& user) const;

    bool enabled_ = false;
    std::uint64_t revision_ = 1;
    std::map<std::string, authpb::User> users_;
    std::map<std::string, authpb::Role> roles_;
    std::vector<Change> changes_;
    // Of users who asked since the last change.
    mutable std::map<std::string, Allowed, std::less<>> allowed_;
};

}  // namespace kvstore::auth
