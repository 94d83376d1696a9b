#include "test/sim/host.h"

#include <fmt/format.h>

#include "base/check.h"
#include "kvstore/errors.h"
#include "raft/core/core.h"

namespace sim {

struct Host::SimClock final : kvstore::Clock {
    explicit SimClock(Host& h) : host(h) {}
    ~SimClock() override { cancel(); }
    base::Millis now() const override { return base::Millis(host.now_ms()); }
    void every(base::Millis period, base::UniqueFunction<void()> f) override {
        tick = std::make_shared<base::UniqueFunction<void()>>(std::move(f));
        wait(static_cast<Micros>(period.count()) * kMilli * 100 / host.clock_percent_);
    }
    void wait(Micros period) {
        host.run_after(period, [this, period, weak = std::weak_ptr(tick)] {
            auto f = weak.lock();
            if (!f) return;
            wait(period);
            (*f)();
        });
    }
    void cancel() override { tick.reset(); }
    void defer(base::UniqueFunction<void()> f) override {
        host.run_after(host.world_.random.below(50), std::move(f));
    }

    Host& host;
    std::shared_ptr<base::UniqueFunction<void()>> tick;
};

struct Host::SimTimers final : kvstore::Timers {
    explicit SimTimers(Host& h) : host(h) {}
    void post(base::UniqueFunction<void()> f) override {
        host.run_after(host.world_.random.below(50), std::move(f));
    }
    std::unique_ptr<Timer> make_timer() override { return std::make_unique<One>(host); }

    struct One final : Timer {
        explicit One(Host& h) : host(h) {}
        void after(base::Millis delay, base::UniqueFunction<void()> f) override {
            set = std::make_shared<base::UniqueFunction<void()>>(std::move(f));
            wait(delay, false);
        }
        void every(base::Millis period, base::UniqueFunction<void()> f) override {
            set = std::make_shared<base::UniqueFunction<void()>>(std::move(f));
            wait(period, true);
        }
        void wait(base::Millis span, bool again) {
            const Micros delay =
                static_cast<Micros>(span.count()) * kMilli * 100 / host.clock_percent_;
            host.run_after(delay, [this, span, again, weak = std::weak_ptr(set)] {
                auto f = weak.lock();
                if (!f) return;
                if (again) wait(span, true);
                (*f)();
            });
        }
        Host& host;
        std::shared_ptr<base::UniqueFunction<void()>> set;
    };
    Host& host;
};

Host::Host(World& world, SimNet& net, Journal& journal, Options options)
    : world_(world),
      net_(net),
      journal_(journal),
      options_(std::move(options)),
      disk_(world),
      fs_(world) {
    disk_.run = [this](base::UniqueFunction<void()> f) { run(std::move(f)); };
    disk_.on_failed_sync = [] { throw ProcessEnded{"the log cannot be synced"}; };
}

Host::~Host() {
    end_process();
}

std::int64_t Host::now_ms() const {
    return static_cast<std::int64_t>(world_.now() * clock_percent_ / 100 / kMilli);
}

// ------------------------------------------------------------------ its only thread

void Host::run(base::UniqueFunction<void()> f) {
    if (process_ == 0 || env_ == nullptr) return;
    if (paused()) return run_after(paused_until - world_.now() + 1, std::move(f));
    call(f);
}

void Host::run_after(Micros delay, base::UniqueFunction<void()> f) {
    const std::uint64_t number = ++last_waiting_;
    waiting_.emplace(number, std::move(f));
    world_.after(delay, [this, number, process = process_] {
        if (process != process_) return;
        const auto it = waiting_.find(number);
        if (it == waiting_.end()) return;
        auto waiting = std::move(it->second);
        waiting_.erase(it);
        run(std::move(waiting));
    });
}

void Host::call(base::UniqueFunction<void()>& f) {
    ++depth_;
    try {
        f();
    } catch (const ProcessEnded& end) {
        world_.trace(fmt::format("member {} ends itself: {}", id(), end.why));
        World::cover(end.damage ? "members that found damage while they ran"
                                : "members that ended themselves");
        if (end.damage) damaged = true;
        if (end.damage && !was_damaged)
            journal_.fail(
                fmt::format("member {} finds damage where none was done: {}", id(), end.why));
        if (!must_end_) must_end_ = false;
    }
    f = nullptr;
    if (--depth_ == 0 && must_end_) crash(*must_end_);
}

// ------------------------------------------------------------------ its process

base::Result<std::unique_ptr<kvstore::Machine>> Host::open_machine() {
    kvstore::Machine::Options options;
    options.directory = "/db";
    options.database.env = env_.get();
    options.database.files = env_.get();
    options.database.write_buffer_bytes = 64 << 10;
    options.database.block_cache_bytes = 64 << 10;
    options.database.slice_bytes = 100;
    options.database.run_scheduled = [env = env_] { env->drain(); };
    options.now_ms = [this] { return now_ms(); };
    options.long_command_keys = 2;
    options.on_failure = [](const base::Error& error) {
        throw ProcessEnded{error.to_string(), error.code == base::Code::kDataLoss};
    };
    options.in_background = [this](base::UniqueFunction<void()> work,
                                   base::UniqueFunction<void()> then) {
        auto both = [this, w = std::move(work), t = std::move(then)]() mutable {
            w();
            w = nullptr;
            run_after(world_.random.below(2000), std::move(t));
        };
        // Sometimes a great many keys are deleted.
        const Micros most = world_.random.chance(1, 8) ? kSecond : 5 * kMilli;
        run_after(world_.random.between(100, most), std::move(both));
    };
    return kvstore::Machine::open(std::move(options));
}

kvstore::ReplicaOptions Host::replica_options() {
    kvstore::ReplicaOptions options;
    options.id = id();
    options.cluster_id = 7;
    options.initial_members = options_.initial_members;
    options.lease_reads = options_.lease_reads;
    options.max_message_bytes = options_.message_bytes;
    options.leader_priority = static_cast<std::uint32_t>(id().value() % 3);
    options.tick = base::Millis(50);
    options.seed = world_.random.next();
    options.wal_segment_bytes = 4096;
    options.compact_log_bytes = 12288;
    options.keep_entries = options_.keep_entries;
    options.snapshot_chunk_bytes = 700;
    options.request_timeout = base::Millis(3000);
    return options;
}

base::Status Host::start() {
    CHECK(!up());
    ++process_;
    paused_until = 0;
    must_end_.reset();
    // No two clocks run alike.
    clock_percent_ = world_.random.between(85, 115);
    world_.trace(fmt::format("start {}", id()));
    env_ = std::make_shared<SimEnv>(world_, fs_, [this](base::UniqueFunction<void()> f) {
        run_after(world_.random.between(10, 20000), std::move(f));
    });
    base::Status outcome;
    base::UniqueFunction<void()> begin = [this, &outcome] {
        auto machine = open_machine();
        if (!machine) {
            outcome = machine.error();
            return;
        }
        machine_ = std::move(*machine);
        if (fs_.is_directory("/db.damaged")) {
            World::cover("databases set aside");
            if (!was_damaged)
                journal_.fail(
                    fmt::format("member {} sets aside a database that nobody damaged", id()));
        }
        journal_.check_content(*machine_, fmt::format("member {} at its start", id()));
        clock_ = std::make_unique<SimClock>(*this);
        endpoint_ = std::make_unique<SimNet::Endpoint>(net_, id());
        journalled_ = std::make_unique<JournalledMachine>(journal_, *machine_,
                                                          fmt::format("member {}", id()));
        auto replica = kvstore::Replica::open(replica_options(), *journalled_,
                                              {clock_.get(), &disk_, endpoint_.get()});
        if (!replica) {
            outcome = replica.error();
            return;
        }
        replica_ = std::move(*replica);
        kvstore::Node::Options options;
        options.min_lease_ttl_seconds = 1;
        options.lease_checkpoint_seconds = 1;
        options.ask_leader = [this](const kvstore::Member& leader, const std::string& path,
                                    std::string message, const std::string&,
                                    kvstore::Done<std::string> done) {
            ask_leader(leader, path, std::move(message), std::move(done));
        };
        node_ = std::make_unique<kvstore::Node>(std::make_unique<SimTimers>(*this), *machine_,
                                                *replica_, std::move(options));
        kvstore::WatchHub& hub = node_->hub();
        hub.slice = 1 + world_.random.below(3);
        hub.wants_pump = [pump = std::move(hub.wants_pump)] {
            World::cover("changes handed to watchers in slices");
            pump();
        };
    };
    call(begin);
    if (outcome.has_value() && !up()) return base::unavailable("the process ended while it began");
    if (!outcome) end_process();
    return outcome;
}

void Host::crash(bool power) {
    if (env_ == nullptr) return;
    if (depth_ > 0) {
        must_end_ = must_end_.value_or(false) || power;
        return;
    }
    world_.trace(fmt::format("{} {}", power ? "power failure at" : "crash", id()));
    const bool frozen = fs_.frozen();
    disk_.crash(power || frozen);
    end_process();
    if (power || frozen)
        fs_.power_failure();
    else
        fs_.process_ended();
}

void Host::end_process() {
    if (env_ == nullptr) return;
    ++process_;
    if (up() && on_end) on_end(*this);
    must_end_.reset();
    env_->end();
    waiting_.clear();
    net_.process_gone(id());
    // What is pending fails, while the node that waits for it is still there.
    replica_.reset();
    node_.reset();
    journalled_.reset();
    machine_.reset();
    endpoint_.reset();
    clock_.reset();
    waiting_.clear();
    env_->drain();
    env_.reset();
}

void Host::fail_power_after(std::uint64_t changes) {
    fs_.freeze_after(changes, [this] {
        disk_.freeze();
        if (endpoint_) endpoint_->silence();
        must_end_ = true;
    });
}

// A member asks the leader's services, over a network that works or does not.
void Host::ask_leader(const kvstore::Member& leader, const std::string& path, std::string message,
                      kvstore::Done<std::string> done) {
    Host* other = find_host ? find_host(leader.id) : nullptr;
    const bool reached = other != nullptr && other->up() && net_.passes(id(), leader.id) &&
                         net_.passes(leader.id, id());
    if (!reached) {
        run_after(10 * kMilli,
                  [d = std::move(done)]() mutable { d(kvstore::errors::no_leader()); });
        return;
    }
    auto held = std::make_shared<kvstore::Done<std::string>>(std::move(done));
    const auto answer = [this, held, process = process_](base::Result<std::string> bytes) {
        if (process == process_)
            run_after(net_.delay(),
                      [held, b = std::move(bytes)]() mutable { (*held)(std::move(b)); });
    };
    if (path != "/etcdserverpb.Lease/LeaseKeepAlive") return answer(kvstore::errors::not_leader());
    etcdserverpb::LeaseKeepAliveRequest request;
    CHECK(request.ParseFromString(message));
    other->run_after(net_.delay(), [other, answer, lease = request.id()] {
        if (!other->node().replica().is_leader()) return answer(kvstore::errors::not_leader());
        other->node().lease_keep_alive(
            lease, [answer](base::Result<etcdserverpb::LeaseKeepAliveResponse> response) {
                if (response)
                    answer(response->SerializeAsString());
                else
                    answer(response.error());
            });
    });
}

}  // namespace sim
