// Entries of the log: commands as another member might have proposed them, one after the other on a
// state machine. Each answers or fails, the state holds together, and two members that apply the
// same have the same content.

#include <leveldb/env.h>

#include "base/check.h"
#include "kvstore/machine.h"
#include "test/fuzz/target.h"

namespace fuzz {
namespace {

using namespace kvstore;

struct Member {
    Member() {
        Machine::Options options;
        options.directory = directory.path();
        options.database.write_buffer_bytes = 64 << 10;
        options.database.block_cache_bytes = 64 << 10;
        options.now_ms = [] { return std::int64_t{0}; };
        auto opened = Machine::open(std::move(options));
        CHECK(opened.has_value());
        machine = std::move(*opened);
    }
    std::string content() const {
        std::string out;
        const auto cursor = machine->database().snapshot_cursor();
        for (cursor->seek(""); cursor->valid(); cursor->next())
            out += piece(cursor->key()) + piece(cursor->value());
        return out;
    }

    const Scratch directory{"command"};
    std::unique_ptr<Machine> machine;
};

}  // namespace

void run(std::string_view input) {
    Member a;
    Member b;
    Reader in(input);
    std::uint64_t index = 0;
    while (!in.empty() && index < 64) {
        const std::string_view payload = in.piece();
        ++index;
        std::int64_t before = a.machine->store().revision();
        const auto answer = a.machine->apply({raft::Index(index), raft::Term(1), true}, payload);
        CHECK(answer != nullptr);
        (void)b.machine->apply({raft::Index(index), raft::Term(1), false}, payload);
        if (!static_cast<const MachineOutput&>(*answer).response)
            CHECK(a.machine->store().revision() == before, "a failed command changed something");
        CHECK(a.machine->store().revision() - before <= 1, "a command makes one revision");
        // The one commits each command, the other all together.
        a.machine->end_of_batch({raft::Index(index), raft::Term(1)});
    }
    if (index == 0) return;
    b.machine->end_of_batch({raft::Index(index), raft::Term(1)});
    CHECK(a.content() == b.content());
}

std::vector<std::string> seeds() {
    const auto sequence = [](std::initializer_list<std::string> texts) {
        std::string out;
        for (const std::string& text : texts)
            out += piece(text);
        return out;
    };
    Command put;
    put.mutable_put()->set_key("k");
    put.mutable_put()->set_value("v");
    Command leased = put;
    leased.mutable_put()->set_lease(7);
    Command grant;
    grant.mutable_lease_grant()->set_id(7);
    grant.mutable_lease_grant()->set_ttl(10);
    Command revoke;
    revoke.mutable_lease_revoke()->set_id(7);
    Command remove;
    remove.mutable_delete_range()->set_key("a");
    remove.mutable_delete_range()->set_range_end("z");
    Command compact;
    compact.mutable_compact()->set_revision(2);
    Command txn;
    auto* compare = txn.mutable_txn()->add_compare();
    compare->set_key("k");
    compare->set_target(etcdserverpb::Compare::MOD);
    compare->set_mod_revision(2);
    *txn.mutable_txn()->add_success()->mutable_request_put() = put.put();
    auto* range = txn.mutable_txn()->add_failure()->mutable_request_range();
    range->set_key("a");
    range->set_range_end("z");
    *txn.mutable_txn()->add_failure()->mutable_request_txn() = txn.txn();
    Command alarm;
    alarm.mutable_alarm()->set_action(etcdserverpb::AlarmRequest::ACTIVATE);
    alarm.mutable_alarm()->set_alarm(etcdserverpb::NOSPACE);
    Command user;
    user.mutable_auth_user_add()->set_name("root");
    user.mutable_auth_user_add()->set_hashedpassword("$2b$04$" + std::string(53, '.'));
    Command role;
    role.mutable_auth_user_grant_role()->set_user("root");
    role.mutable_auth_user_grant_role()->set_role("root");
    Command enable;
    enable.mutable_auth_enable();
    const auto text = [](const Command& c) { return c.SerializeAsString(); };
    return {sequence({text(put), text(put), text(remove), text(compact)}),
            sequence({text(grant), text(leased), text(revoke), text(leased)}),
            sequence({text(put), text(txn), text(txn), text(compact), text(txn)}),
            sequence({text(alarm), text(put), text(remove)}),
            sequence({text(user), text(role), text(enable), text(put)})};
}

}  // namespace fuzz
