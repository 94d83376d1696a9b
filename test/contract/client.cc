#include "test/contract/client.h"

#include <condition_variable>
#include <deque>
#include <future>
#include <map>
#include <mutex>

#include "net/client.h"

namespace contract {
namespace {

constexpr base::Millis kDeadline{10'000};

// The loop runs for as long as the process does.
base::Loop& loop() {
    static base::Loop* const made = [] {
        auto* l = new base::Loop("client");
        l->start();
        return l;
    }();
    return *made;
}

std::string& endpoint() {
    static auto* const in_use = [] {
        const char* text = std::getenv("COXSWAIN_ENDPOINT");
        CHECK(text != nullptr, "COXSWAIN_ENDPOINT=HOST:PORT is not set");
        return new std::string(text);
    }();
    return *in_use;
}

net::Headers& metadata() {
    static auto* const in_use = new net::Headers;
    return *in_use;
}

std::shared_ptr<net::GrpcChannel> channel() {
    static auto* const made = new std::map<std::string, std::shared_ptr<net::GrpcChannel>>;
    auto& out = (*made)[endpoint()];
    if (out) return out;
    net::GrpcChannelOptions options;
    options.endpoints = {net::Endpoint::parse(endpoint()).value()};
    loop().run_and_wait(
        [&] { out = std::make_shared<net::GrpcChannel>(loop(), std::move(options)); });
    return out;
}

}  // namespace

void use(const std::string& other, const std::string& token) {
    endpoint() = other;
    metadata() = {};
    if (!token.empty()) metadata().add("token", token);
}

bool is_reference() {
    return std::getenv("COXSWAIN_REFERENCE") != nullptr;
}

std::future<base::Result<std::string>> call_later(const std::string& path,
                                                  const std::string& request) {
    auto done = std::make_shared<std::promise<base::Result<std::string>>>();
    auto answer = done->get_future();
    auto c = channel();
    loop().post([c, path, request, done, m = metadata()] {
        c->call_async(path, request, kDeadline, m, [done](base::Result<std::string> result) {
            done->set_value(std::move(result));
        });
    });
    return answer;
}

base::Result<std::string> call_bytes(const std::string& path, const std::string& request) {
    return call_later(path, request).get();
}

struct Stream::Impl {
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<std::string> messages;
    std::optional<base::Status> ended;
    std::shared_ptr<net::GrpcClientStream> stream;

    static base::Awaitable<void> run(std::shared_ptr<Impl> self,
                                     std::shared_ptr<net::GrpcChannel> channel, std::string path,
                                     net::Headers metadata,
                                     std::shared_ptr<std::promise<void>> opened) {
        auto stream = co_await channel->open(std::move(path), kDeadline, std::move(metadata));
        if (stream) self->stream = *stream;
        opened->set_value();
        while (stream) {
            auto message = co_await (*stream)->read();
            const std::lock_guard lock(self->mutex);
            if (message && *message) {
                self->messages.push_back(std::move(**message));
            } else {
                self->ended = message ? base::Status() : base::Status(message.error());
                self->changed.notify_all();
                co_return;
            }
            self->changed.notify_all();
        }
    }
};

Stream::Stream(const std::string& path) : impl_(std::make_shared<Impl>()) {
    auto opened = std::make_shared<std::promise<void>>();
    auto future = opened->get_future();
    auto c = channel();
    loop().post([impl = impl_, c, path, opened, m = metadata()] {
        boost::asio::co_spawn(loop().context(), Impl::run(impl, c, path, m, opened),
                              [](const std::exception_ptr&) {});
    });
    future.get();
    EXPECT_NE(impl_->stream, nullptr) << "the stream does not open";
}

Stream::~Stream() {
    loop().run_and_wait([this] {
        if (impl_->stream) impl_->stream->cancel();
        impl_->stream.reset();
    });
}

void Stream::send(const google::protobuf::Message& message) {
    loop().run_and_wait([&] { EXPECT_TRUE(impl_->stream->write(message.SerializeAsString())); });
}

std::optional<std::string> Stream::next(int wait_ms) {
    std::unique_lock lock(impl_->mutex);
    impl_->changed.wait_for(lock, std::chrono::milliseconds(wait_ms),
                            [this] { return !impl_->messages.empty() || impl_->ended; });
    if (impl_->messages.empty()) return std::nullopt;
    std::string out = std::move(impl_->messages.front());
    impl_->messages.pop_front();
    return out;
}

base::Result<std::vector<std::string>> call_stream(const std::string& path,
                                                   const std::string& request) {
    auto done = std::make_shared<std::promise<base::Result<std::vector<std::string>>>>();
    auto future = done->get_future();
    struct Run {
        static base::Awaitable<void> all(std::shared_ptr<net::GrpcChannel> c, std::string path,
                                         std::string request, decltype(done) done) {
            std::vector<std::string> out;
            auto stream = co_await c->open(std::move(path), kDeadline);
            if (!stream) co_return done->set_value(stream.error());
            if (auto sent = (*stream)->write(request); !sent)
                co_return done->set_value(sent.error());
            (*stream)->half_close();
            for (;;) {
                auto message = co_await (*stream)->read();
                if (!message) co_return done->set_value(message.error());
                if (!*message) co_return done->set_value(std::move(out));
                out.push_back(std::move(**message));
            }
        }
    };
    auto c = channel();
    loop().post([c, path, request, done] {
        boost::asio::co_spawn(loop().context(), Run::all(c, path, request, done),
                              [](const std::exception_ptr&) {});
    });
    return future.get();
}

void WatchStream::create(const pb::WatchCreateRequest& request) {
    pb::WatchRequest out;
    *out.mutable_create_request() = request;
    stream_.send(out);
}

void WatchStream::create(const std::string& key, const std::string& end, std::int64_t revision,
                         bool previous) {
    pb::WatchCreateRequest request;
    request.set_key(key);
    request.set_range_end(end);
    request.set_start_revision(revision);
    request.set_prev_kv(previous);
    create(request);
}

void WatchStream::cancel(std::int64_t id) {
    pb::WatchRequest out;
    out.mutable_cancel_request()->set_watch_id(id);
    stream_.send(out);
}

void WatchStream::ask_for_progress() {
    pb::WatchRequest out;
    out.mutable_progress_request();
    stream_.send(out);
}

pb::WatchResponse WatchStream::next(int wait_ms) {
    pb::WatchResponse out;
    const auto bytes = stream_.next(wait_ms);
    EXPECT_TRUE(bytes.has_value()) << "nothing comes on the watch stream";
    EXPECT_TRUE(out.ParseFromString(bytes.value_or("")));
    return out;
}

bool WatchStream::silent(int wait_ms) {
    return !stream_.next(wait_ms).has_value();
}

ContractTest::ContractTest()
    : prefix_(std::string("contract/") +
              testing::UnitTest::GetInstance()->current_test_info()->name() + "/") {}

std::string ContractTest::end() const {
    std::string out = prefix_;
    ++out.back();
    return out;
}

std::int64_t ContractTest::put(const std::string& name, const std::string& value,
                               std::int64_t lease) {
    pb::PutRequest request;
    request.set_key(key(name));
    request.set_value(value);
    request.set_lease(lease);
    const auto out = call<pb::PutResponse>("KV/Put", request);
    EXPECT_EQ(error_of(out), "OK");
    return out ? out->header().revision() : 0;
}

pb::DeleteRangeResponse ContractTest::remove(const std::string& name, const std::string& end_name) {
    pb::DeleteRangeRequest request;
    request.set_key(key(name));
    if (!end_name.empty()) request.set_range_end(key(end_name));
    const auto out = call<pb::DeleteRangeResponse>("KV/DeleteRange", request);
    EXPECT_EQ(error_of(out), "OK");
    return out ? *out : pb::DeleteRangeResponse();
}

base::Result<pb::RangeResponse> ContractTest::range(const pb::RangeRequest& request) const {
    return call<pb::RangeResponse>("KV/Range", request);
}

pb::RangeRequest ContractTest::all() const {
    pb::RangeRequest out;
    out.set_key(prefix_);
    out.set_range_end(end());
    return out;
}

std::string ContractTest::show(const pb::RangeRequest& request) const {
    const auto answer = range(request);
    if (!answer) return error_of(answer);
    std::string out;
    for (const auto& kv : answer->kvs())
        out += (out.empty() ? "" : " ") + kv.key().substr(prefix_.size()) + "=" + kv.value();
    return out;
}

std::int64_t ContractTest::revision() const {
    const auto answer = range(all());
    return answer ? answer->header().revision() : 0;
}

void ContractTest::compact(std::int64_t revision) {
    pb::CompactionRequest request;
    request.set_revision(revision);
    request.set_physical(true);
    EXPECT_EQ(error_of(call<pb::CompactionResponse>("KV/Compact", request)), "OK");
}

std::string ContractTest::names(const pb::WatchResponse& response) const {
    std::string out;
    for (const auto& e : response.events())
        out += (out.empty() ? "" : " ") + std::string(e.type() == mvccpb::Event::PUT ? "+" : "-") +
               e.kv().key().substr(std::min(prefix_.size(), e.kv().key().size()));
    return out;
}

pb::Compare compare(const std::string& key, pb::Compare::CompareTarget target,
                    pb::Compare::CompareResult result, std::int64_t number) {
    pb::Compare out;
    out.set_key(key);
    out.set_target(target);
    out.set_result(result);
    switch (target) {
        case pb::Compare::VERSION:
            out.set_version(number);
            break;
        case pb::Compare::CREATE:
            out.set_create_revision(number);
            break;
        case pb::Compare::LEASE:
            out.set_lease(number);
            break;
        default:
            out.set_mod_revision(number);
    }
    return out;
}

}  // namespace contract
