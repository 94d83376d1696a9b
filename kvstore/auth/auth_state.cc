#include "kvstore/auth/auth_state.h"

#include <algorithm>

#include "kvstore/errors.h"
#include "kvstore/mvcc/schema.h"
#include "kvstore/proto/command.pb.h"

namespace kvstore::auth {

namespace pb = etcdserverpb;

namespace {

const std::string kStateKey(schema::kAuthState);
const std::string kUserPrefix(schema::kAuthUsers);
const std::string kRolePrefix(schema::kAuthRoles);

bool is_valid_range(const authpb::Permission& p) {
    if (p.key().empty()) return false;
    return p.range_end().empty() || p.range_end() == std::string_view("\0", 1) ||
           p.key() < p.range_end();
}

bool holds(const authpb::User& user, std::string_view role) {
    return std::find(user.roles().begin(), user.roles().end(), role) != user.roles().end();
}

void drop_role(authpb::User* user, std::string_view role) {
    auto* roles = user->mutable_roles();
    roles->erase(std::remove(roles->begin(), roles->end(), role), roles->end());
}

}  // namespace

void AuthState::clear() {
    *this = AuthState();
}

base::Status AuthState::load(std::string_view key, std::string_view value) {
    const std::string bytes(value);
    const base::Error damaged = base::data_loss("a record of users and roles is damaged");
    if (key == kStateKey) {
        AuthRecord record;
        if (!record.ParseFromString(bytes)) return damaged;
        enabled_ = record.enabled();
        revision_ = record.revision();
        return {};
    }
    if (key.starts_with(kUserPrefix)) {
        authpb::User user;
        if (!user.ParseFromString(bytes)) return damaged;
        users_.insert_or_assign(std::string(key.substr(kUserPrefix.size())), std::move(user));
        return {};
    }
    if (key.starts_with(kRolePrefix)) {
        authpb::Role role;
        if (!role.ParseFromString(bytes)) return damaged;
        roles_.insert_or_assign(std::string(key.substr(kRolePrefix.size())), std::move(role));
    }
    return {};
}

std::vector<AuthState::Change> AuthState::take_changes() {
    return std::exchange(changes_, {});
}

void AuthState::save_state() {
    AuthRecord record;
    record.set_enabled(enabled_);
    record.set_revision(revision_);
    changes_.push_back({kStateKey, record.SerializeAsString()});
}

void AuthState::changed() {
    ++revision_;
    allowed_.clear();
    save_state();
}

void AuthState::save(const authpb::User& user) {
    changes_.push_back({kUserPrefix + user.name(), user.SerializeAsString()});
}

void AuthState::save(const authpb::Role& role) {
    changes_.push_back({kRolePrefix + role.name(), role.SerializeAsString()});
}

const authpb::User* AuthState::user(const std::string& name) const {
    auto it = users_.find(name);
    return it == users_.end() ? nullptr : &it->second;
}

const authpb::Role* AuthState::role(const std::string& name) const {
    auto it = roles_.find(name);
    return it == roles_.end() ? nullptr : &it->second;
}

bool AuthState::has_role(const std::string& name, std::string_view role) const {
    const auto* found = user(name);
    return found != nullptr && holds(*found, role);
}

base::Status AuthState::enable() {
    if (enabled_) return {};
    const auto* root = user(std::string(kRoot));
    if (root == nullptr) return errors::root_user_not_exist();
    if (!holds(*root, kRoot)) return errors::root_role_not_exist();
    enabled_ = true;
    save_state();
    return {};
}

base::Status AuthState::disable() {
    if (!enabled_) return {};
    enabled_ = false;
    changed();
    return {};
}

base::Status AuthState::add_user(const pb::AuthUserAddRequest& request) {
    if (request.name().empty()) return errors::user_empty();
    if (user(request.name()) != nullptr) return errors::user_already_exist();
    authpb::User added;
    added.set_name(request.name());
    if (request.options().no_password())
        added.mutable_options()->set_no_password(true);
    else
        added.set_password(request.hashedpassword());
    save(users_[request.name()] = std::move(added));
    changed();
    return {};
}

base::Status AuthState::delete_user(const std::string& name) {
    if (enabled_ && name == kRoot) return errors::invalid_auth_mgmt();
    if (users_.erase(name) == 0) return errors::user_not_found();
    changes_.push_back({kUserPrefix + name, std::nullopt});
    changed();
    return {};
}

base::Status AuthState::change_password(const std::string& name, const std::string& hashed) {
    auto it = users_.find(name);
    if (it == users_.end()) return errors::user_not_found();
    it->second.set_password(hashed);
    save(it->second);
    changed();
    return {};
}

base::Status AuthState::grant_role(const std::string& name, const std::string& granted) {
    auto it = users_.find(name);
    if (it == users_.end()) return errors::user_not_found();
    // The role root may be granted before there is a record of it.
    if (granted != kRoot && role(granted) == nullptr) return errors::role_not_found();
    authpb::User& subject = it->second;
    if (holds(subject, granted)) return {};
    subject.add_roles(granted);
    std::sort(subject.mutable_roles()->begin(), subject.mutable_roles()->end());
    save(subject);
    changed();
    return {};
}

base::Status AuthState::revoke_role(const std::string& name, const std::string& revoked) {
    if (enabled_ && name == kRoot && revoked == kRoot) return errors::invalid_auth_mgmt();
    auto it = users_.find(name);
    if (it == users_.end()) return errors::user_not_found();
    if (!holds(it->second, revoked)) return errors::role_not_granted();
    drop_role(&it->second, revoked);
    save(it->second);
    changed();
    return {};
}

base::Status AuthState::add_role(const std::string& name) {
    if (name.empty()) return errors::role_empty();
    if (role(name) != nullptr) return errors::role_already_exist();
    authpb::Role added;
    added.set_name(name);
    save(roles_[name] = std::move(added));
    changed();
    return {};
}

base::Status AuthState::delete_role(const std::string& name) {
    if (enabled_ && name == kRoot) return errors::invalid_auth_mgmt();
    if (roles_.erase(name) == 0) return errors::role_not_found();
    changes_.push_back({kRolePrefix + name, std::nullopt});
    for (auto& [_, holder] : users_) {
        if (!holds(holder, name)) continue;
        drop_role(&holder, name);
        save(holder);
    }
    changed();
    return {};
}

base::Status AuthState::grant_permission(const pb::AuthRoleGrantPermissionRequest& request) {
    if (!request.has_perm()) return errors::permission_not_given();
    const authpb::Permission& perm = request.perm();
    if (!is_valid_range(perm) || !authpb::Permission::Type_IsValid(perm.permtype()))
        return errors::invalid_auth_mgmt();
    auto it = roles_.find(request.name());
    if (it == roles_.end()) return errors::role_not_found();
    auto* list = it->second.mutable_keypermission();
    auto same = std::find_if(list->begin(), list->end(), [&](const auto& p) {
        return p.key() == perm.key() && p.range_end() == perm.range_end();
    });
    if (same != list->end()) {
        same->set_permtype(perm.permtype());
    } else {
        *list->Add() = perm;
        std::stable_sort(list->begin(), list->end(), [](const auto& a, const auto& b) {
            return std::tie(a.key(), a.range_end()) < std::tie(b.key(), b.range_end());
        });
    }
    save(it->second);
    changed();
    return {};
}

base::Status AuthState::revoke_permission(const pb::AuthRoleRevokePermissionRequest& request) {
    auto it = roles_.find(request.role());
    if (it == roles_.end()) return errors::role_not_found();
    auto* list = it->second.mutable_keypermission();
    auto gone = std::remove_if(list->begin(), list->end(), [&](const auto& p) {
        return p.key() == request.key() && p.range_end() == request.range_end();
    });
    if (gone == list->end()) return errors::permission_not_granted();
    list->erase(gone, list->end());
    save(it->second);
    changed();
    return {};
}

base::Result<const authpb::User*> AuthState::subject(const Caller& caller) const {
    const authpb::User* nobody = nullptr;
    if (!enabled_ || caller.trusted) return nobody;
    if (caller.auth_revision == 0) return errors::user_empty();
    // What was allowed when the request was taken may not be any more.
    if (caller.auth_revision < revision_) return errors::auth_old_revision();
    const auto* found = user(caller.user);
    if (found == nullptr) return errors::permission_denied();
    return holds(*found, kRoot) ? nobody : found;
}

const AuthState::Allowed& AuthState::allowed(const authpb::User& user) const {
    auto it = allowed_.find(user.name());
    if (it != allowed_.end()) return it->second;
    Allowed& out = allowed_[user.name()];
    for (const auto& name : user.roles()) {
        const auto* granted = role(name);
        if (granted == nullptr) continue;
        for (const auto& p : granted->keypermission()) {
            if (p.permtype() != authpb::Permission::WRITE) out.read.add(p.key(), p.range_end());
            if (p.permtype() != authpb::Permission::READ) out.write.add(p.key(), p.range_end());
        }
    }
    return out;
}

base::Status AuthState::may_read(const Caller& caller, std::string_view key,
                                 std::string_view range_end) const {
    TRY(const authpb::User* who, subject(caller));
    if (who == nullptr || allowed(*who).read.contains(key, range_end)) return {};
    return errors::permission_denied();
}

base::Status AuthState::may_write(const Caller& caller, std::string_view key,
                                  std::string_view range_end) const {
    TRY(const authpb::User* who, subject(caller));
    if (who == nullptr || allowed(*who).write.contains(key, range_end)) return {};
    return errors::permission_denied();
}

base::Status AuthState::may_administrate(const Caller& caller) const {
    if (!enabled_ || caller.trusted) return {};
    if (caller.user.empty()) return errors::user_empty();
    if (caller.auth_revision < revision_) return errors::auth_old_revision();
    return has_role(caller.user, kRoot) ? base::Status() : errors::permission_denied();
}

}  // namespace kvstore::auth
