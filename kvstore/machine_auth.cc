// The machine's half that acts on users, roles and tokens.

#include "kvstore/auth/checks.h"
#include "kvstore/errors.h"
#include "kvstore/machine.h"
#include "kvstore/mvcc/schema.h"

namespace kvstore {

base::Status Machine::load_auth() {
    auth_.clear();
    const std::string prefix(1, schema::kAuth);
    auto cursor = db_->cursor();
    for (cursor->seek(prefix); cursor->valid() && cursor->key().starts_with(prefix); cursor->next())
        TRY_VOID(auth_.load(cursor->key(), cursor->value()));
    return {};
}

base::Result<Response> Machine::run_auth(const Command& command) {
    if (command.op_case() == Command::kAuthToken) {
        const auto& grant = command.auth_token();
        if (!auth_.enabled()) return errors::auth_not_enabled();
        // Something changed since the password was checked, perhaps the password.
        if (grant.checked_revision() != auth_.revision()) return errors::auth_old_revision();
        tokens_.grant(grant.token_sha256(), grant.user(), now_ms());
    } else {
        TRY_VOID(auth::apply(&auth_, command));
    }
    if (command.op_case() == Command::kAuthUserDelete)
        tokens_.forget_user(command.auth_user_delete().name());
    if (command.op_case() == Command::kAuthUserChangePassword)
        tokens_.forget_user(command.auth_user_change_password().name());
    if (command.op_case() == Command::kAuthDisable) tokens_.clear();
    for (const auto& change : auth_.take_changes()) {
        if (change.value)
            db_->put(change.key, *change.value);
        else
            db_->erase(change.key);
    }
    etcdserverpb::AuthEnableResponse out;
    out.mutable_header()->set_revision(store_->revision());
    return Response(std::move(out));
}

}  // namespace kvstore
