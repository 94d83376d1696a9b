#include "kvstore/machine.h"

#include "base/bytes.h"
#include "base/log.h"
#include "base/planted.h"
#include "kvstore/auth/checks.h"
#include "kvstore/errors.h"
#include "kvstore/mvcc/files.h"
#include "kvstore/mvcc/schema.h"
#include "kvstore/mvcc/unfinished.h"

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

std::string encoded(raft::Position applied) {
    return schema::encode_applied(applied.index.value(), applied.term.value());
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
    TRY_VOID(check_format());
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
    TRY_VOID(undo_unfinished(*db_, store_->revision()));
    if (!alarms_.decode(db_->get(schema::kMetaAlarms).value_or("")))
        return base::data_loss("the database's list of alarms is damaged");
    lessor_.clear();
    for (const auto id : store_->leases())
        lessor_.grant(id, store_->lease_ttl(id), now_ms(), store_->lease_remaining(id));
    return load_auth();
}

base::Status Machine::check_format() {
    const std::string ours = schema::encode_number(schema::kFormat);
    const auto format = db_->get(schema::kMetaFormat);
    if (format == ours) return {};
    const auto cursor = db_->cursor();
    cursor->seek("");
    if (cursor->valid())
        return base::Error(base::Code::kFailedPrecondition,
                           options_.directory +
                               " was written by another version of coxswain, in a format that "
                               "this one does not read: start it with that version, and copy "
                               "it with coxctl import --from");
    db_->put(schema::kMetaFormat, ours);
    db_->commit();
    return {};
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

std::shared_ptr<const StoreView> Machine::view() const {
    return std::make_shared<const StoreView>(*db_);
}

base::Status Machine::admits(const Command& command, raft::Term term) const {
    if (command.only_in_term() != 0 && command.only_in_term() != term.value())
        return errors::leader_changed();
    TRY_VOID(auth::may_apply(auth_, *store_, command));
    return alarms_.allows(command);
}

ApplyResult Machine::apply(const ApplyContext& context, std::string_view payload) {
    const auto act = [&]() -> base::Result<Response> {
        Command command;
        if (!command.ParseFromArray(payload.data(), static_cast<int>(payload.size())))
            return base::invalid_argument("an entry of the log is not a command");
        TRY_VOID(admits(command, context.term));
        return run(command);
    };
    store_->wants_events = hub_->size() > 0;
    base::Result<Response> response = act();
    return context.want_output ? std::make_unique<MachineOutput>(std::move(response)) : nullptr;
}

base::Result<Response> Machine::change(MvccStore& store, const Command& command) {
    switch (command.op_case()) {
        case Command::kPut: {
            TRY(auto out, store.put(command.put()));
            return Response(std::move(out));
        }
        case Command::kDeleteRange: {
            TRY(auto out, store.delete_range(command.delete_range()));
            return Response(std::move(out));
        }
        case Command::kTxn: {
            TRY(auto out, store.txn(command.txn()));
            return Response(std::move(out));
        }
        case Command::kLeaseRevoke: {
            TRY_VOID(store.lease_revoke(command.lease_revoke().id()));
            pb::LeaseRevokeResponse out;
            out.mutable_header()->set_revision(store.revision());
            return Response(std::move(out));
        }
        default:
            break;
    }
    // Written by a newer version: every member of this version passes over it alike.
    return base::unimplemented("a command that this version does not know");
}

base::Result<Response> Machine::run(const Command& command) {
    if (command.op_case() == Command::kAuthToken || auth::is_auth_change(command))
        return run_auth(command);
    switch (command.op_case()) {
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
            TRY(auto out, change(*store_, command));
            lessor_.revoke(command.lease_revoke().id());
            return out;
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
            return change(*store_, command);
    }
}

bool Machine::has_room() {
    pause_ = db_->pause();
    return pause_.count() == 0;
}

void Machine::await_room(base::UniqueFunction<void()> done) {
    CHECK(!busy_ && !db_->has_uncommitted());
    busy_ = true;
    in_background([db = db_, pause = pause_] { db->make_room(pause); },
                  [this, alive = std::weak_ptr(alive_), d = std::move(done)]() mutable {
                      if (alive.expired()) return;
                      busy_ = false;
                      d();
                  });
}

bool Machine::takes_long(std::string_view payload) const {
    Command command;
    return command.ParseFromArray(payload.data(), static_cast<int>(payload.size())) &&
           takes_long(command);
}

// What is changed on the loop before and after, and by the background in between.
struct Machine::Aside {
    explicit Aside(const Database& of) : on(of) {}

    // The keys that it may delete.
    schema::KeyInterval keys() const {
        if (!command.has_delete_range()) return {.unbounded = true};
        const auto& request = command.delete_range();
        return schema::KeyInterval::of(request.key(), request.range_end());
    }

    Command command;
    raft::Position upto;
    StoreView on;
    base::Result<Response> response = Response();
    std::vector<RevisionEventsPtr> events;
};

void Machine::apply_aside(const ApplyContext& context, std::string_view payload,
                          base::UniqueFunction<void(ApplyResult)> done) {
    CHECK(!busy_ && !db_->has_uncommitted());
    auto aside = std::make_shared<Aside>(*db_);
    CHECK(aside->command.ParseFromArray(payload.data(), static_cast<int>(payload.size())));
    aside->upto = {context.index, context.term};
    aside->on.store.wants_events = hub_->watches(aside->keys());
    aside->on.store.on_events = [to = aside.get()](RevisionEventsPtr events) {
        to->events.push_back(std::move(events));
    };
    // A transaction reads what it wrote.
    if (!aside->command.has_txn()) aside->on.database->write_in_slices();
    const base::Status admitted = admits(aside->command, context.term);
    if (!admitted) aside->response = admitted.error();
    busy_ = true;
    if (!base::planted(base::PlantedBug::kAsideSeenEarly)) db_->freeze();
    in_background(
        [aside] {
            if (aside->response) aside->response = change(aside->on.store, aside->command);
            aside->on.database->put(schema::kMetaApplied, encoded(aside->upto));
            aside->on.database->commit();
        },
        [this, alive = std::weak_ptr(alive_), aside, wanted = context.want_output,
         d = std::move(done)]() mutable {
            if (alive.expired()) return;
            finish_aside(*aside);
            d(wanted ? std::make_unique<MachineOutput>(std::move(aside->response)) : nullptr);
        });
}

void Machine::finish_aside(Aside& aside) {
    busy_ = false;
    const std::int64_t before = store_->revision();
    db_->thaw();
    store_->rebind(*db_);
    store_->add_counters(aside.on.store.counters());
    applied_ = aside.upto;
    if (aside.response && aside.command.has_lease_revoke())
        lessor_.revoke(aside.command.lease_revoke().id());
    // Who began to watch meanwhile, when nobody did before, reads it from history.
    if (aside.on.store.wants_events)
        hub_->notify(aside.events);
    else
        hub_->reset(before, aside.keys());
}

void Machine::end_of_batch(raft::Position upto) {
    if (base::planted(base::PlantedBug::kAppliedApart)) {
        db_->commit();
        (void)db_->sync();
    }
    db_->put(schema::kMetaApplied, encoded(upto));
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

std::uint64_t Machine::snapshot_bytes() const {
    return static_cast<std::uint64_t>(db_->approximate_size());
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
