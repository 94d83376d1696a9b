#include "kvstore/local_client.h"

#include <atomic>
#include <deque>
#include <set>

#include "kvstore/errors.h"
#include "kvstore/node.h"

namespace kvstore {

namespace pb = etcdserverpb;

namespace {

// Events that a watcher may hold, on its way or waiting, before the store stops giving it more.
constexpr std::int64_t kMaxQueuedEvents = 8192;

// One watch: a sink on the store's loop, a queue on the client's.
class LocalWatcher final : public Watcher, public std::enable_shared_from_this<LocalWatcher> {
  public:
    LocalWatcher(base::Loop& home, base::Loop& store, Node& node)
        : home_(home), store_(store), node_(node) {}

    // The store's half. Kept alive by its registration and what is posted.
    class Sink final : public WatchSink, public std::enable_shared_from_this<Sink> {
      public:
        explicit Sink(const std::shared_ptr<LocalWatcher>& owner)
            : owner_(owner), home_(owner->home_), queued_(owner->queued_) {}
        bool ready() const override { return *queued_ < kMaxQueuedEvents; }
        void deliver(std::int64_t, const WatchBatchPtr& batch) override {
            WatchUpdate update;
            update.revision = batch->revision;
            auto owner = batch->owners.begin();
            for (const Event* event : batch->events) {
                // Owners come in the order of their events.
                while (event < (*owner)->events.data() ||
                       event >= (*owner)->events.data() + (*owner)->events.size())
                    ++owner;
                update.events.emplace_back(*owner, event);
            }
            *queued_ += static_cast<std::int64_t>(update.events.size());
            send(std::move(update));
        }
        void compacted(std::int64_t, std::int64_t at) override {
            WatchUpdate update;
            update.revision = at;
            update.compacted = true;
            send(std::move(update));
        }
        void progress(std::int64_t revision) {
            WatchUpdate update;
            update.revision = revision;
            send(std::move(update));
        }

        std::int64_t id = -1;

      private:
        void send(WatchUpdate update) {
            home_.post([owner = owner_, u = std::move(update)]() mutable {
                if (auto self = owner.lock()) self->push(std::move(u));
            });
        }
        std::weak_ptr<LocalWatcher> owner_;
        base::Loop& home_;
        std::shared_ptr<std::atomic<std::int64_t>> queued_;
    };

    ~LocalWatcher() override { unregister(); }

    base::Task<WatchUpdate> next() override {
        auto self = shared_from_this();
        while (queue_.empty() && !cancelled_) {
            auto start = [self](base::UniqueFunction<void(int)> resolve) {
                self->wake_ = std::move(resolve);
            };
            co_await base::suspend<int>(std::move(start));
        }
        if (queue_.empty()) co_return base::cancelled("the watch was cancelled");
        WatchUpdate update = std::move(queue_.front());
        queue_.pop_front();
        const auto n = static_cast<std::int64_t>(update.events.size());
        const auto before = queued_->fetch_sub(n);
        // It was over the limit and is below half of it now: the store may go on.
        if (before >= kMaxQueuedEvents / 2 && before - n < kMaxQueuedEvents / 2)
            store_.post([&node = node_] { node.pump(); });
        if (update.compacted) co_return errors::compacted();
        co_return update;
    }

    void cancel() override {
        cancelled_ = true;
        unregister();
        wake();
    }

    std::int64_t created_revision() const override { return created_revision_; }

    void push(WatchUpdate update) {
        if (cancelled_) return;
        queue_.push_back(std::move(update));
        wake();
    }

    void registered(std::shared_ptr<Sink> sink, std::int64_t revision) {
        sink_ = std::move(sink);
        created_revision_ = revision;
    }

  private:
    void wake() {
        if (wake_) std::exchange(wake_, nullptr)(0);
    }
    void unregister() {
        if (!sink_) return;
        store_.post([sink = std::move(sink_), &node = node_] { node.hub().remove(sink->id); });
        sink_.reset();
    }

    base::Loop& home_;
    base::Loop& store_;
    Node& node_;
    std::shared_ptr<Sink> sink_;
    std::shared_ptr<std::atomic<std::int64_t>> queued_ =
        std::make_shared<std::atomic<std::int64_t>>(0);
    std::deque<WatchUpdate> queue_;
    base::UniqueFunction<void(int)> wake_;
    std::int64_t created_revision_ = 0;
    bool cancelled_ = false;
};

class LocalClient final : public Client {
  public:
    LocalClient(base::Loop& home, base::Loop& store, Node& node)
        : home_(home), store_(store), node_(node) {}

    base::Task<pb::RangeResponse> range(pb::RangeRequest r) override {
        return call(&Node::range, std::move(r));
    }
    base::Task<pb::PutResponse> put(pb::PutRequest r) override {
        return call(&Node::put, std::move(r));
    }
    base::Task<pb::DeleteRangeResponse> delete_range(pb::DeleteRangeRequest r) override {
        return call(&Node::delete_range, std::move(r));
    }
    base::Task<pb::TxnResponse> txn(pb::TxnRequest r) override {
        return call(&Node::txn, std::move(r));
    }
    base::Task<pb::CompactionResponse> compact(pb::CompactionRequest r) override {
        return call(&Node::compact, std::move(r));
    }
    base::Task<pb::LeaseGrantResponse> lease_grant(pb::LeaseGrantRequest r) override {
        return call(&Node::lease_grant, std::move(r));
    }
    base::Task<pb::LeaseRevokeResponse> lease_revoke(pb::LeaseRevokeRequest r) override {
        return call(&Node::lease_revoke, std::move(r));
    }
    base::Task<pb::LeaseKeepAliveResponse> lease_keep_alive(std::int64_t id) override {
        return call(&Node::lease_keep_alive, id);
    }
    base::Task<pb::StatusResponse> status() override {
        auto start = [&store = store_,
                      &node = node_](base::UniqueFunction<void(pb::StatusResponse)> resolve) {
            store.post([&node, r = std::move(resolve)]() mutable { r(node.status()); });
        };
        co_return co_await base::suspend<pb::StatusResponse>(std::move(start));
    }

    base::Task<std::shared_ptr<Watcher>> watch(WatchOptions options) override {
        auto watcher = std::make_shared<LocalWatcher>(home_, store_, node_);
        auto sink = std::make_shared<LocalWatcher::Sink>(watcher);
        WatchHub::Request request;
        request.key = std::move(options.key);
        request.range_end = std::move(options.range_end);
        request.start_revision = options.start_revision;
        request.previous = options.previous;
        const bool progress = options.progress;
        auto start = [&store = store_, &node = node_, request, sink, progress,
                      this](base::UniqueFunction<void(std::int64_t)> resolve) {
            store.post([&node, request, sink, progress, this, r = std::move(resolve)]() mutable {
                sink->id = node.hub().add(request, sink.get());
                if (progress) progress_.push_back(sink);
                const auto revision = node.store().revision();
                if (!node.hub().synced(sink->id)) node.pump();
                r(revision);
            });
        };
        const std::int64_t revision = co_await base::suspend<std::int64_t>(std::move(start));
        watcher->registered(sink, revision);
        co_return std::shared_ptr<Watcher>(std::move(watcher));
    }

    void request_progress() override {
        store_.post([this] {
            std::erase_if(progress_, [](const auto& weak) { return weak.expired(); });
            node_.hub().settle();
            for (const auto& weak : progress_) {
                auto sink = weak.lock();
                if (node_.hub().synced(sink->id)) sink->progress(node_.store().revision());
            }
        });
    }

  private:
    template <class Request, class T>
    using WithCaller = void (Node::*)(Request, Done<T>, Caller);

    template <class Method, class Request, class T>
    static base::Task<T> call_on(base::Loop* store, Node* node, Method method, Request request) {
        auto start = [store, node, method, request = std::move(request)](
                         base::UniqueFunction<void(base::Result<T>)> resolve) mutable {
            store->post(
                [node, method, request = std::move(request), r = std::move(resolve)]() mutable {
                    if constexpr (std::is_same_v<Method, WithCaller<Request, T>>)
                        (node->*method)(std::move(request), std::move(r), Caller());  // trusted
                    else
                        (node->*method)(std::move(request), std::move(r));
                });
        };
        co_return co_await base::suspend<base::Result<T>>(std::move(start));
    }
    template <class Request, class T>
    base::Task<T> call(WithCaller<Request, T> method, Request request) {
        return call_on<WithCaller<Request, T>, Request, T>(&store_, &node_, method,
                                                           std::move(request));
    }
    template <class Request, class T>
    base::Task<T> call(void (Node::*method)(Request, Done<T>), Request request) {
        return call_on<void (Node::*)(Request, Done<T>), Request, T>(&store_, &node_, method,
                                                                     std::move(request));
    }

    base::Loop& home_;
    base::Loop& store_;
    Node& node_;
    std::vector<std::weak_ptr<LocalWatcher::Sink>> progress_;  // the store's loop only
};

}  // namespace

std::shared_ptr<Client> make_local_client(base::Loop& home, base::Loop& store, Node& node) {
    return std::make_shared<LocalClient>(home, store, node);
}

}  // namespace kvstore
