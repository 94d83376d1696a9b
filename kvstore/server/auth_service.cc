// etcdserverpb.Auth: users, roles and tokens.

#include <chrono>

#include "kvstore/errors.h"
#include "kvstore/server/etcd_service.h"
#include "kvstore/server/grpc_methods.h"
#include "kvstore/server/jwt.h"
#include "kvstore/server/password.h"

namespace kvstore {

namespace pb = etcdserverpb;

namespace {

const auth::AuthState& state(Gate& gate) {
    return gate.node().machine().auth();
}

// Every change has the same answer: a header, in a message of its own name.
template <class Response>
void change(Gate& gate, Command command, Done<Response> done, Caller caller) {
    gate.node().auth_change(
        std::move(command),
        [d = std::move(done)](base::Result<pb::AuthEnableResponse> r) mutable {
            if (!r) return d(r.error());
            Response out;
            *out.mutable_header() = std::move(*r->mutable_header());
            d(std::move(out));
        },
        std::move(caller));
}

// A method that is one entry of the log, the request as it came in the command's field.
template <class Request, class Response>
void add_change(GatedService& service, const std::string& name, Request* (Command::*field)()) {
    auto gate = service.gate.get();
    unary<Request, Response>(service, "/etcdserverpb.Auth/" + name,
                             [gate, field](Request r, Done<Response> done, Caller caller) {
                                 Command command;
                                 *(command.*field)() = std::move(r);
                                 change<Response>(*gate, std::move(command), std::move(done),
                                                  std::move(caller));
                             });
}

// A method that reads: `read(state, request, response)` may refuse.
template <class Request, class Response, class Read>
void add_read(GatedService& service, const std::string& name, Read read) {
    auto gate = service.gate.get();
    unary<Request, Response>(
        service, "/etcdserverpb.Auth/" + name,
        [gate, read](Request r, Done<Response> done, Caller caller) {
            gate->node().auth_read([gate, read, r = std::move(r), d = std::move(done),
                                    c = std::move(caller)](base::Status ready) mutable {
                if (!ready) return d(ready.error());
                Response out;
                if (auto status = read(state(*gate), c, r, &out); !status) return d(status.error());
                gate->node().fill_header(out.mutable_header());
                d(std::move(out));
            });
        });
}

// Hashes the request's password on the gate's thread, then puts the request through the log. Unlike
// etcd, who may change users may also name the hash instead: `coxctl import` has no more.
template <class Request, class Response>
void change_with_password(Gate& gate, Request request, bool has_password,
                          Request* (Command::*field)(), Done<Response> done, Caller caller) {
    if (auto may = state(gate).may_administrate(caller); !may) return done(may.error());
    const bool is_hashed =
        has_password && request.password().empty() && !request.hashedpassword().empty();
    if (is_hashed && !is_password_record(request.hashedpassword()))
        return done(base::invalid_argument("etcdserver: hashedPassword is no record of bcrypt"));
    if (!can_be_password(request.password()))
        return done(base::invalid_argument("etcdserver: a password cannot hold a zero byte"));
    auto password =
        std::make_shared<std::string>(is_hashed ? request.hashedpassword() : request.password());
    request.clear_hashedpassword();
    request.clear_password();
    auto waiter = std::make_shared<Done<Response>>(std::move(done));
    auto propose = [&gate, field, password, waiter, r = std::move(request),
                    c = std::move(caller)]() mutable {
        Command command;
        r.set_hashedpassword(*password);
        *(command.*field)() = std::move(r);
        change<Response>(gate, std::move(command), std::move(*waiter), std::move(c));
    };
    if (!has_password || is_hashed) return propose();
    if (auto s = gate.in_background([password] { *password = hash_password(*password); },
                                    std::move(propose));
        !s)
        (*waiter)(s.error());
}

// ---- Authenticate

struct Attempt {
    Gate* gate = nullptr;
    pb::AuthenticateRequest request;
    Done<pb::AuthenticateResponse> done;
    int tries = 3;
    // Of what the password is checked against.
    std::uint64_t revision = 0;
    std::string record;
    bool exists = false;
    // Found out on the other thread.
    bool matches = false;
    base::Result<std::string> token{std::string()};
};
using AttemptPtr = std::shared_ptr<Attempt>;

void start(AttemptPtr a);

void finish(Attempt& a, std::string token) {
    pb::AuthenticateResponse out;
    a.gate->node().fill_header(out.mutable_header());
    out.set_token(std::move(token));
    a.done(std::move(out));
}

// Users or roles were changed while the password was checked: it is checked again.
void once_more(AttemptPtr a) {
    if (--a->tries <= 0) return a->done(errors::auth_old_revision());
    start(std::move(a));
}

void checked(AttemptPtr a) {
    if (!a->matches) return a->done(errors::auth_failed());
    if (a->gate->jwt()) {
        if (!a->token) return a->done(a->token.error());
        if (a->revision != state(*a->gate).revision()) return once_more(std::move(a));
        return finish(*a, std::move(*a->token));
    }
    auto made = [a](base::Result<std::string> token) {
        if (!token && token.error().message == errors::auth_old_revision().message)
            return once_more(a);
        if (!token) return a->done(token.error());
        finish(*a, std::move(*token));
    };
    a->gate->make_simple_token(a->request.name(), a->revision, std::move(made));
}

void check(AttemptPtr a) {
    const auto& auth = state(*a->gate);
    if (!auth.enabled()) return a->done(errors::auth_not_enabled());
    const auto* user = auth.user(a->request.name());
    a->exists = user != nullptr && !user->options().no_password();
    // A user that does not exist takes as long to refuse as a wrong password.
    a->record = a->exists ? user->password() : impossible_password();
    a->revision = auth.revision();
    const std::int64_t now = std::chrono::duration_cast<std::chrono::seconds>(
                                 std::chrono::system_clock::now().time_since_epoch())
                                 .count();
    auto work = [a, now, jwt = a->gate->jwt()] {
        a->matches = password_matches(a->request.password(), a->record) && a->exists;
        if (a->matches && jwt) a->token = jwt->sign(a->request.name(), a->revision, now);
    };
    if (auto s = a->gate->in_background(std::move(work), [a] { checked(a); }); !s)
        a->done(s.error());
}

void start(AttemptPtr a) {
    a->gate->node().auth_read([a](base::Status ready) {
        if (!ready) return a->done(ready.error());
        check(a);
    });
}

void add_reads(GatedService& service) {
    add_read<pb::AuthStatusRequest, pb::AuthStatusResponse>(
        service, "AuthStatus",
        [](const auth::AuthState& auth, const Caller& caller, const auto&,
           auto* out) -> base::Status {
            TRY_VOID(auth.may_administrate(caller));
            out->set_enabled(auth.enabled());
            out->set_authrevision(auth.revision());
            return {};
        });
    add_read<pb::AuthUserListRequest, pb::AuthUserListResponse>(
        service, "UserList",
        [](const auth::AuthState& auth, const Caller& caller, const auto&,
           auto* out) -> base::Status {
            TRY_VOID(auth.may_administrate(caller));
            for (const auto& [name, _] : auth.users())
                out->add_users(name);
            return {};
        });
    add_read<pb::AuthRoleListRequest, pb::AuthRoleListResponse>(
        service, "RoleList",
        [](const auth::AuthState& auth, const Caller& caller, const auto&,
           auto* out) -> base::Status {
            TRY_VOID(auth.may_administrate(caller));
            for (const auto& [name, _] : auth.roles())
                out->add_roles(name);
            return {};
        });
    // Everybody may look at themselves and at the roles that they have.
    add_read<pb::AuthUserGetRequest, pb::AuthUserGetResponse>(
        service, "UserGet",
        [](const auth::AuthState& auth, const Caller& caller, const auto& request,
           auto* out) -> base::Status {
            if (auto admin = auth.may_administrate(caller);
                !admin && (caller.user.empty() || caller.user != request.name()))
                return admin;
            const auto* user = auth.user(request.name());
            if (user == nullptr) return errors::user_not_found();
            *out->mutable_roles() = user->roles();
            return {};
        });
    add_read<pb::AuthRoleGetRequest, pb::AuthRoleGetResponse>(
        service, "RoleGet",
        [](const auth::AuthState& auth, const Caller& caller, const auto& request,
           auto* out) -> base::Status {
            if (auto admin = auth.may_administrate(caller);
                !admin && !auth.has_role(caller.user, request.role()))
                return admin;
            const auto* role = auth.role(request.role());
            if (role == nullptr) return errors::role_not_found();
            *out->mutable_perm() = role->keypermission();
            if (request.role() == auth::kRoot) {
                auto* all = out->add_perm();
                all->set_permtype(authpb::Permission::READWRITE);
                all->set_range_end(std::string(1, '\0'));
            }
            return {};
        });
}

}  // namespace

void add_auth_service(GatedService& service) {
    add_change<pb::AuthEnableRequest, pb::AuthEnableResponse>(service, "AuthEnable",
                                                              &Command::mutable_auth_enable);
    add_change<pb::AuthDisableRequest, pb::AuthDisableResponse>(service, "AuthDisable",
                                                                &Command::mutable_auth_disable);
    add_change<pb::AuthUserDeleteRequest, pb::AuthUserDeleteResponse>(
        service, "UserDelete", &Command::mutable_auth_user_delete);
    add_change<pb::AuthUserGrantRoleRequest, pb::AuthUserGrantRoleResponse>(
        service, "UserGrantRole", &Command::mutable_auth_user_grant_role);
    add_change<pb::AuthUserRevokeRoleRequest, pb::AuthUserRevokeRoleResponse>(
        service, "UserRevokeRole", &Command::mutable_auth_user_revoke_role);
    add_change<pb::AuthRoleAddRequest, pb::AuthRoleAddResponse>(service, "RoleAdd",
                                                                &Command::mutable_auth_role_add);
    add_change<pb::AuthRoleDeleteRequest, pb::AuthRoleDeleteResponse>(
        service, "RoleDelete", &Command::mutable_auth_role_delete);
    add_change<pb::AuthRoleGrantPermissionRequest, pb::AuthRoleGrantPermissionResponse>(
        service, "RoleGrantPermission", &Command::mutable_auth_role_grant_permission);
    add_change<pb::AuthRoleRevokePermissionRequest, pb::AuthRoleRevokePermissionResponse>(
        service, "RoleRevokePermission", &Command::mutable_auth_role_revoke_permission);
    add_reads(service);

    Gate* gate = service.gate.get();
    unary<pb::AuthUserAddRequest, pb::AuthUserAddResponse>(
        service, "/etcdserverpb.Auth/UserAdd",
        [gate](pb::AuthUserAddRequest r, Done<pb::AuthUserAddResponse> done, Caller caller) {
            const bool has_password = !r.options().no_password();
            change_with_password(*gate, std::move(r), has_password, &Command::mutable_auth_user_add,
                                 std::move(done), std::move(caller));
        });
    unary<pb::AuthUserChangePasswordRequest, pb::AuthUserChangePasswordResponse>(
        service, "/etcdserverpb.Auth/UserChangePassword",
        [gate](pb::AuthUserChangePasswordRequest r, Done<pb::AuthUserChangePasswordResponse> done,
               Caller caller) {
            change_with_password(*gate, std::move(r), true,
                                 &Command::mutable_auth_user_change_password, std::move(done),
                                 std::move(caller));
        });
    // Not behind the gate: an old token in the call says nothing about the password.
    service.service.unary(
        "/etcdserverpb.Auth/Authenticate",
        [gate](std::shared_ptr<net::GrpcCall> call, std::string_view message) {
            auto attempt = std::make_shared<Attempt>();
            if (!attempt->request.ParseFromArray(message.data(), static_cast<int>(message.size())))
                return call->fail(unreadable_message());
            attempt->gate = gate;
            attempt->done = [call = std::move(call)](base::Result<pb::AuthenticateResponse> r) {
                answer(*call, r);
            };
            start(std::move(attempt));
        });
}

}  // namespace kvstore
