#include "kvstore/remote_client.h"

#include <set>

#include "base/log.h"
#include "kvstore/errors.h"

namespace kvstore {

namespace pb = etcdserverpb;

namespace {

constexpr base::Millis kRetryPause{100};

std::shared_ptr<const Event> to_event(mvccpb::Event* from) {
    auto event = std::make_shared<Event>();
    event->is_delete = from->type() == mvccpb::Event::DELETE;
    event->record = from->kv().SerializeAsString();
    event->key = std::move(*from->mutable_kv()->mutable_key());
    if (from->has_prev_kv()) event->previous = from->prev_kv().SerializeAsString();
    return event;
}

class RemoteWatcher final : public Watcher {
  public:
    RemoteWatcher(std::shared_ptr<net::GrpcClientStream> stream, std::int64_t created)
        : stream_(std::move(stream)), created_(created) {}
    ~RemoteWatcher() override { stream_->cancel(); }

    base::Task<WatchUpdate> next() override {
        auto stream = stream_;
        CO_TRY(auto message, co_await stream->read());
        if (!message) co_return base::unavailable("the store ended the watch");
        pb::WatchResponse response;
        if (!response.ParseFromString(*message))
            co_return base::internal_error("the store's watch response cannot be read");
        if (response.compact_revision() > 0) co_return errors::compacted();
        if (response.canceled())
            co_return base::unavailable("the store cancelled the watch: " +
                                        response.cancel_reason());
        WatchUpdate update;
        update.revision = response.header().revision();
        for (auto& event : *response.mutable_events())
            update.events.push_back(to_event(&event));
        // A response tells of its own revision's events; another may follow with the same one only
        // when fragmented, which is not asked for.
        co_return update;
    }
    void cancel() override { stream_->cancel(); }
    std::int64_t created_revision() const override { return created_; }

    void request_progress() {
        pb::WatchRequest request;
        request.mutable_progress_request();
        if (auto sent = stream_->write(request.SerializeAsString()); !sent)
            LOG_DEBUG("kvstore", "no progress request: {}", sent.error().message);
    }

  private:
    std::shared_ptr<net::GrpcClientStream> stream_;
    std::int64_t created_;
};

class RemoteClient final : public Client {
  public:
    RemoteClient(base::Loop& loop, RemoteClientOptions options)
        : timeout_(options.timeout), channel_(loop, channel_options(options)) {}

    base::Task<pb::RangeResponse> range(pb::RangeRequest r) override {
        return read<pb::RangeResponse>("/etcdserverpb.KV/Range", r.SerializeAsString());
    }
    base::Task<pb::PutResponse> put(pb::PutRequest r) override {
        return write<pb::PutResponse>("/etcdserverpb.KV/Put", r.SerializeAsString());
    }
    base::Task<pb::DeleteRangeResponse> delete_range(pb::DeleteRangeRequest r) override {
        return write<pb::DeleteRangeResponse>("/etcdserverpb.KV/DeleteRange",
                                              r.SerializeAsString());
    }
    base::Task<pb::TxnResponse> txn(pb::TxnRequest r) override {
        return write<pb::TxnResponse>("/etcdserverpb.KV/Txn", r.SerializeAsString());
    }
    base::Task<pb::CompactionResponse> compact(pb::CompactionRequest r) override {
        return write<pb::CompactionResponse>("/etcdserverpb.KV/Compact", r.SerializeAsString());
    }
    base::Task<pb::LeaseGrantResponse> lease_grant(pb::LeaseGrantRequest r) override {
        return write<pb::LeaseGrantResponse>("/etcdserverpb.Lease/LeaseGrant",
                                             r.SerializeAsString());
    }
    base::Task<pb::LeaseRevokeResponse> lease_revoke(pb::LeaseRevokeRequest r) override {
        return write<pb::LeaseRevokeResponse>("/etcdserverpb.Lease/LeaseRevoke",
                                              r.SerializeAsString());
    }
    base::Task<pb::StatusResponse> status() override {
        return read<pb::StatusResponse>("/etcdserverpb.Maintenance/Status", {});
    }

    base::Task<pb::LeaseKeepAliveResponse> lease_keep_alive(std::int64_t id) override {
        CO_TRY(auto stream, co_await channel_.open("/etcdserverpb.Lease/LeaseKeepAlive", timeout_));
        pb::LeaseKeepAliveRequest request;
        request.set_id(id);
        CO_TRY_VOID(stream->write(request.SerializeAsString()));
        stream->half_close();
        CO_TRY(auto message, co_await stream->read());
        pb::LeaseKeepAliveResponse response;
        if (!message || !response.ParseFromString(*message))
            co_return base::internal_error("the store's keep-alive response cannot be read");
        co_return response;
    }

    base::Task<std::shared_ptr<Watcher>> watch(WatchOptions options) override {
        net::Headers metadata{{"hasleader", "true"}};
        CO_TRY(auto stream,
               co_await channel_.open("/etcdserverpb.Watch/Watch", timeout_, std::move(metadata)));
        pb::WatchRequest request;
        auto* create = request.mutable_create_request();
        create->set_key(options.key);
        create->set_range_end(options.range_end);
        create->set_start_revision(options.start_revision);
        create->set_prev_kv(options.previous);
        create->set_progress_notify(options.progress);
        CO_TRY_VOID(stream->write(request.SerializeAsString()));
        CO_TRY(auto message, co_await stream->read());
        pb::WatchResponse created;
        if (!message || !created.ParseFromString(*message))
            co_return base::internal_error("the store's watch response cannot be read");
        if (created.compact_revision() > 0) co_return errors::compacted();
        if (!created.created() || created.canceled())
            co_return base::unavailable("the store refused the watch: " + created.cancel_reason());
        auto watcher =
            std::make_shared<RemoteWatcher>(std::move(stream), created.header().revision());
        if (options.progress) progress_.push_back(watcher);
        co_return std::shared_ptr<Watcher>(std::move(watcher));
    }

    void request_progress() override {
        std::erase_if(progress_, [](const auto& weak) { return weak.expired(); });
        for (const auto& weak : progress_)
            weak.lock()->request_progress();
    }

  private:
    static net::GrpcChannelOptions channel_options(const RemoteClientOptions& options) {
        net::GrpcChannelOptions out;
        out.endpoints = options.endpoints;
        out.tls = options.tls;
        return out;
    }

    template <class T>
    base::Task<T> once(std::string path, std::string message) {
        CO_TRY(std::string bytes,
               co_await channel_.call(std::move(path), std::move(message), timeout_));
        T response;
        if (!response.ParseFromString(bytes))
            co_return base::internal_error("the store's response cannot be read");
        co_return response;
    }

    // Until the deadline: a member without a leader, or one that stopped, is not the end.
    template <class T>
    base::Task<T> read(std::string path, std::string message) {
        const auto until = std::chrono::steady_clock::now() + timeout_;
        for (;;) {
            auto answer = co_await once<T>(path, message);
            if (answer || answer.error().code != base::Code::kUnavailable ||
                std::chrono::steady_clock::now() >= until)
                co_return answer;
            channel_.rotate();
            CO_TRY_VOID(co_await base::sleep_for(kRetryPause));
        }
    }

    template <class T>
    base::Task<T> write(std::string path, std::string message) {
        const auto until = std::chrono::steady_clock::now() + timeout_;
        for (;;) {
            auto answer = co_await once<T>(path, message);
            if (answer || net::maybe_processed(answer.error()) ||
                std::chrono::steady_clock::now() >= until)
                co_return answer;
            CO_TRY_VOID(co_await base::sleep_for(kRetryPause));
        }
    }

    base::Millis timeout_;
    net::GrpcChannel channel_;
    std::vector<std::weak_ptr<RemoteWatcher>> progress_;
};

}  // namespace

std::shared_ptr<Client> make_remote_client(base::Loop& loop, RemoteClientOptions options) {
    CHECK(!options.endpoints.empty());
    return std::make_shared<RemoteClient>(loop, std::move(options));
}

}  // namespace kvstore
