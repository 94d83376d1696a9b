#include "test/sim/watchers.h"

#include <fmt/format.h>

#include "kvstore/mvcc/record.h"
#include "test/sim/cluster.h"

namespace sim {

class Watchers::Watcher final : public kvstore::WatchSink {
  public:
    Watcher(Cluster& cluster, std::int64_t number) : cluster_(cluster) {
        base::Random& random = cluster_.world_.random;
        request_.tag = number;
        switch (random.below(3)) {
            case 0:
                request_.key = cluster_.some_key();
                break;
            case 1:
                request_.key = std::string(1, '\0');
                request_.range_end = std::string(1, '\0');
                break;
            default:
                request_.key = "k2";
                request_.range_end = "l";
        }
        request_.previous = random.chance(1, 2);
        request_.no_put = random.chance(1, 6);
        request_.no_delete = !request_.no_put && random.chance(1, 6);
        interval_ = kvstore::schema::KeyInterval::of(request_.key, request_.range_end);
    }

    Host* host() const { return host_; }
    std::int64_t next() const { return next_; }

    void attach(Host& host) {
        // The answer to a watch request tells from where on it will see everything.
        const std::int64_t now = host.machine().store().revision();
        if (next_ == 0) next_ = now + 1;
        if (next_ <= now) World::cover("watches resumed in the past");
        host_ = &host;
        request_.start_revision = next_;
        id_ = host.node().hub().add(request_, this);
        if (!host.node().hub().synced(id_)) host.node().pump();
    }
    void detach() {
        if (host_ != nullptr && host_->up()) host_->node().hub().remove(id_);
        host_ = nullptr;
    }
    void lost() { host_ = nullptr; }
    void set_slow(bool slow) {
        slow_ = slow;
        if (!slow && host_ != nullptr && host_->up()) host_->node().pump();
    }
    bool slow() const { return slow_; }

    // WatchSink
    bool ready() const override { return !slow_; }
    void deliver(std::int64_t tag, const kvstore::WatchBatchPtr& batch) override {
        if (host_ == nullptr || host_->dying()) return;
        if (tag != request_.tag) return fail("is told of another's changes");
        World::cover("watch batches delivered");
        if (slow_) return fail("is told although it takes nothing");
        check(*batch);
        next_ = std::max(next_, batch->revision + 1);
    }
    void compacted(std::int64_t, std::int64_t at) override {
        if (host_ == nullptr || host_->dying()) return;
        World::cover("watches cancelled by compaction");
        if (next_ >= at)
            fail(fmt::format("is cancelled by the compaction to {} which left all it needs", at));
        host_ = nullptr;
        next_ = at;  // as a client does: it reads at that revision and goes on from there
    }

    bool caught_up() const {
        const Reference& reference = cluster_.journal_.reference();
        for (std::int64_t r = next_; r <= reference.revision(); ++r)
            for (const auto& change : reference.changes(r))
                if (wants(change)) return false;
        return true;
    }
    std::string describe() const {
        return fmt::format("watcher {} at {} next {} slow {}", request_.tag,
                           host_ == nullptr ? raft::kNobody : host_->id(), next_, slow_);
    }

  private:
    void fail(const std::string& what) const {
        cluster_.fail(fmt::format("watcher {} of [{}, {}) at member {}, next {}: {}", request_.tag,
                                  request_.key, request_.range_end,
                                  host_ == nullptr ? raft::kNobody : host_->id(), next_, what));
    }
    bool wants(const Reference::Change& change) const {
        return interval_.contains(change.key) &&
               !(change.is_delete ? request_.no_delete : request_.no_put);
    }

    void check(const kvstore::WatchBatch& batch) const {
        const Reference& reference = cluster_.journal_.reference();
        if (batch.revision < next_) return fail("is told of what it has seen");
        if (batch.revision > reference.revision()) return fail("is told of the future");
        std::size_t at = 0;
        for (std::int64_t r = next_; r <= batch.revision; ++r)
            for (const auto& change : reference.changes(r)) {
                if (!wants(change)) continue;
                if (at == batch.events.size())
                    return fail(fmt::format("is not told of {} at {}", change.key, r));
                check(*batch.events[at++], change, r);
            }
        if (at < batch.events.size())
            fail(fmt::format("is told too much, up to revision {}: {}", batch.revision,
                             batch.events[at]->key));
    }

    void check(const kvstore::Event& event, const Reference::Change& change,
               std::int64_t revision) const {
        const auto record = kvstore::RecordView::parse(event.record);
        if (event.key != change.key || event.is_delete != change.is_delete || !record ||
            record->mod_revision != change.kv.mod)
            return fail(fmt::format("is told of {} {} instead of {} {} at {}",
                                    event.is_delete ? "delete" : "put", event.key,
                                    change.is_delete ? "delete" : "put", change.key, revision));
        const auto serialized = [&](const Reference::Kv& kv) {
            return Reference::message(change.key, kv).SerializeAsString();
        };
        if (!change.is_delete && event.record != serialized(change.kv))
            return fail(fmt::format("is told a wrong {} at {}", change.key, revision));
        if (!request_.previous) return;
        // It may be gone once it is compacted.
        const bool may_lack = cluster_.journal_.reference().compacted() >= revision;
        const std::string want = change.previous ? serialized(*change.previous) : std::string();
        if (event.previous != want && !(event.previous.empty() && may_lack))
            fail(fmt::format("is told a wrong previous {} at {}", change.key, revision));
    }

    Cluster& cluster_;
    kvstore::WatchHub::Request request_;
    kvstore::schema::KeyInterval interval_;
    Host* host_ = nullptr;
    std::int64_t id_ = 0;
    std::int64_t next_ = 0;
    bool slow_ = false;
};

Watchers::Watchers(Cluster& cluster) : cluster_(cluster) {}
Watchers::~Watchers() = default;

void Watchers::begin(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i)
        watchers_.push_back(
            std::make_unique<Watcher>(cluster_, static_cast<std::int64_t>(100 + i)));
    loop();
}

void Watchers::loop() {
    cluster_.world_.after(cluster_.world_.random.between(20, 200) * kMilli, [this] {
        base::Random& random = cluster_.world_.random;
        for (auto& watcher : watchers_) {
            if (watcher->host() != nullptr && cluster_.faults_ && random.chance(1, 20)) {
                World::cover("watches moved");
                watcher->host()->run([w = watcher.get()] { w->detach(); });
            } else if (watcher->slow() || (cluster_.faults_ && random.chance(1, 20))) {
                watcher->set_slow(!watcher->slow() && cluster_.faults_);
            }
            // One that was removed, and does not know it, tells nothing any more.
            if (watcher->host() != nullptr && !cluster_.faults_ &&
                !cluster_.is_member(watcher->host()->id()))
                watcher->host()->run([w = watcher.get()] { w->detach(); });
            Host* host = watcher->host() == nullptr ? cluster_.pick(true) : nullptr;
            if (host == nullptr || host->paused()) continue;
            host->run([w = watcher.get(), host] {
                if (w->host() == nullptr) w->attach(*host);
            });
        }
        loop();
    });
}

void Watchers::process_gone(const Host& host) {
    for (auto& watcher : watchers_)
        if (watcher->host() == &host) watcher->lost();
}

bool Watchers::all_caught_up() const {
    for (const auto& watcher : watchers_)
        if (!watcher->caught_up()) return false;
    return true;
}

std::string Watchers::describe() const {
    std::string out;
    for (const auto& watcher : watchers_)
        if (!watcher->caught_up()) out += "; " + watcher->describe();
    return out;
}

}  // namespace sim
