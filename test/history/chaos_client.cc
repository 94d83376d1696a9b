// Clients of an etcd v3 store that remember everything: what they asked and were answered, and what
// their watches were sent. Meanwhile somebody else breaks things. At the end the whole history is
// read from the store and all of it is judged: linearizable, no acknowledged write lost, revisions
// in order, the nine guarantees of watches.
//
//   chaos_client --endpoint 127.0.0.1:2379 --endpoint … --seconds 10 [--clients 8] [--watchers 12]
//                [--keys 5] [--seed N]
//                [--dump FILE] [--no-progress]
//
// Ends with 0 and one JSON line of counts, or with 1 and what is wrong. Prints "running" once the
// clients have begun; the faults are to have ended when the seconds are over.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>

#include "base/random.h"
#include "kvstore/proto/rpc.pb.h"
#include "net/client.h"
#include "test/history/watch_validator.h"
#include "test/support/linearizable.h"

namespace {

namespace pb = etcdserverpb;
namespace wv = watch_validator;
using linearizable::Kind;
using linearizable::Operation;
using std::chrono::steady_clock;
using Channel = std::shared_ptr<net::GrpcChannel>;

constexpr base::Millis kDeadline{3000};
constexpr std::string_view kPrefix = "chaos/";
constexpr std::string_view kPrefixEnd = "chaos0";

struct Options {
    std::vector<std::string> endpoints;
    int seconds = 10;
    int clients = 8;
    int watchers = 12;
    std::uint64_t keys = 5;
    std::uint64_t seed = 1;
    std::string dump;
    bool progress = true;
};

struct State {
    const Options* options = nullptr;
    base::Loop* loop = nullptr;
    steady_clock::time_point began = steady_clock::now();
    bool stopped = false;  // clients
    bool ended = false;    // watchers
    std::int64_t first_revision = 0;
    std::vector<Operation> operations;
    std::vector<std::unique_ptr<wv::Watch>> watches;
    std::uint64_t next_value = 0;

    std::uint64_t now_us() const {
        return static_cast<std::uint64_t>(
            std::chrono::duration_cast<std::chrono::microseconds>(steady_clock::now() - began)
                .count());
    }
};

[[noreturn]] void give_up(const std::string& why) {
    std::cerr << "chaos_client: " << why << std::endl;
    std::_Exit(1);
}

Channel channel_to(const State& state, std::size_t first) {
    net::GrpcChannelOptions options;
    const auto& all = state.options->endpoints;
    for (std::size_t i = 0; i < all.size(); ++i) {
        const std::string& text = all[(first + i) % all.size()];
        const auto colon = text.rfind(':');
        if (colon == std::string::npos) give_up("--endpoint: " + text + " is not HOST:PORT");
        net::Endpoint e;
        e.host = text.substr(0, colon);
        e.port = static_cast<std::uint16_t>(std::stoi(text.substr(colon + 1)));
        options.endpoints.push_back(e);
    }
    options.backoff_max = base::Millis(200);
    options.ping_interval = base::Millis(1000);
    options.ping_timeout = base::Millis(1000);
    return std::make_shared<net::GrpcChannel>(*state.loop, std::move(options));
}

template <class Response, class Request>
base::Task<Response> call(Channel channel, std::string path, Request request) {
    std::string bytes = request.SerializeAsString();
    auto answer = co_await channel->call(std::move(path), std::move(bytes), kDeadline);
    if (!answer) co_return answer.error();
    Response response;
    if (!response.ParseFromString(*answer)) give_up("an answer that cannot be read");
    co_return response;
}

linearizable::Seen seen_of(const pb::RangeResponse& range) {
    linearizable::Seen seen;
    if (range.kvs_size() == 0) return seen;
    return {true, range.kvs(0).value(), range.kvs(0).mod_revision()};
}

// --- clients

base::Task<void> do_get(Channel channel, Operation* op) {
    pb::RangeRequest request;
    request.set_key(op->key);
    auto answer = co_await call<pb::RangeResponse>(channel, "/etcdserverpb.KV/Range", request);
    if (!answer) co_return answer.error();
    op->seen = seen_of(*answer);
    op->revision = answer->header().revision();
    co_return base::Status();
}

base::Task<void> do_put(Channel channel, Operation* op) {
    pb::PutRequest request;
    request.set_key(op->key);
    request.set_value(*op->value);
    auto answer = co_await call<pb::PutResponse>(channel, "/etcdserverpb.KV/Put", request);
    if (!answer) co_return answer.error();
    op->revision = answer->header().revision();
    co_return base::Status();
}

base::Task<void> do_delete(Channel channel, Operation* op) {
    pb::DeleteRangeRequest request;
    request.set_key(op->key);
    auto answer =
        co_await call<pb::DeleteRangeResponse>(channel, "/etcdserverpb.KV/DeleteRange", request);
    if (!answer) co_return answer.error();
    op->succeeded = answer->deleted() > 0;
    op->revision = answer->header().revision();
    co_return base::Status();
}

// As kube-apiserver writes: if the key is at this revision, put or delete, else read it.
base::Task<void> do_cas(Channel channel, Operation* op) {
    pb::TxnRequest request;
    auto* compare = request.add_compare();
    compare->set_key(op->key);
    compare->set_target(pb::Compare::MOD);
    compare->set_mod_revision(op->expected);
    if (op->value) {
        auto* put = request.add_success()->mutable_request_put();
        put->set_key(op->key);
        put->set_value(*op->value);
    } else {
        request.add_success()->mutable_request_delete_range()->set_key(op->key);
    }
    request.add_failure()->mutable_request_range()->set_key(op->key);
    auto answer = co_await call<pb::TxnResponse>(channel, "/etcdserverpb.KV/Txn", request);
    if (!answer) co_return answer.error();
    op->succeeded = answer->succeeded();
    op->revision = answer->header().revision();
    if (!op->succeeded) op->seen = seen_of(answer->responses(0).response_range());
    co_return base::Status();
}

base::Task<void> perform(Channel channel, Operation* op) {
    switch (op->kind) {
        case Kind::kGet:
            return do_get(channel, op);
        case Kind::kPut:
            return do_put(channel, op);
        case Kind::kDelete:
            return do_delete(channel, op);
        case Kind::kCas:
            return do_cas(channel, op);
    }
    give_up("no such operation");
}

base::Awaitable<void> client(State* state, std::size_t number) {
    Channel channel = channel_to(*state, number);
    base::Random random(state->options->seed * 1000 + number);
    std::map<std::string, std::int64_t> known;  // mod revisions last seen
    for (std::uint64_t process = number; !state->stopped;) {
        Operation op;
        op.process = process;
        op.key = fmt::format("{}{}", kPrefix, random.below(state->options->keys));
        const std::uint64_t what = random.below(10);
        op.kind = what < 4   ? Kind::kGet
                  : what < 6 ? Kind::kPut
                  : what < 7 ? Kind::kDelete
                             : Kind::kCas;
        if (op.kind == Kind::kCas) op.expected = known[op.key];
        // What is not there is not deleted.
        const bool deletes = op.kind == Kind::kDelete || (op.expected != 0 && random.chance(1, 6));
        if (op.kind != Kind::kGet && !deletes) op.value = std::to_string(++state->next_value);
        op.invoked_us = state->now_us();
        const base::Status done = co_await perform(channel, &op);
        if (done) {
            op.returned_us = state->now_us();
            if (op.seen) known[op.key] = op.seen->found ? op.seen->mod_revision : 0;
            if (op.kind != Kind::kGet && !op.seen) known[op.key] = op.value ? op.revision : 0;
            state->operations.push_back(std::move(op));
        } else {
            // What reads were not answered says nothing; what became of a write is unknown, and
            // its client begins anew under another number.
            if (op.kind != Kind::kGet) state->operations.push_back(std::move(op));
            process += 1000;
            channel->rotate();
            (void)co_await base::sleep_for(base::Millis(20));
        }
        if (random.chance(1, 50)) channel->rotate();
        (void)co_await base::sleep_for(base::Millis(random.below(4)));
    }
}

// --- watchers

wv::Record record_of(const mvccpb::KeyValue& kv) {
    return {kv.value(), kv.create_revision(), kv.mod_revision(), kv.version()};
}

wv::Response response_of(const pb::WatchResponse& r) {
    wv::Response out;
    out.revision = r.header().revision();
    out.fragment = r.fragment();
    for (const auto& e : r.events()) {
        wv::Event event;
        event.is_delete = e.type() == mvccpb::Event::DELETE;
        event.key = e.kv().key();
        event.record = record_of(e.kv());
        if (e.has_prev_kv()) event.previous = record_of(e.prev_kv());
        out.events.push_back(std::move(event));
    }
    return out;
}

pb::WatchRequest create_request(const wv::Watch& watch, std::int64_t id, bool progress) {
    pb::WatchRequest request;
    auto* create = request.mutable_create_request();
    create->set_key(watch.key);
    create->set_range_end(watch.range_end);
    create->set_start_revision(watch.start_revision);
    create->set_prev_kv(watch.previous);
    create->set_fragment(watch.fragment);
    create->set_progress_notify(progress);
    create->set_watch_id(id);
    if (watch.no_put) create->add_filters(pb::WatchCreateRequest::NOPUT);
    if (watch.no_delete) create->add_filters(pb::WatchCreateRequest::NODELETE);
    return request;
}

// Two watches on one stream, made again where they left off when it breaks.
class WatcherPair {
  public:
    WatcherPair(State& state, std::size_t number)
        : state_(state), number_(number), random_(state.options->seed * 7919 + number) {
        for (wv::Watch& w : shape_) {
            const bool all = random_.chance(2, 3);
            w.key = all ? std::string(kPrefix)
                        : fmt::format("{}{}", kPrefix, random_.below(state.options->keys));
            if (all) w.range_end = kPrefixEnd;
            w.no_put = random_.chance(1, 6);
            w.no_delete = !w.no_put && random_.chance(1, 6);
            w.previous = random_.chance(1, 2);
            w.fragment = random_.chance(1, 4);
            w.start_revision = state.first_revision + 1;
        }
    }

    static base::Awaitable<void> run(std::shared_ptr<WatcherPair> self) {
        Channel channel = channel_to(self->state_, self->number_);
        while (!self->state_.ended) {
            co_await self->one_stream(channel);
            channel->rotate();
            (void)co_await base::sleep_for(base::Millis(20));
        }
    }

  private:
    base::Awaitable<void> one_stream(Channel channel) {
        net::Headers metadata{{"hasleader", "true"}};
        auto opened =
            co_await channel->open("/etcdserverpb.Watch/Watch", kDeadline, std::move(metadata));
        if (!opened) co_return;
        stream_ = *opened;
        for (std::size_t i = 0; i < 2; ++i) {
            shape_[i].name =
                fmt::format("watcher {}.{} from {}", number_, i, shape_[i].start_revision);
            state_.watches.push_back(std::make_unique<wv::Watch>(shape_[i]));
            live_[i] = state_.watches.back().get();
            const auto id = static_cast<std::int64_t>(i) + 1;
            const bool progress = state_.options->progress && random_.chance(1, 2);
            const auto request = create_request(shape_[i], id, progress);
            if (!stream_->write(request.SerializeAsString())) co_return;
        }
        const auto until =
            steady_clock::now() + std::chrono::milliseconds(random_.between(500, 4000));
        while (!state_.ended && steady_clock::now() < until) {
            auto message = co_await stream_->read();
            if (!message || !*message) break;
            pb::WatchResponse response;
            if (!response.ParseFromString(**message)) give_up("a watch response cannot be read");
            if (response.canceled()) break;
            if (!response.created()) take(response);
            // Manual progress is for all of the stream's watches.
            if (state_.options->progress && random_.chance(1, 20)) {
                pb::WatchRequest ask;
                ask.mutable_progress_request();
                if (!stream_->write(ask.SerializeAsString())) break;
            }
        }
        stream_->cancel();
        stream_.reset();
    }

    void take(const pb::WatchResponse& response) {
        for (std::size_t i = 0; i < 2; ++i) {
            const auto id = static_cast<std::int64_t>(i) + 1;
            if (response.watch_id() != id && response.watch_id() != -1) continue;
            live_[i]->responses.push_back(response_of(response));
            if (!response.fragment())
                shape_[i].start_revision = std::max(shape_[i].start_revision, next_after(response));
        }
    }
    // Where to go on: behind the last event, or behind what progress promised.
    static std::int64_t next_after(const pb::WatchResponse& response) {
        if (response.events_size() == 0) return response.header().revision() + 1;
        return response.events(response.events_size() - 1).kv().mod_revision() + 1;
    }

    State& state_;
    std::size_t number_;
    base::Random random_;
    wv::Watch shape_[2];
    wv::Watch* live_[2] = {};
    std::shared_ptr<net::GrpcClientStream> stream_;
};

// --- the judgement

// Everything from the first revision on, read by one watch in peace.
base::Task<wv::History> whole_history(State* state, std::int64_t last) {
    wv::History history;
    Channel channel = channel_to(*state, 0);
    auto opened = co_await channel->open("/etcdserverpb.Watch/Watch", kDeadline);
    if (!opened) co_return opened.error();
    wv::Watch all;
    all.key = kPrefix;
    all.range_end = kPrefixEnd;
    all.start_revision = state->first_revision + 1;
    const auto request = create_request(all, 1, false);
    if (auto sent = (*opened)->write(request.SerializeAsString()); !sent) co_return sent.error();
    std::int64_t at = 0;
    while (at < last) {
        auto message = co_await (*opened)->read();
        if (!message) co_return message.error();
        pb::WatchResponse response;
        if (!*message || !response.ParseFromString(**message)) give_up("the last watch ended");
        for (const wv::Event& event : response_of(response).events) {
            if (const auto wrong = history.add(event)) give_up("not a history: " + *wrong);
            at = event.record.mod_revision;
        }
    }
    (*opened)->cancel();
    co_return history;
}

// Every write that was acknowledged happened where its answer said.
std::optional<std::string> lost_write(const State& state, const wv::History& history) {
    for (const Operation& op : state.operations) {
        if (op.kind == Kind::kGet || !op.returned_us) continue;
        if (op.kind != Kind::kPut && !op.succeeded) continue;
        const wv::Event* event = history.at(op.revision, op.key);
        const bool there = event != nullptr && event->is_delete != op.value.has_value() &&
                           (!op.value || event->record.value == *op.value);
        if (!there) return "an acknowledged write is lost: " + to_string(op);
    }
    return std::nullopt;
}

std::string counts(const State& state, const wv::History& history) {
    std::size_t unknown = 0;
    std::size_t responses = 0;
    for (const Operation& op : state.operations)
        if (!op.returned_us) ++unknown;
    for (const auto& w : state.watches)
        responses += w->responses.size();
    return fmt::format(
        R"({{"operations":{},"unknown":{},"changes":{},"watches":{},"watch_responses":{}}})",
        state.operations.size(), unknown, history.changes().size(), state.watches.size(),
        responses);
}

void judge(const State& state, const wv::History& history) {
    std::vector<std::string> faults;
    if (auto lost = lost_write(state, history)) faults.push_back(*lost);
    for (const auto& watch : state.watches)
        for (auto& fault : validate(*watch, history))
            faults.push_back(std::move(fault));
    if (auto wrong = linearizable::check_revisions(state.operations)) faults.push_back(*wrong);
    const auto outcome = linearizable::check(state.operations);
    if (outcome.verdict == linearizable::Verdict::kNotLinearizable)
        faults.push_back(
            fmt::format("not linearizable: key {}: {}", outcome.key, outcome.explanation));
    if (outcome.verdict == linearizable::Verdict::kUndecided)
        faults.push_back(fmt::format("undecided after {} steps: key {}; use more keys",
                                     outcome.steps, outcome.key));
    if (!faults.empty() && !state.options->dump.empty()) {
        std::ofstream out(state.options->dump);
        for (const Operation& op : state.operations)
            out << to_string(op) << '\n';
    }
    for (const std::string& fault : faults)
        std::cerr << fault << '\n';
    std::cout << counts(state, history) << std::endl;
    std::_Exit(faults.empty() ? 0 : 1);
}

base::Task<std::int64_t> write_mark(Channel channel, std::string key) {
    pb::PutRequest request;
    request.set_key(std::move(key));
    auto answer = co_await call<pb::PutResponse>(channel, "/etcdserverpb.KV/Put", request);
    if (!answer) co_return answer.error();
    co_return answer->header().revision();
}

base::Awaitable<void> everything(State* state) {
    Channel channel = channel_to(*state, 0);
    std::string first_key = "before";
    const auto began = co_await write_mark(channel, std::move(first_key));
    if (!began) give_up("the store does not answer: " + began.error().message);
    state->first_revision = *began;
    base::TaskGroup clients(*state->loop);
    base::TaskGroup watchers(*state->loop);
    for (int i = 0; i < state->options->clients; ++i)
        clients.spawn("client", client(state, static_cast<std::size_t>(i)));
    for (int i = 0; i < state->options->watchers / 2; ++i) {
        auto pair = std::make_shared<WatcherPair>(*state, static_cast<std::size_t>(i));
        watchers.spawn("watcher", WatcherPair::run(std::move(pair)));
    }
    std::cout << "running" << std::endl;
    (void)co_await base::sleep_for(std::chrono::seconds(state->options->seconds));
    state->stopped = true;
    while (clients.size() > 0)
        (void)co_await base::sleep_for(base::Millis(20));
    // The last write, so that watches and the history have an end to reach.
    base::Result<std::int64_t> last = base::unavailable("not asked");
    for (int i = 0; i < 40 && !last; ++i) {
        std::string last_key = std::string(kPrefix) + "end";
        last = co_await write_mark(channel, std::move(last_key));
        if (!last) (void)co_await base::sleep_for(base::Millis(250));
    }
    if (!last) give_up("the store does not answer at the end: " + last.error().message);
    (void)co_await base::sleep_for(std::chrono::seconds(1));
    state->ended = true;
    const auto history = co_await whole_history(state, *last);
    if (!history) give_up("the history cannot be read: " + history.error().message);
    judge(*state, *history);
}

}  // namespace

int main(int argc, char** argv) {
    Options options;
    CLI::App app("Clients that remember everything, and judge it");
    app.add_option("--endpoint", options.endpoints, "HOST:PORT, clear text")->required();
    app.add_option("--seconds", options.seconds)->check(CLI::PositiveNumber);
    app.add_option("--clients", options.clients)->check(CLI::PositiveNumber);
    app.add_option("--watchers", options.watchers)->check(CLI::PositiveNumber);
    app.add_option("--keys", options.keys)->check(CLI::PositiveNumber);
    app.add_option("--seed", options.seed);
    app.add_option("--dump", options.dump, "a file for all operations, should something be wrong");
    app.add_flag("--progress,!--no-progress", options.progress,
                 "ask for progress notifications; etcd before 3.4.25 sends them too early");
    CLI11_PARSE(app, argc, argv);
    base::Loop loop("chaos");
    State state;
    state.options = &options;
    state.loop = &loop;
    base::TaskGroup tasks(loop);
    tasks.spawn("everything", everything(&state));
    loop.run();
}
