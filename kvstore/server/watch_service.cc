// etcdserverpb.Watch: any number of watches on one stream.

#include <boost/asio/co_spawn.hpp>
#include <boost/unordered/unordered_flat_map.hpp>

#include "base/bytes.h"
#include "base/log.h"
#include "kvstore/errors.h"
#include "kvstore/mvcc/schema.h"
#include "kvstore/node.h"
#include "kvstore/server/etcd_service.h"
#include "kvstore/server/grpc_methods.h"
#include "kvstore/server/store_metrics.h"

namespace kvstore {

namespace pb = etcdserverpb;

namespace {

// More unsent than this, and the stream's watchers fall behind and read on from history later.
constexpr std::size_t kHighWater = 1 << 20;
constexpr std::size_t kLowWater = 256 << 10;
// What one response may hold of a watch that allows fragments.
constexpr std::size_t kFragmentBytes = 1536 << 10;
constexpr std::size_t kShareBytes = 4 << 10;
constexpr std::size_t kFlushBytes = 64 << 10;

// Field numbers of etcdserverpb.WatchResponse and mvccpb.Event as wire tags.
constexpr char kHeaderTag = 1 << 3 | 2;
constexpr char kWatchIdTag = 2 << 3;
constexpr char kFragmentTag = 7 << 3;
constexpr char kEventsTag = 11 << 3 | 2;
constexpr char kTypeTag = 1 << 3;
constexpr char kKvTag = 2 << 3 | 2;
constexpr char kPrevKvTag = 3 << 3 | 2;

void append_field(std::string* out, char tag, std::string_view bytes) {
    out->push_back(tag);
    base::append_varint(out, bytes.size());
    out->append(bytes);
}

// An mvccpb.Event from what is stored, without a message object.
void append_event(std::string* out, const Event& event, bool previous) {
    std::string body;
    body.reserve(event.record.size() + (previous ? event.previous.size() : 0) + 16);
    if (event.is_delete) {
        body.push_back(kTypeTag);
        body.push_back(1);
    }
    append_field(&body, kKvTag, event.record);
    if (previous && !event.previous.empty()) append_field(&body, kPrevKvTag, event.previous);
    append_field(out, kEventsTag, body);
}

// One stream for as long as it is open.
struct Counted {
    Counted() { StoreMetrics::count_watch_stream(1); }
    ~Counted() { StoreMetrics::count_watch_stream(-1); }
    Counted(const Counted&) = delete;
    Counted& operator=(const Counted&) = delete;
};

class WatchSession final : public WatchSink, public std::enable_shared_from_this<WatchSession> {
  public:
    WatchSession(base::Loop& loop, Node& node, std::shared_ptr<Gate> gate,
                 std::shared_ptr<net::GrpcStream> stream, EtcdServiceOptions options)
        : loop_(loop),
          node_(node),
          gate_(std::move(gate)),
          stream_(std::move(stream)),
          options_(std::move(options)),
          leader_check_(loop),
          progress_(loop) {}

    // All of the session's life; on the store loop.
    static base::Awaitable<void> run(std::shared_ptr<WatchSession> self) {
        self->start_timers();
        for (;;) {
            auto message = co_await self->stream_->read();
            if (!message) {
                self->close();
                co_return self->stream_->finish(message.error());
            }
            if (!*message) break;
            pb::WatchRequest request;
            if (!request.ParseFromString(**message)) {
                self->close();
                co_return self->stream_->finish(
                    base::invalid_argument("the request's message cannot be read"));
            }
            if (request.has_create_request()) {
                // For each watch anew: tokens expire, and roles change while a stream is open.
                auto caller = co_await self->gate_->caller(self->stream_);
                self->create(request.create_request(), caller);
            }
            self->handle(request);
        }
        co_await wait_until_closed(self);
        self->close();
        self->stream_->finish();
    }

    bool ready() const override { return stream_->queued_bytes() + buffer_.size() < kHighWater; }

    void deliver(std::int64_t id, const WatchBatchPtr& batch) override {
        auto it = watches_.find(id);
        if (it == watches_.end()) return;
        Watch& watch = it->second;
        watch.told_since_tick = true;
        if (watch.fragment) {
            send_fragments(id, *batch, watch.previous);
        } else {
            auto& encoded = batch->encoded[watch.previous ? 1 : 0];
            if (!encoded) {
                std::string events;
                for (const Event* event : batch->events)
                    append_event(&events, *event, watch.previous);
                encoded = net::share(std::move(events));
            }
            send_events(id, batch->revision, encoded, false);
        }
        if (!ready()) wait_until_drained();
    }

    void compacted(std::int64_t id, std::int64_t revision) override {
        if (watches_.erase(id) == 0) return;
        pb::WatchResponse response;
        node_.fill_header(response.mutable_header());
        response.set_watch_id(id);
        response.set_canceled(true);
        response.set_compact_revision(revision);
        send(response);
    }

  private:
    struct Watch {
        std::int64_t hub_id = 0;
        bool previous = false;
        bool fragment = false;
        bool progress = false;
        bool told_since_tick = true;
    };

    void start_timers() {
        if (!stream_->metadata("hasleader").empty()) {
            leader_check_.every(base::Millis(500), [this] {
                if (node_.replica().leader() != raft::kNobody)
                    return static_cast<void>(leaderless_ = base::Millis(0));
                leaderless_ += base::Millis(500);
                if (leaderless_ < options_.leader_patience) return;
                close();
                stream_->finish(errors::no_leader());
            });
        }
        progress_.every(options_.progress_interval, [this] {
            node_.hub().settle();
            for (auto& [id, watch] : watches_) {
                if (watch.progress && !watch.told_since_tick && node_.hub().synced(watch.hub_id))
                    send_progress(id);
                watch.told_since_tick = false;
            }
        });
    }

    void close() {
        flush();
        leader_check_.cancel();
        progress_.cancel();
        for (const auto& [id, watch] : watches_)
            node_.hub().remove(watch.hub_id);
        watches_.clear();
        ended_ = true;
        wake();
    }

    void handle(const pb::WatchRequest& request) {
        if (request.has_cancel_request()) cancel(request.cancel_request().watch_id());
        if (request.has_progress_request()) {
            // Only when it holds for all of the stream's watches; silence otherwise.
            node_.hub().settle();
            for (const auto& [id, watch] : watches_)
                if (!node_.hub().synced(watch.hub_id)) return;
            send_progress(-1);
        }
    }

    // Nothing, or the reason why not, in the words that etcd's clients look for. The key and the
    // end are the request's own: a "\0" as the end means everything above, and is checked as that.
    std::string refusal(const pb::WatchCreateRequest& request,
                        const base::Result<Caller>& caller) const {
        const std::string key = request.key().empty() ? std::string(1, '\0') : request.key();
        const auto may = caller ? node_.machine().auth().may_read(*caller, key, request.range_end())
                                : base::Status(caller.error());
        if (may) return {};
        return "rpc error: code = " + std::string(base::code_name(may.error().code)) +
               " desc = " + may.error().message;
    }

    void create(const pb::WatchCreateRequest& request, const base::Result<Caller>& caller) {
        pb::WatchResponse response;
        response.set_created(true);
        std::int64_t id = request.watch_id();
        std::string refused = refusal(request, caller);
        if (request.start_revision() < 0)
            refused = "etcdserver: mvcc: required revision is a future revision";
        const std::string key = request.key().empty() ? std::string(1, '\0') : request.key();
        if (refused.empty() && schema::KeyInterval::of(key, request.range_end()).empty())
            refused = "mvcc: watcher range is empty";
        if (id != 0 && watches_.contains(id))
            refused = "mvcc: duplicate watch ID provided on the WatchStream";
        if (!refused.empty()) {
            node_.fill_header(response.mutable_header());
            response.set_watch_id(-1);
            response.set_canceled(true);
            response.set_cancel_reason(refused);
            return send(response);
        }
        if (id == 0) {
            while (watches_.contains(next_id_))
                ++next_id_;
            id = next_id_++;
        }
        WatchHub::Request watch;
        watch.key = key;
        watch.range_end = request.range_end();
        watch.start_revision = request.start_revision();
        watch.previous = request.prev_kv();
        watch.tag = id;
        for (const int filter : request.filters()) {
            watch.no_put = watch.no_put || filter == pb::WatchCreateRequest::NOPUT;
            watch.no_delete = watch.no_delete || filter == pb::WatchCreateRequest::NODELETE;
        }
        node_.fill_header(response.mutable_header());
        response.set_watch_id(id);
        send(response);
        Watch& entry = watches_[id];
        entry.previous = request.prev_kv();
        entry.fragment = request.fragment();
        entry.progress = request.progress_notify();
        entry.hub_id = node_.hub().add(watch, this);
        if (!node_.hub().synced(entry.hub_id)) node_.pump();
    }

    void cancel(std::int64_t id) {
        auto it = watches_.find(id);
        if (it == watches_.end()) return;
        node_.hub().remove(it->second.hub_id);
        watches_.erase(it);
        pb::WatchResponse response;
        node_.fill_header(response.mutable_header());
        response.set_watch_id(id);
        response.set_canceled(true);
        send(response);
    }

    void send_progress(std::int64_t id) {
        pb::WatchResponse response;
        node_.fill_header(response.mutable_header());
        response.set_watch_id(id);
        send(response);
    }

    // Only a watch that asked for it gets a revision in more than one piece.
    void send_fragments(std::int64_t id, const WatchBatch& batch, bool previous) {
        std::string events;
        for (const Event* event : batch.events) {
            if (events.size() >= kFragmentBytes)
                send_events(id, batch.revision, net::share(std::exchange(events, {})), true);
            append_event(&events, *event, previous);
        }
        send_events(id, batch.revision, net::share(std::move(events)), false);
    }

    // The serialized header of answers with events of this revision; the same for many of them.
    const std::string& header_of(std::int64_t revision) {
        const std::uint64_t term = node_.replica().term().value();
        if (header_revision_ != revision || header_term_ != term) {
            pb::ResponseHeader header;
            header.set_revision(revision);
            node_.fill_header(&header);
            header_ = header.SerializeAsString();
            header_revision_ = revision;
            header_term_ = term;
        }
        return header_;
    }

    void send_events(std::int64_t id, std::int64_t revision, const net::SharedBytes& events,
                     bool fragment) {
        const std::size_t begin = buffer_.size();
        buffer_.append(net::kGrpcPrefix, '\0');
        append_field(&buffer_, kHeaderTag, header_of(revision));
        if (id != 0) {
            buffer_.push_back(kWatchIdTag);
            base::append_varint(&buffer_, static_cast<std::uint64_t>(id));
        }
        if (fragment) buffer_.append({kFragmentTag, 1});
        net::grpc_write_prefix(&buffer_[begin],
                               buffer_.size() - begin - net::kGrpcPrefix + events->size());
        // Copying what is small costs less than sharing it.
        if (events->size() < kShareBytes) {
            buffer_ += *events;
            return flush_later();
        }
        flush();
        write(events);
    }

    void send(const pb::WatchResponse& response) {
        const std::size_t begin = buffer_.size();
        buffer_.append(net::kGrpcPrefix, '\0');
        response.AppendToString(&buffer_);
        net::grpc_write_prefix(&buffer_[begin], buffer_.size() - begin - net::kGrpcPrefix);
        flush_later();
    }

    // Answers of one turn of the loop leave together.
    void flush_later() {
        if (buffer_.size() >= kFlushBytes) return flush();
        if (std::exchange(flush_posted_, true)) return;
        loop_.post([self = shared_from_this()] {
            self->flush_posted_ = false;
            self->flush();
        });
    }

    void flush() {
        if (buffer_.empty()) return;
        write(net::share(std::exchange(buffer_, {})));
    }

    void write(net::SharedBytes bytes) {
        if (auto sent = stream_->write_frame(std::move(bytes)); !sent && !stream_->closed()) {
            LOG_INFO("kvstore", "a watch stream is cut off: {}", sent.error().message);
            // Not from inside the hub's walk over its watchers.
            loop_.post([self = shared_from_this(), error = sent.error()] {
                self->close();
                self->stream_->finish(error);
            });
        }
    }

    void wait_until_drained() {
        if (std::exchange(waiting_, true)) return;
        boost::asio::co_spawn(loop_.context(), drain(shared_from_this()),
                              [](std::exception_ptr) {});
    }

    // A client that sends no more still gets its events until it goes.
    static base::Awaitable<void> wait_until_closed(std::shared_ptr<WatchSession> self) {
        if (self->ended_) co_return;
        auto start = [self](base::UniqueFunction<void(int)> resolve) {
            self->wake_ = std::move(resolve);
            self->stream_->on_close([weak = self->weak_from_this()] {
                if (auto live = weak.lock()) live->wake();
            });
        };
        co_await base::suspend<int>(std::move(start));
    }
    void wake() {
        if (wake_) std::exchange(wake_, nullptr)(0);
    }

    static base::Awaitable<void> drain(std::shared_ptr<WatchSession> self) {
        auto drained = co_await self->stream_->drained(kLowWater);
        self->waiting_ = false;
        if (drained) self->node_.pump();
    }

    Counted counted_;
    base::Loop& loop_;
    Node& node_;
    std::shared_ptr<Gate> gate_;
    std::shared_ptr<net::GrpcStream> stream_;
    EtcdServiceOptions options_;
    base::Timer leader_check_;
    base::Timer progress_;
    base::Millis leaderless_{0};
    boost::unordered_flat_map<std::int64_t, Watch> watches_;
    std::string buffer_;  // answers of this turn of the loop
    bool flush_posted_ = false;
    std::string header_;
    std::int64_t header_revision_ = 0;
    std::uint64_t header_term_ = 0;
    std::int64_t next_id_ = 0;
    bool waiting_ = false;
    bool ended_ = false;
    base::UniqueFunction<void(int)> wake_;
};

}  // namespace

void add_watch_service(base::Loop& loop, GatedService& service, Node& node,
                       const EtcdServiceOptions& options) {
    service.streaming("/etcdserverpb.Watch/Watch", [&loop, &node, gate = service.gate, options](
                                                       std::shared_ptr<net::GrpcStream> stream) {
        return WatchSession::run(
            std::make_shared<WatchSession>(loop, node, gate, std::move(stream), options));
    });
}

}  // namespace kvstore
