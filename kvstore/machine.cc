#include "kvstore/machine.h"

#include "base/bytes.h"
#include "base/log.h"
#include "base/planted.h"
#include "kvstore/auth/checks.h"
#include "kvstore/errors.h"
#include "kvstore/mvcc/files.h"
#include "kvstore/mvcc/schema.h"

namespace kvstore {

namespace pb = etcdserverpb;

class Machine::Reader final : public SnapshotReader {
  public:
    Reader(std::shared_ptr<Database> db, raft::Position position)
        : db_(std::move(db)), source_(*db_), position_(position) {}
    raft::Position position() const override { return position_; }
    base::Result<std::string> next(std::size_t max_bytes) override {
        return source_.next_chunk(max_bytes);
    }

  private:
    std::shared_ptr<Database> db_;
    SnapshotSource source_;
    raft::Position position_;
};

class Machine::Writer final : public SnapshotWriter {
  public:
    Writer(Machine& machine, std::unique_ptr<DatabaseDirectory::Installer> installer,
           raft::Position position)
        : machine_(machine), installer_(std::move(installer)), position_(position) {}
    base::Status write(std::string_view chunk) override { return installer_->add(chunk); }
    base::Status seal() override { return installer_->seal(); }
    base::Status finish() override {
        base::Status status = installer_->finish();
        installer_.reset();
        if (status) status = machine_.reload(position_);
        // The log has given up what it had for this: only a new start finds a way.
        if (!status) machine_.db_->on_failure(status.error());
        return status;
    }

  private:
    Machine& machine_;
    std::unique_ptr<DatabaseDirectory::Installer> installer_;
    raft::Position position_;
};

namespace {
Database::Options database_options(const Machine::Options& options) {
    Database::Options out = options.database;
    if (options.on_failure) out.on_failure = options.on_failure;
    return out;
}
}  // namespace

Machine::Machine(Options options)
    : options_(std::move(options)), directory_(options_.directory, database_options(options_)) {}

base::Result<std::unique_ptr<Machine>> Machine::open(Options options) {
    CHECK(options.now_ms != nullptr);
    std::unique_ptr<Machine> out(new Machine(std::move(options)));
    if (const auto mark = out->files().read(out->damage_mark()))
        TRY_VOID(out->set_damaged_aside(*mark));
    base::Status loaded = out->load();
    if (!loaded && loaded.error().code == base::Code::kDataLoss) {
        TRY_VOID(out->set_damaged_aside(loaded.error().message));
        loaded = out->load();
    }
    if (!loaded) return loaded.error();
    return out;
}

base::Status Machine::set_damaged_aside(const std::string& damage) const {
    const std::string aside = options_.directory + ".damaged";
    LOG_ERROR("kvstore", "the database is damaged and is set aside as {}: {}", aside, damage);
    TRY_VOID(files().remove_all(aside));
    return files().rename(options_.directory, aside);
}

Files& Machine::files() const {
    return options_.database.files != nullptr ? *options_.database.files : Files::of_system();
}

void Machine::keep_membership(std::string_view bytes) {
    db_->put(schema::kMetaMembership, bytes);
}

std::string Machine::kept_membership() const {
    return db_->get(schema::kMetaMembership).value_or("");
}

base::Status Machine::load() {
    TRY(std::unique_ptr<Database> db, directory_.open());
    // What applied() says from now on lasts: a log that lacks some of it begins anew behind it.
    // LevelDB's own opening leaves its last rename to the operating system.
    TRY_VOID(db->sync());
    db_ = std::move(db);
    // Whoever starts it again finds the mark, and does not run into the same damage for ever.
    db_->on_failure = [mark = damage_mark(), &files = files(),
                       end = options_.on_failure](const base::Error& error) {
        LOG_ERROR("kvstore", "the database failed, and what it holds is unknown: {}",
                  error.message);
        if (error.code == base::Code::kDataLoss)
            (void)files.write_atomic(mark, error.message + "\n");
        if (end) end(error);
        std::abort();
    };
    applied_ = {};
    if (auto bytes = db_->get(schema::kMetaApplied)) {
        if (bytes->size() != 16) return base::data_loss("the database's applied index is damaged");
        applied_.index = raft::Index(base::load_le<std::uint64_t>(bytes->data()));
        applied_.term = raft::Term(base::load_le<std::uint64_t>(bytes->data() + 8));
    }
    if (store_) {
        store_->rebind(*db_);
    } else {
        store_ = std::make_unique<MvccStore>(*db_);
        store_->on_events = [this](RevisionEventsPtr events) {
            events_.push_back(std::move(events));
        };
        hub_ = std::make_unique<WatchHub>(*store_);
    }
    if (!alarms_.decode(db_->get(schema::kMetaAlarms).value_or("")))
        return base::data_loss("the database's list of alarms is damaged");
    lessor_.clear();
    for (const auto id : store_->leases())
        lessor_.grant(id, store_->lease_ttl(id), now_ms(), store_->lease_remaining(id));
    return load_auth();
}

base::Status Machine::reload(raft::Position position) {
    const std::int64_t before = store_->revision();
    events_.clear();
    TRY_VOID(load());
    // The copy was made at its own applied position; the log may know it by a later one without
    // commands between.
    if (applied_ != position) end_of_batch(position);
    hub_->reset(before);
    return {};
}

ApplyResult Machine::apply(const ApplyContext& context, std::string_view payload) {
    Command command;
    base::Result<Response> response =
        base::invalid_argument("an entry of the log is not a command");
    if (command.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) {
        const bool late =
            command.only_in_term() != 0 && command.only_in_term() != context.term.value();
        response = late ? base::Result<Response>(errors::leader_changed()) : run(command);
    }
    return context.want_output ? std::make_unique<MachineOutput>(std::move(response)) : nullptr;
}

base::Result<Response> Machine::run(const Command& command) {
    TRY_VOID(auth::may_apply(auth_, *store_, command));
    TRY_VOID(alarms_.allows(command));
    if (command.op_case() == Command::kAuthToken || auth::is_auth_change(command))
        return run_auth(command);
    switch (command.op_case()) {
        case Command::kPut: {
            TRY(auto out, store_->put(command.put()));
            return Response(std::move(out));
        }
        case Command::kDeleteRange: {
            TRY(auto out, store_->delete_range(command.delete_range()));
            return Response(std::move(out));
        }
        case Command::kTxn: {
            TRY(auto out, store_->txn(command.txn()));
            return Response(std::move(out));
        }
        case Command::kCompact: {
            TRY_VOID(store_->compact(command.compact().revision()));
            pb::CompactionResponse out;
            out.mutable_header()->set_revision(store_->revision());
            return Response(std::move(out));
        }
        case Command::kLeaseGrant: {
            const auto& grant = command.lease_grant();
            TRY_VOID(store_->lease_grant(grant.id(), grant.ttl()));
            lessor_.grant(grant.id(), grant.ttl(), now_ms());
            pb::LeaseGrantResponse out;
            out.mutable_header()->set_revision(store_->revision());
            out.set_id(grant.id());
            out.set_ttl(grant.ttl());
            return Response(std::move(out));
        }
        case Command::kLeaseRevoke: {
            TRY_VOID(store_->lease_revoke(command.lease_revoke().id()));
            lessor_.revoke(command.lease_revoke().id());
            pb::LeaseRevokeResponse out;
            out.mutable_header()->set_revision(store_->revision());
            return Response(std::move(out));
        }
        case Command::kLeaseCheckpoint: {
            for (const auto& point : command.lease_checkpoint().checkpoints()) {
                store_->lease_checkpoint(point.id(), point.remaining_ttl());
                lessor_.checkpoint(point.id(), point.remaining_ttl());
            }
            pb::LeaseCheckpointResponse out;
            out.mutable_header()->set_revision(store_->revision());
            return Response(std::move(out));
        }
        case Command::kAlarm: {
            pb::AlarmResponse out;
            if (alarms_.apply(command.alarm(), &out))
                db_->put(schema::kMetaAlarms, alarms_.encode());
            out.mutable_header()->set_revision(store_->revision());
            return Response(std::move(out));
        }
        default:
            break;
    }
    // Written by a newer version: every member of this version passes over it alike.
    return base::unimplemented("a command that this version does not know");
}

void Machine::end_of_batch(raft::Position upto) {
    if (base::planted(base::PlantedBug::kAppliedApart)) db_->commit();
    db_->put(schema::kMetaApplied, schema::encode_applied(upto.index.value(), upto.term.value()));
    db_->commit();
    applied_ = upto;
    std::vector<RevisionEventsPtr> events;
    events.swap(events_);
    hub_->notify(events);
}

void Machine::sync(base::UniqueFunction<void(base::Result<raft::Position>)> done) {
    auto status = std::make_shared<base::Status>();
    in_background([db = db_, status] { *status = db->sync(); },
                  [db = db_, status, position = applied_, d = std::move(done)]() mutable {
                      // What is on disk is unknown now, and another sync would not tell.
                      if (!*status) db->on_failure(status->error());
                      d(position);
                  });
}

void Machine::in_background(base::UniqueFunction<void()> work, base::UniqueFunction<void()> then) {
    if (options_.in_background) return options_.in_background(std::move(work), std::move(then));
    work();
    then();
}

base::Result<std::unique_ptr<SnapshotReader>> Machine::open_snapshot() {
    return std::unique_ptr<SnapshotReader>(std::make_unique<Reader>(db_, applied_));
}

base::Result<std::unique_ptr<SnapshotWriter>> Machine::begin_install(raft::Position position) {
    TRY(auto installer, directory_.install());
    return std::unique_ptr<SnapshotWriter>(
        std::make_unique<Writer>(*this, std::move(installer), position));
}

}  // namespace kvstore
