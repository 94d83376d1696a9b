// A client of etcd's API made by stock gRPC from the project's .proto files: what another
// implementation of HTTP/2 and gRPC sees of the store. grpc_client_test.py runs it.
//
//   grpc_client ENDPOINT test            all checks, as TAP
//   grpc_client ENDPOINT leader          a watch with `hasleader`: prints "watching", then how it
//   ends grpc_client ENDPOINT snapshot FILE grpc_client ENDPOINT fill PREFIX COUNT BYTES
//   grpc_client ENDPOINT stream PREFIX   reads one chunk, prints "paused", goes on after a line of
//                                        input, and prints how many records came

#include <grpcpp/grpcpp.h>

#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <set>
#include <stdexcept>

#include "kvstore/proto/rpc.grpc.pb.h"

namespace {

using namespace etcdserverpb;

struct Failed : std::runtime_error {
    using std::runtime_error::runtime_error;
};
void expect(bool holds, const std::string& what) {
    if (!holds) throw Failed(what);
}
void expect_ok(const grpc::Status& status, const std::string& what) {
    expect(status.ok(), what + ": " + status.error_message());
}
void expect_error(const grpc::Status& status, grpc::StatusCode code, const std::string& text) {
    expect(status.error_code() == code && status.error_message() == text,
           "wanted \"" + text + "\", got " + std::to_string(status.error_code()) + " \"" +
               status.error_message() + "\"");
}

std::string end_of(std::string prefix) {
    ++prefix.back();
    return prefix;
}

struct Client {
    explicit Client(const std::string& endpoint) {
        grpc::ChannelArguments arguments;
        arguments.SetMaxReceiveMessageSize(-1);
        channel =
            grpc::CreateCustomChannel(endpoint, grpc::InsecureChannelCredentials(), arguments);
        kv = KV::NewStub(channel);
        watch = Watch::NewStub(channel);
        lease = Lease::NewStub(channel);
        maintenance = Maintenance::NewStub(channel);
    }

    PutResponse put(const std::string& key, const std::string& value, std::int64_t with = 0) {
        grpc::ClientContext context;
        PutRequest request;
        PutResponse response;
        request.set_key(key);
        request.set_value(value);
        request.set_lease(with);
        request.set_prev_kv(true);
        expect_ok(kv->Put(&context, request, &response), "put " + key);
        return response;
    }
    std::int64_t erase(const std::string& key) {
        grpc::ClientContext context;
        DeleteRangeRequest request;
        DeleteRangeResponse response;
        request.set_key(key);
        expect_ok(kv->DeleteRange(&context, request, &response), "delete " + key);
        return response.header().revision();
    }
    RangeResponse range(const RangeRequest& request) {
        grpc::ClientContext context;
        RangeResponse response;
        expect_ok(kv->Range(&context, request, &response), "range");
        return response;
    }
    std::int64_t grant(std::int64_t ttl) {
        grpc::ClientContext context;
        LeaseGrantRequest request;
        LeaseGrantResponse response;
        request.set_ttl(ttl);
        expect_ok(lease->LeaseGrant(&context, request, &response), "grant");
        return response.id();
    }

    std::shared_ptr<grpc::Channel> channel;
    std::unique_ptr<KV::Stub> kv;
    std::unique_ptr<Watch::Stub> watch;
    std::unique_ptr<Lease::Stub> lease;
    std::unique_ptr<Maintenance::Stub> maintenance;
};

// A stream of watches; a call that gets no answer ends by its deadline.
class WatchStream {
  public:
    explicit WatchStream(Client& client) {
        context_.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
        stream_ = client.watch->Watch(&context_);
    }
    ~WatchStream() {
        context_.TryCancel();
        stream_->Finish();
    }
    void create(WatchCreateRequest request) {
        WatchRequest out;
        *out.mutable_create_request() = std::move(request);
        expect(stream_->Write(out), "the stream takes no request");
    }
    void cancel(std::int64_t id) {
        WatchRequest out;
        out.mutable_cancel_request()->set_watch_id(id);
        expect(stream_->Write(out), "the stream takes no request");
    }
    void ask_progress() {
        WatchRequest out;
        out.mutable_progress_request();
        expect(stream_->Write(out), "the stream takes no request");
    }
    WatchResponse read() {
        WatchResponse response;
        expect(stream_->Read(&response), "the stream ended");
        return response;
    }
    // The next answer that carries events.
    WatchResponse events() {
        for (;;) {
            auto response = read();
            if (response.events_size() > 0) return response;
        }
    }

  private:
    grpc::ClientContext context_;
    std::unique_ptr<grpc::ClientReaderWriter<WatchRequest, WatchResponse>> stream_;
};

WatchCreateRequest watch_of(const std::string& prefix, std::int64_t start = 0) {
    WatchCreateRequest out;
    out.set_key(prefix);
    out.set_range_end(end_of(prefix));
    out.set_start_revision(start);
    return out;
}

void keys_and_transactions(Client& c) {
    const auto first = c.put("kv/a", "1");
    expect(!first.has_prev_kv(), "there was nothing before");
    const auto second = c.put("kv/a", "2");
    expect(second.prev_kv().value() == "1", "the value before");
    expect(second.header().revision() == first.header().revision() + 1, "one revision a put");
    TxnRequest txn;
    TxnResponse answer;
    auto* compare = txn.add_compare();
    compare->set_key("kv/a");
    compare->set_target(Compare::MOD);
    compare->set_mod_revision(second.header().revision());
    auto* put = txn.add_success()->mutable_request_put();
    put->set_key("kv/b");
    put->set_value("3");
    txn.add_success()->mutable_request_delete_range()->set_key("kv/a");
    auto* nested = txn.add_success()->mutable_request_txn();
    nested->add_success()->mutable_request_range()->set_key("kv/b");
    grpc::ClientContext context;
    expect_ok(c.kv->Txn(&context, txn, &answer), "txn");
    expect(answer.succeeded() && answer.responses_size() == 3, "it took the first branch");
    expect(answer.responses(1).response_delete_range().deleted() == 1, "deleted");
    expect(answer.responses(2).response_txn().responses(0).response_range().kvs(0).value() == "3",
           "a nested read sees what was written before it");
}

void errors_have_etcds_codes_and_texts(Client& c) {
    {
        grpc::ClientContext context;
        PutResponse response;
        expect_error(c.kv->Put(&context, PutRequest(), &response),
                     grpc::StatusCode::INVALID_ARGUMENT, "etcdserver: key is not provided");
    }
    RangeRequest request;
    RangeResponse response;
    request.set_key("kv/b");
    request.set_revision(1'000'000);
    {
        grpc::ClientContext context;
        expect_error(c.kv->Range(&context, request, &response), grpc::StatusCode::OUT_OF_RANGE,
                     "etcdserver: mvcc: required revision is a future revision");
    }
    {
        grpc::ClientContext context;
        LeaseRevokeRequest revoke;
        LeaseRevokeResponse revoked;
        revoke.set_id(1);
        expect_error(c.lease->LeaseRevoke(&context, revoke, &revoked), grpc::StatusCode::NOT_FOUND,
                     "etcdserver: requested lease not found");
    }
    {
        grpc::ClientContext context;
        PutRequest put;
        PutResponse done;
        put.set_key("large");
        put.set_value(std::string(1'700'000, 'x'));
        expect_error(c.kv->Put(&context, put, &done), grpc::StatusCode::INVALID_ARGUMENT,
                     "etcdserver: request is too large");
    }
}

void watches_filter_and_tell_what_was_before(Client& c) {
    WatchStream stream(c);
    auto puts = watch_of("f/");
    puts.add_filters(WatchCreateRequest::NODELETE);
    puts.set_prev_kv(true);
    auto deletes = watch_of("f/");
    deletes.add_filters(WatchCreateRequest::NOPUT);
    deletes.set_prev_kv(true);
    stream.create(puts);
    stream.create(deletes);
    const auto a = stream.read().watch_id();
    const auto b = stream.read().watch_id();
    expect(a == 0 && b == 1, "ids begin at 0");
    c.put("f/x", "1");
    c.put("f/x", "2");
    c.erase("f/x");
    std::map<std::int64_t, std::vector<mvccpb::Event>> seen;
    while (seen[a].size() < 2 || seen[b].empty()) {
        const auto response = stream.events();
        for (const auto& event : response.events())
            seen[response.watch_id()].push_back(event);
    }
    expect(seen[a].size() == 2 && seen[b].size() == 1, "each its own events");
    expect(seen[a][1].kv().value() == "2" && seen[a][1].prev_kv().value() == "1", "prev_kv");
    expect(seen[b][0].type() == mvccpb::Event::DELETE && seen[b][0].prev_kv().value() == "2",
           "what was deleted");
    stream.cancel(a);
    const auto cancelled = stream.read();
    expect(cancelled.canceled() && cancelled.watch_id() == a, "cancelled");
}

// Three megabytes in one revision: pieces with `fragment`, one answer without.
void large_revisions_come_in_fragments(Client& c) {
    const auto start = c.put("frag/0", "").header().revision() + 1;
    {
        TxnRequest txn;
        TxnResponse answer;
        for (int i = 0; i < 100; ++i) {
            auto* put = txn.add_success()->mutable_request_put();
            put->set_key("frag/" + std::to_string(i));
            put->set_value(std::string(14'000, 'f'));
        }
        grpc::ClientContext context;
        expect_ok(c.kv->Txn(&context, txn, &answer), "txn");
        // A deletion's event with what it deleted is as large again: over what one message holds.
        grpc::ClientContext again;
        DeleteRangeRequest erase;
        DeleteRangeResponse erased;
        erase.set_key("frag/");
        erase.set_range_end(end_of("frag/"));
        expect_ok(c.kv->DeleteRange(&again, erase, &erased), "delete");
    }
    for (const bool fragment : {true, false}) {
        WatchStream stream(c);
        auto request = watch_of("frag/", start);
        request.set_fragment(fragment);
        request.set_prev_kv(true);
        stream.create(request);
        int events = 0;
        int answers = 0;
        std::set<std::int64_t> revisions;
        bool open = false;
        std::size_t largest = 0;
        while (events < 200 || open) {
            const auto response = stream.events();
            expect(fragment || !response.fragment(), "no fragments unless asked for");
            open = response.fragment();
            events += response.events_size();
            largest = std::max(largest, response.ByteSizeLong());
            for (const auto& event : response.events())
                revisions.insert(event.kv().mod_revision());
            ++answers;
        }
        expect(events == 200 && revisions.size() == 2, "all events, once");
        if (fragment) expect(largest < (4 << 20), "a fragment fits a client's default limit");
    }
}

void progress_is_told_when_all_are_synced(Client& c) {
    WatchStream stream(c);
    stream.create(watch_of("p/"));
    stream.create(watch_of("q/"));
    stream.read();
    const auto created = stream.read();
    const auto revision = c.put("elsewhere", "x").header().revision();
    // Before the watchers have caught up there is no answer: ask until one comes.
    for (;;) {
        stream.ask_progress();
        const auto response = stream.read();
        expect(response.watch_id() == -1 && response.events_size() == 0, "of the whole stream");
        if (response.header().revision() >= revision) break;
    }
    expect(created.created(), "created before");
}

void compacted_and_bad_watches_end(Client& c) {
    std::int64_t old = c.put("comp", "1").header().revision();
    const auto now = c.put("comp", "2").header().revision();
    CompactionRequest compact;
    CompactionResponse compacted;
    compact.set_revision(now);
    {
        grpc::ClientContext context;
        expect_ok(c.kv->Compact(&context, compact, &compacted), "compact");
    }
    WatchStream stream(c);
    stream.create(watch_of("comp", old));
    expect(stream.read().created(), "created first");
    const auto end = stream.read();
    expect(end.canceled() && end.compact_revision() == now, "then cancelled, with the revision");
    auto bad = watch_of("z");
    bad.set_range_end("a");
    stream.create(bad);
    const auto refused = stream.read();
    expect(refused.created() && refused.canceled() && refused.watch_id() == -1 &&
               refused.cancel_reason() == "mvcc: watcher range is empty",
           "an empty range is refused");
}

void thousands_of_watches_share_a_stream(Client& c) {
    constexpr int kWatches = 5000;
    WatchStream stream(c);
    for (int i = 0; i < kWatches; ++i) {
        WatchCreateRequest request;
        request.set_key("many/" + std::to_string(i % 100));
        stream.create(request);
    }
    std::map<std::int64_t, int> left;
    for (int i = 0; i < kWatches; ++i) {
        const auto response = stream.read();
        expect(response.created(), "created");
        left[response.watch_id()] = 1;
    }
    expect(left.size() == kWatches, "ids are unique");
    for (int i = 0; i < 100; ++i)
        c.put("many/" + std::to_string(i), "x");
    while (!left.empty()) {
        const auto response = stream.events();
        const auto it = left.find(response.watch_id());
        expect(it != left.end() && response.events_size() == 1, "each watch sees its key once");
        left.erase(it);
    }
}

void many_leases_live_on_one_stream(Client& c) {
    std::vector<std::int64_t> leases;
    for (int i = 0; i < 20; ++i)
        leases.push_back(c.grant(100 + i));
    grpc::ClientContext context;
    auto stream = c.lease->LeaseKeepAlive(&context);
    leases.push_back(4711);  // no such lease: TTL 0, and the stream goes on
    leases.push_back(leases.front());
    for (const auto id : leases) {
        LeaseKeepAliveRequest request;
        request.set_id(id);
        expect(stream->Write(request), "write");
    }
    for (std::size_t i = 0; i < leases.size(); ++i) {
        LeaseKeepAliveResponse response;
        expect(stream->Read(&response), "read");
        expect(response.id() == leases[i], "in order");
        const auto wanted = leases[i] == 4711 ? 0 : 100 + static_cast<std::int64_t>(i % 21);
        expect(response.ttl() == wanted, "TTL of lease " + std::to_string(i));
    }
    stream->WritesDone();
    LeaseKeepAliveResponse none;
    expect(!stream->Read(&none), "nothing more");
    expect_ok(stream->Finish(), "half-closed");
}

RangeResponse merged(Client& c, const RangeRequest& request, int* chunks) {
    grpc::ClientContext context;
    auto stream = c.kv->RangeStream(&context, request);
    RangeResponse out;
    RangeStreamResponse chunk;
    for (*chunks = 0; stream->Read(&chunk); ++*chunks)
        out.MergeFrom(chunk.range_response());
    expect_ok(stream->Finish(), "range stream");
    return out;
}

void streamed_ranges_are_the_unary_ones(Client& c) {
    for (int i = 0; i < 300; ++i)
        c.put("rs/" + std::to_string(i), std::string(4000, 'r'));
    RangeRequest request;
    request.set_key("rs/");
    request.set_range_end(end_of("rs/"));
    for (const int limit : {0, 1, 7, 299, 300}) {
        request.set_limit(limit);
        int chunks = 0;
        const auto streamed = merged(c, request, &chunks);
        const auto whole = c.range(request);
        expect(streamed.SerializeAsString() == whole.SerializeAsString(),
               "the same with limit " + std::to_string(limit));
        expect(limit != 0 || chunks > 2, "in chunks");
    }
    request.set_sort_target(RangeRequest::VALUE);
    request.set_sort_order(RangeRequest::DESCEND);
    grpc::ClientContext context;
    auto refused = c.kv->RangeStream(&context, request);
    RangeStreamResponse none;
    expect(!refused->Read(&none), "no chunk");
    expect(refused->Finish().error_code() == grpc::StatusCode::UNIMPLEMENTED, "unimplemented");
}

int run_tests(Client& c) {
    const std::pair<const char*, void (*)(Client&)> kTests[] = {
        {"keys_and_transactions", keys_and_transactions},
        {"errors_have_etcds_codes_and_texts", errors_have_etcds_codes_and_texts},
        {"watches_filter_and_tell_what_was_before", watches_filter_and_tell_what_was_before},
        {"large_revisions_come_in_fragments", large_revisions_come_in_fragments},
        {"progress_is_told_when_all_are_synced", progress_is_told_when_all_are_synced},
        {"compacted_and_bad_watches_end", compacted_and_bad_watches_end},
        {"thousands_of_watches_share_a_stream", thousands_of_watches_share_a_stream},
        {"many_leases_live_on_one_stream", many_leases_live_on_one_stream},
        {"streamed_ranges_are_the_unary_ones", streamed_ranges_are_the_unary_ones},
    };
    bool bad = false;
    for (const auto& [name, test] : kTests) {
        try {
            test(c);
            std::cout << "ok " << name << std::endl;
        } catch (const std::exception& e) {
            bad = true;
            std::cout << "not ok " << name << ": " << e.what() << std::endl;
        }
    }
    return bad ? 1 : 0;
}

int watch_for_a_leader(Client& c) {
    grpc::ClientContext context;
    context.AddMetadata("hasleader", "true");
    auto stream = c.watch->Watch(&context);
    WatchRequest request;
    *request.mutable_create_request() = watch_of("l/");
    stream->Write(request);
    WatchResponse response;
    expect(stream->Read(&response) && response.created(), "created");
    std::cout << "watching" << std::endl;
    while (stream->Read(&response)) {
    }
    const auto status = stream->Finish();
    std::cout << status.error_code() << " " << status.error_message() << std::endl;
    return 0;
}

int save_snapshot(Client& c, const std::string& path) {
    grpc::ClientContext context;
    auto stream = c.maintenance->Snapshot(&context, SnapshotRequest());
    std::ofstream file(path, std::ios::binary);
    SnapshotResponse part;
    std::uint64_t left = 0;
    bool first = true;
    while (stream->Read(&part)) {
        expect(first || part.remaining_bytes() + part.blob().size() == left, "remaining_bytes");
        first = false;
        left = part.remaining_bytes();
        file << part.blob();
    }
    expect_ok(stream->Finish(), "snapshot");
    expect(left == 0 && file.good(), "the last part");
    return 0;
}

int fill(Client& c, const std::string& prefix, int count, int bytes) {
    constexpr int kAtOnce = 100;
    for (int i = 0; i < count; i += kAtOnce) {
        TxnRequest txn;
        TxnResponse answer;
        for (int j = i; j < std::min(i + kAtOnce, count); ++j) {
            auto* put = txn.add_success()->mutable_request_put();
            put->set_key(prefix + std::to_string(1'000'000'000 + j));
            // What does not compress to nothing.
            std::string value;
            for (std::uint64_t x = static_cast<std::uint64_t>(j) + 1;
                 static_cast<int>(value.size()) < bytes; x = x * 6364136223846793005ULL + 1)
                value.append(reinterpret_cast<const char*>(&x), sizeof x);
            put->set_value(value);
        }
        grpc::ClientContext context;
        expect_ok(c.kv->Txn(&context, txn, &answer), "txn");
    }
    return 0;
}

int read_slowly(Client& c, const std::string& prefix) {
    RangeRequest request;
    request.set_key(prefix);
    request.set_range_end(end_of(prefix));
    grpc::ClientContext context;
    auto stream = c.kv->RangeStream(&context, request);
    RangeStreamResponse chunk;
    expect(stream->Read(&chunk), "a chunk");
    std::size_t records = static_cast<std::size_t>(chunk.range_response().kvs_size());
    std::cout << "paused" << std::endl;
    std::string line;
    std::getline(std::cin, line);
    std::int64_t count = 0;
    while (stream->Read(&chunk)) {
        records += static_cast<std::size_t>(chunk.range_response().kvs_size());
        count = chunk.range_response().count();
    }
    expect_ok(stream->Finish(), "range stream");
    std::cout << records << " " << count << std::endl;
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    const std::vector<std::string> words(argv, argv + argc);
    if (words.size() < 3) return 2;
    try {
        Client client(words[1]);
        const std::string& what = words[2];
        if (what == "test") return run_tests(client);
        if (what == "leader") return watch_for_a_leader(client);
        if (what == "snapshot" && argc == 4) return save_snapshot(client, words[3]);
        if (what == "fill" && argc == 6)
            return fill(client, words[3], std::stoi(words[4]), std::stoi(words[5]));
        if (what == "stream" && argc == 4) return read_slowly(client, words[3]);
    } catch (const std::exception& e) {
        std::cout << "failed: " << e.what() << std::endl;
        return 1;
    }
    return 2;
}
