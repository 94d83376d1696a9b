// Load on an etcd v3 store that h2load cannot make: many keys, many watchers, the first write after
// a leader is gone. Prints one JSON object. Speaks the wire itself and looks into answers no
// further than it must, so that what is measured is the server.
//
//   etcd_load fill   --endpoint 127.0.0.1:2379 --keys 1000000 --value-bytes 256 [--prefix k/]
//   etcd_load read   --endpoint 127.0.0.1:2379 --keys 1000000 --reads 1000 [--prefix k/]
//   etcd_load watch  --endpoint 127.0.0.1:2379 --watchers 10000 --puts 50 [--in-flight 10]
//   etcd_load floors DIRECTORY
//   etcd_load first-write --endpoint 127.0.0.1:2379 --endpoint 127.0.0.1:22379

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <iostream>

#include "base/random.h"
#include "bench/floors.h"
#include "kvstore/proto/rpc.pb.h"
#include "net/client.h"

namespace {

namespace pb = etcdserverpb;
using Channel = std::shared_ptr<net::GrpcChannel>;

constexpr base::Millis kDeadline{60'000};
constexpr int kPutsInTxn = 100;
constexpr int kTxnsInFlight = 32;

struct Options {
    std::vector<std::string> endpoints;
    std::int64_t keys = 100'000;
    std::size_t value_bytes = 256;
    std::string prefix = "k/";
    std::int64_t from = 0;
    bool scattered = false;
    int reads = 1000;
    int watchers = 1000;
    int puts = 50;
    int in_flight = 1;
    int connections = 20;
};

double seconds_since(base::SteadyTime begin) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

[[noreturn]] void give_up(const std::string& why) {
    std::cerr << "etcd_load: " << why << '\n';
    std::exit(1);
}

// Prints the result. There is nothing to save that would be worth an orderly end.
[[noreturn]] void finish(const std::string& json) {
    std::cout << json << std::endl;
    std::_Exit(0);
}

net::Endpoint parse_endpoint(const std::string& text) {
    const auto colon = text.rfind(':');
    if (colon == std::string::npos) give_up("--endpoint: " + text + " is not HOST:PORT");
    net::Endpoint out;
    out.host = text.substr(0, colon);
    out.port = static_cast<std::uint16_t>(std::stoi(text.substr(colon + 1)));
    return out;
}

Channel channel_to(base::Loop& loop, const std::string& endpoint) {
    net::GrpcChannelOptions options;
    options.endpoints = {parse_endpoint(endpoint)};
    return std::make_shared<net::GrpcChannel>(loop, std::move(options));
}

// Looks again every millisecond; gives up after five minutes.
base::Awaitable<void> until(std::function<bool()> done, const char* what) {
    const auto begin = std::chrono::steady_clock::now();
    while (!done()) {
        if (seconds_since(begin) > 300) give_up(std::string(what) + " takes too long");
        (void)co_await base::sleep_for(base::Millis(1));
    }
}

// --- fill, read

// The key of a number: in order, or in none.
std::string key_of(const Options& options, std::int64_t number) {
    if (!options.scattered) return fmt::format("{}{:010}", options.prefix, number);
    // Multiplication by an odd number leaves no two the same.
    return fmt::format("{}{:016x}", options.prefix,
                       static_cast<std::uint64_t>(number) * 0x9e3779b97f4a7c15U);
}

// All the same, or bytes that cannot be compressed, from a pool that is read at many places.
class Values {
  public:
    explicit Values(const Options& options)
        : bytes_(options.value_bytes), pool_(bytes_ + (options.scattered ? kPool : 0), 'v') {
        if (!options.scattered) return;
        base::Random random(1);
        for (char& c : pool_)
            c = static_cast<char>(random.next());
    }
    std::string_view of(std::int64_t number) const {
        const std::size_t places = pool_.size() - bytes_ + 1;
        return std::string_view(pool_).substr(static_cast<std::size_t>(number) * 4099 % places,
                                              bytes_);
    }

  private:
    static constexpr std::size_t kPool = 16 << 20;
    std::size_t bytes_;
    std::string pool_;
};

struct Progress {
    std::int64_t next = 0;
    double slowest_ms = 0;
};

base::Awaitable<void> fill_worker(Channel channel, std::shared_ptr<Progress> progress,
                                  const Options* options, const Values* values) {
    auto* next = &progress->next;
    while (*next < options->keys) {
        pb::TxnRequest txn;
        for (int i = 0; i < kPutsInTxn && *next < options->keys; ++i) {
            auto* put = txn.add_success()->mutable_request_put();
            put->set_key(key_of(*options, *next));
            put->set_value(std::string(values->of(*next)));
            ++*next;
        }
        const auto begin = std::chrono::steady_clock::now();
        auto answer =
            co_await channel->call("/etcdserverpb.KV/Txn", txn.SerializeAsString(), kDeadline);
        if (!answer) give_up(answer.error().message);
        progress->slowest_ms = std::max(progress->slowest_ms, 1000 * seconds_since(begin));
    }
}

base::Awaitable<void> fill(base::Loop& loop, const Options* options) {
    auto channel = channel_to(loop, options->endpoints[0]);
    auto progress = std::make_shared<Progress>();
    progress->next = options->from;
    const Values values(*options);
    const auto begin = std::chrono::steady_clock::now();
    base::TaskGroup workers(loop);
    for (int i = 0; i < kTxnsInFlight; ++i)
        workers.spawn("fill", fill_worker(channel, progress, options, &values));
    std::function<bool()> done = [&] { return workers.size() == 0; };
    co_await until(std::move(done), "writing the keys");
    const double seconds = seconds_since(begin);
    finish(fmt::format("{{\"seconds\":{:.3f},\"keys_per_second\":{:.0f},\"slowest_ms\":{:.0f}}}",
                       seconds, static_cast<double>(options->keys - options->from) / seconds,
                       progress->slowest_ms));
}

// Gets one after the other, of keys that fill wrote.
base::Awaitable<void> read(base::Loop& loop, const Options* options) {
    auto channel = channel_to(loop, options->endpoints[0]);
    base::Random random(2);
    std::vector<double> took;
    for (int i = 0; i < options->reads; ++i) {
        pb::RangeRequest request;
        request.set_key(key_of(*options, static_cast<std::int64_t>(random.below(
                                             static_cast<std::uint64_t>(options->keys)))));
        const auto begin = std::chrono::steady_clock::now();
        auto answer = co_await channel->call("/etcdserverpb.KV/Range", request.SerializeAsString(),
                                             kDeadline);
        if (!answer) give_up(answer.error().message);
        pb::RangeResponse response;
        if (!response.ParseFromString(*answer) || response.kvs_size() != 1)
            give_up("a key that was written is not there");
        took.push_back(1000 * seconds_since(begin));
    }
    std::sort(took.begin(), took.end());
    finish(fmt::format("{{\"p99_ms\":{:.3f}}}", took[took.size() * 99 / 100]));
}

// --- watch

struct Counts {
    std::atomic<int> created{0};
    std::atomic<std::int64_t> events{0};
};

bool skip_varint(std::string_view* in, std::uint64_t* value) {
    *value = 0;
    for (unsigned shift = 0; !in->empty() && shift < 64; shift += 7) {
        const auto byte = static_cast<unsigned char>(in->front());
        in->remove_prefix(1);
        *value |= std::uint64_t{byte & 0x7fU} << shift;
        if (byte < 0x80) return true;
    }
    return false;
}

// Counts a WatchResponse's fields `created` (3) and `events` (11) without decoding them.
void count(std::string_view message, Counts* counts) {
    constexpr std::uint64_t kCreated = 3;
    constexpr std::uint64_t kCanceled = 4;
    constexpr std::uint64_t kEvents = 11;
    while (!message.empty()) {
        std::uint64_t tag = 0;
        std::uint64_t value = 0;
        if (!skip_varint(&message, &tag) || !skip_varint(&message, &value)) break;
        if (tag >> 3U == kCreated) ++counts->created;
        if (tag >> 3U == kCanceled && value != 0) give_up("a watch was cancelled");
        if (tag >> 3U == kEvents) ++counts->events;
        constexpr std::uint64_t kLengthDelimited = 2;
        if ((tag & 7U) == kLengthDelimited) message.remove_prefix(std::min(value, message.size()));
    }
}

// Opens a watch stream, puts `watches` of them on it and counts what comes.
base::Awaitable<void> watch_stream(Channel channel, int watches, Counts* counts) {
    auto opened = co_await channel->open("/etcdserverpb.Watch/Watch", kDeadline);
    if (!opened) give_up(opened.error().message);
    auto stream = *opened;
    pb::WatchRequest create;
    create.mutable_create_request()->set_key("watched/");
    create.mutable_create_request()->set_range_end("watched0");
    const std::string bytes = create.SerializeAsString();
    for (int i = 0; i < watches; ++i)
        if (auto sent = stream->write(bytes); !sent) give_up(sent.error().message);
    for (;;) {
        auto message = co_await stream->read();
        if (!message || !*message) give_up("a watch stream has ended");
        count(**message, counts);
    }
}

base::Awaitable<void> put_watched(Channel channel, std::shared_ptr<int> next,
                                  const Options* options) {
    pb::PutRequest put;
    put.set_value(std::string(options->value_bytes, 'v'));
    while (*next < options->puts) {
        put.set_key("watched/" + std::to_string((*next)++));
        auto answer =
            co_await channel->call("/etcdserverpb.KV/Put", put.SerializeAsString(), kDeadline);
        if (!answer) give_up(answer.error().message);
    }
}

base::Awaitable<void> watch(base::Loop& loop, const Options* options) {
    Counts counts;
    base::TaskGroup tasks(loop);
    // Streams are read by another thread, too: one alone would be what is measured.
    base::Loop other("load-2");
    base::TaskGroup other_tasks(other);
    other.start();
    for (int i = 0; i < options->connections; ++i) {
        const int watches = options->watchers / options->connections +
                            (i < options->watchers % options->connections);
        auto begin = [&, watches](base::Loop& home, base::TaskGroup& group) {
            group.spawn("stream",
                        watch_stream(channel_to(home, options->endpoints[0]), watches, &counts));
        };
        if (i % 2 == 0)
            begin(loop, tasks);
        else
            other.run_and_wait([&] { begin(other, other_tasks); });
    }
    std::function<bool()> created = [&] { return counts.created == options->watchers; };
    co_await until(std::move(created), "creating the watches");

    const std::int64_t expected = std::int64_t{options->watchers} * options->puts;
    const auto begin = std::chrono::steady_clock::now();
    auto writer = channel_to(loop, options->endpoints[0]);
    auto next = std::make_shared<int>(0);
    for (int i = 0; i < options->in_flight; ++i)
        tasks.spawn("put", put_watched(writer, next, options));
    std::function<bool()> delivered = [&] { return counts.events >= expected; };
    co_await until(std::move(delivered), "delivering the events");
    finish(fmt::format("{{\"events_per_second\":{:.0f}}}",
                       static_cast<double>(expected) / seconds_since(begin)));
}

// --- first-write

// A put every few milliseconds to each endpoint, none waiting for another: the first that is
// acknowledged ends the race.
base::Awaitable<void> first_write(base::Loop& loop, const Options* options) {
    std::vector<Channel> channels;
    for (const auto& endpoint : options->endpoints)
        channels.push_back(channel_to(loop, endpoint));
    auto acknowledged = std::make_shared<bool>(false);
    const auto begin = std::chrono::steady_clock::now();
    pb::PutRequest put;
    put.set_key("first-write");
    const std::string bytes = put.SerializeAsString();
    while (!*acknowledged) {
        if (seconds_since(begin) > 60) give_up("no write was acknowledged within 60 s");
        for (auto& channel : channels)
            channel->call_async("/etcdserverpb.KV/Put", bytes, base::Millis(5000), {},
                                [acknowledged](base::Result<std::string> answer) {
                                    if (answer) *acknowledged = true;
                                });
        (void)co_await base::sleep_for(base::Millis(5));
    }
    finish(fmt::format("{{\"milliseconds\":{:.1f}}}", 1000 * seconds_since(begin)));
}

}  // namespace

int main(int argc, char** argv) {
    Options options;
    CLI::App app("Load on an etcd v3 store");
    app.require_subcommand(1);
    const auto add = [&](const char* name, const char* what) {
        auto* command = app.add_subcommand(name, what);
        command->add_option("--endpoint", options.endpoints, "HOST:PORT, clear text")->required();
        command->add_option("--value-bytes", options.value_bytes);
        return command;
    };
    auto* fill_command = add("fill", "writes keys");
    auto* read_command = add("read", "reads some of what fill wrote");
    for (auto* command : {fill_command, read_command}) {
        command->add_option("--keys", options.keys, "up to this number");
        command->add_option("--prefix", options.prefix);
        command->add_flag("--scattered", options.scattered,
                          "keys in no order, values that cannot be compressed");
    }
    fill_command->add_option("--from", options.from, "the first key's number");
    read_command->add_option("--reads", options.reads)->check(CLI::PositiveNumber);
    auto* watch_command = add("watch", "delivers events to watchers");
    watch_command->add_option("--watchers", options.watchers);
    watch_command->add_option("--puts", options.puts);
    watch_command->add_option("--in-flight", options.in_flight, "puts at a time")
        ->check(CLI::PositiveNumber);
    watch_command->add_option("--connections", options.connections)->check(CLI::PositiveNumber);
    auto* first_command = add("first-write", "waits for the first write that is acknowledged");
    auto* floors_command = app.add_subcommand("floors", "what a put alone waits for");
    std::string directory;
    floors_command->add_option("directory", directory, "of a file on the disk to measure")
        ->required();
    CLI11_PARSE(app, argc, argv);
    if (*floors_command) {
        const bench::Floors floors = bench::measure_floors(directory);
        fmt::print("{{\"peer_ms\":{:.4f},\"fdatasync_ms\":{:.4f},\"majority_ms\":{:.4f}}}\n",
                   floors.peer_ms, floors.fdatasync_ms, floors.majority_ms);
        return 0;
    }
    base::Loop loop("load");
    base::TaskGroup tasks(loop);
    if (*fill_command) tasks.spawn("fill", fill(loop, &options));
    if (*read_command) tasks.spawn("read", read(loop, &options));
    if (*watch_command) tasks.spawn("watch", watch(loop, &options));
    if (*first_command) tasks.spawn("first", first_write(loop, &options));
    loop.run();
}
