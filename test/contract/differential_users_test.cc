// Random users, roles and permissions, and what each user may: no difference to etcd.

#include <map>

#include "test/contract/differential.h"

namespace contract {
namespace {

class DifferencesOfUsers : public RandomRequests {
  protected:
    // What root does, without a check while auth is off.
    void change_users() {
        switch (dice_.below(14)) {
            case 0:
            case 1:
                add_user(user());
                break;
            case 2: {
                pb::AuthUserDeleteRequest request;
                request.set_name(user());
                same<pb::AuthUserDeleteResponse>("Auth/UserDelete", request);
                break;
            }
            case 3:
            case 4: {
                pb::AuthRoleAddRequest request;
                request.set_name(role());
                same<pb::AuthRoleAddResponse>("Auth/RoleAdd", request);
                break;
            }
            case 5: {
                if (!seldom()) break;
                pb::AuthRoleDeleteRequest request;
                request.set_role(role());
                same<pb::AuthRoleDeleteResponse>("Auth/RoleDelete", request);
                break;
            }
            case 6:
            case 7:
                grant_role(user(), role());
                break;
            case 8: {
                pb::AuthUserRevokeRoleRequest request;
                request.set_name(user());
                request.set_role(role());
                same<pb::AuthUserRevokeRoleResponse>("Auth/UserRevokeRole", request);
                break;
            }
            case 9: {
                pb::AuthRoleRevokePermissionRequest request;
                request.set_role(role());
                const auto permission = make_permission();
                request.set_key(permission.key());
                request.set_range_end(permission.range_end());
                same<pb::AuthRoleRevokePermissionResponse>("Auth/RoleRevokePermission", request);
                break;
            }
            default: {
                pb::AuthRoleGrantPermissionRequest request;
                request.set_name(role());
                *request.mutable_perm() = make_permission();
                same<pb::AuthRoleGrantPermissionResponse>("Auth/RoleGrantPermission", request);
                break;
            }
        }
    }

    void look_at_users() {
        same<pb::AuthUserListResponse>("Auth/UserList", pb::AuthUserListRequest());
        same<pb::AuthRoleListResponse>("Auth/RoleList", pb::AuthRoleListRequest());
        pb::AuthUserGetRequest one;
        one.set_name(user());
        same<pb::AuthUserGetResponse>("Auth/UserGet", one);
        pb::AuthRoleGetRequest a_role;
        a_role.set_role(role());
        same<pb::AuthRoleGetResponse>("Auth/RoleGet", a_role);
    }

    void add_user(const std::string& name) {
        pb::AuthUserAddRequest request;
        request.set_name(name);
        request.set_password("password of " + name);
        same<pb::AuthUserAddResponse>("Auth/UserAdd", request);
    }

    void grant_role(const std::string& user, const std::string& role) {
        pb::AuthUserGrantRoleRequest request;
        request.set_user(user);
        request.set_role(role);
        same<pb::AuthUserGrantRoleResponse>("Auth/UserGrantRole", request);
    }

    authpb::Permission make_permission() {
        authpb::Permission out;
        pb::DeleteRangeRequest interval;
        real_range(&interval);
        out.set_key(interval.key());
        // With two ends for a key etcd does not find what it is to replace.
        out.set_range_end(ends_.try_emplace(interval.key(), interval.range_end()).first->second);
        out.set_permtype(static_cast<authpb::Permission::Type>(dice_.below(3)));
        return out;
    }

    std::map<std::string, std::string> ends_;  // of permissions, by their keys

    std::string user() { return prefix_ + one_of<std::string>({"ann", "bob", "cid"}); }
    std::string role() { return prefix_ + one_of<std::string>({"one", "two"}); }

    // Requests from now on are this user's, on both servers. False: neither lets them in.
    bool sign_in(const std::string& name, const std::string& password) {
        pb::AuthenticateRequest request;
        request.set_name(name);
        request.set_password(password);
        std::string errors[2];
        for (int i = 0; i < 2; ++i) {
            use(servers_[i]);
            const auto answer = call<pb::AuthenticateResponse>("Auth/Authenticate", request);
            tokens_[i] = answer ? answer->token() : "";
            errors[i] = error_of(answer);
        }
        EXPECT_EQ(errors[0], errors[1]) << "seed " << seed_ << ", Authenticate " << name;
        return errors[0] == "OK";
    }
    void sign_out() { tokens_[0] = tokens_[1] = ""; }

    void ask_as_a_user() {
        switch (dice_.below(5)) {
            case 0:
                same<pb::PutResponse>("KV/Put", make_put());
                break;
            case 1:
                same<pb::DeleteRangeResponse>("KV/DeleteRange", make_delete());
                break;
            case 2: {
                // etcd does not look into transactions within one, nor at what a put within one
                // shows of the value before it, or takes from a lease; and it asks nobody who
                // sends an empty one.
                auto request = make_txn(0);
                if (request.ByteSizeLong() == 0) break;
                for (auto* branch : {request.mutable_success(), request.mutable_failure()})
                    for (auto& op : *branch)
                        if (op.has_request_put()) {
                            op.mutable_request_put()->clear_prev_kv();
                            op.mutable_request_put()->clear_lease();
                        }
                same<pb::TxnResponse>("KV/Txn", request);
                break;
            }
            case 3:
                change_a_lease();
                break;
            default:
                same<pb::RangeResponse>("KV/Range", make_range());
                break;
        }
    }
};

TEST_F(DifferencesOfUsers, None) {
    for_each_seed([&](std::uint64_t seed) {
        start(seed);
        users_are_checked_ = true;
        for (int i = 0; i < 40 && !HasFailure(); ++i)
            change_users();
        look_at_users();
        for (int i = 0; i < 20 && !HasFailure(); ++i)
            change();
        same<pb::AuthEnableResponse>("Auth/AuthEnable", pb::AuthEnableRequest());
        add_user("root");
        same<pb::AuthEnableResponse>("Auth/AuthEnable", pb::AuthEnableRequest());
        grant_role("root", "root");
        same<pb::AuthEnableResponse>("Auth/AuthEnable", pb::AuthEnableRequest());
        for (int i = 0; i < 3 && !HasFailure(); ++i)
            ask_as_a_user();
        for (const char* name : {"ann", "bob", "cid"}) {
            const bool knows = !seldom();
            if (!sign_in(prefix_ + name, knows ? "password of " + prefix_ + name : "guessed"))
                continue;
            for (int i = 0; i < 30 && !HasFailure(); ++i)
                ask_as_a_user();
            look_at_users();
            change_users();
        }
        EXPECT_TRUE(sign_in("root", "password of root"));
        for (int i = 0; i < 5 && !HasFailure(); ++i)
            change_users();
        look_at_users();
        same<pb::AuthDisableResponse>("Auth/AuthDisable", pb::AuthDisableRequest());
        sign_out();
        pb::AuthUserDeleteRequest request;
        request.set_name("root");
        same<pb::AuthUserDeleteResponse>("Auth/UserDelete", request);
    });
}

}  // namespace
}  // namespace contract
