// Commands on keys: get, list, put, del, watch, txn.

#include "tools/store_commands.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <charconv>
#include <iostream>
#include <sstream>

#include "kvstore/mvcc/schema.h"
#include "kvstore/proto/rpc.pb.h"
#include "tools/blocking.h"
#include "tools/store_client.h"

namespace tools {

namespace pb = etcdserverpb;
namespace json = boost::json;

namespace {

json::object kv_json(const mvccpb::KeyValue& kv) {
    return {{"key", kv.key()},
            {"value", kv.value()},
            {"create_revision", kv.create_revision()},
            {"mod_revision", kv.mod_revision()},
            {"version", kv.version()},
            {"lease", kv.lease()}};
}

struct RangeArgs {
    std::string key;
    std::string end;
    bool prefix = false;
    bool serializable = false;
    bool keys_only = false;
    bool count_only = false;
    std::int64_t limit = 0;
    std::int64_t revision = 0;

    template <class Request>
    void fill(Request* r) const {
        r->set_key(prefix && key.empty() ? std::string(1, '\0') : key);
        if (prefix)
            r->set_range_end(kvstore::schema::prefix_end(key));
        else if (!end.empty())
            r->set_range_end(end);
    }
} range_args;

void print_kvs(const pb::RangeResponse& response) {
    if (as_json()) {
        json::array kvs;
        for (const auto& kv : response.kvs())
            kvs.push_back(kv_json(kv));
        return print_json(json::object{{"revision", response.header().revision()},
                                       {"count", response.count()},
                                       {"more", response.more()},
                                       {"kvs", std::move(kvs)}});
    }
    if (range_args.count_only) return fmt::print("{}\n", response.count());
    for (const auto& kv : response.kvs())
        range_args.keys_only ? fmt::print("{}\n", kv.key())
                             : fmt::print("{}\n{}\n", kv.key(), kv.value());
    if (response.more())
        fmt::print(stderr, "coxctl: {} of {} keys shown\n", response.kvs_size(), response.count());
}

base::Status get() {
    pb::RangeRequest request;
    range_args.fill(&request);
    request.set_serializable(range_args.serializable);
    request.set_keys_only(range_args.keys_only);
    request.set_count_only(range_args.count_only);
    request.set_limit(range_args.limit);
    request.set_revision(range_args.revision);
    TRY(auto response, call<pb::RangeResponse>("/etcdserverpb.KV/Range", request));
    print_kvs(response);
    return {};
}

base::Status del() {
    pb::DeleteRangeRequest request;
    range_args.fill(&request);
    TRY(auto response, call<pb::DeleteRangeResponse>("/etcdserverpb.KV/DeleteRange", request));
    if (as_json())
        return print_json(json::object{{"revision", response.header().revision()},
                                       {"deleted", response.deleted()}}),
               base::Status();
    fmt::print("{}\n", response.deleted());
    return {};
}

base::Status put(const std::string& value, const std::string& lease) {
    pb::PutRequest request;
    std::int64_t id = 0;
    if (!lease.empty()) {
        TRY(id, lease_id(lease));
    }
    request.set_key(range_args.key);
    request.set_lease(id);
    // "-" is whatever comes on the standard input.
    request.set_value(value == "-" ? std::string(std::istreambuf_iterator<char>(std::cin), {})
                                   : value);
    TRY(auto response, call<pb::PutResponse>("/etcdserverpb.KV/Put", request));
    if (as_json())
        print_json(json::object{{"revision", response.header().revision()}});
    else
        fmt::print("OK\n");
    return {};
}

base::Task<void> watch_task(base::Loop* loop, Target t, std::int64_t start) {
    net::GrpcChannel channel(*loop, t.channel());
    for (;;) {
        auto stream =
            co_await channel.open("/etcdserverpb.Watch/Watch", call_timeout(), t.metadata());
        if (!stream) co_return stream.error();
        pb::WatchRequest request;
        range_args.fill(request.mutable_create_request());
        request.mutable_create_request()->set_start_revision(start);
        CO_TRY_VOID((*stream)->write(request.SerializeAsString()));
        for (;;) {
            auto message = co_await (*stream)->read();
            // A member that went away is no end: another one has the same history.
            if (!message || !*message) break;
            pb::WatchResponse response;
            if (!response.ParseFromString(**message))
                co_return base::internal_error("the answer cannot be read");
            if (response.compact_revision() > 0)
                co_return base::Error(base::Code::kOutOfRange,
                                      fmt::format("revision {} is compacted; the oldest is {}",
                                                  start, response.compact_revision()));
            if (response.canceled())
                co_return base::unavailable("the watch was cancelled: " + response.cancel_reason());
            for (const auto& event : response.events()) {
                const bool is_delete = event.type() == mvccpb::Event::DELETE;
                if (as_json()) {
                    json::object out = kv_json(event.kv());
                    out["type"] = is_delete ? "DELETE" : "PUT";
                    print_json(out);
                } else {
                    fmt::print("{}\n{}\n{}\n", is_delete ? "DELETE" : "PUT", event.kv().key(),
                               event.kv().value());
                }
            }
            std::fflush(stdout);
            start = response.header().revision() + 1;
        }
        CO_TRY_VOID(co_await base::sleep_for(base::Millis(200)));
    }
}

base::Status watch() {
    TRY(const Target t, target());
    return run_blocking<void>(
        [&](base::Loop& loop) { return watch_task(&loop, t, range_args.revision); });
}

// `key = value`, `mod(key) > 3`, `version(key) = 0`, `create(key) = 5`, `lease(key) = 0`.
base::Result<pb::Compare> parse_compare(std::string text) {
    pb::Compare out;
    const auto op = text.find_first_of("=<>!");
    if (op == std::string::npos)
        return base::invalid_argument("--if \"" + text + "\" has none of = != < >");
    const bool unequal = text[op] == '!' && op + 1 < text.size() && text[op + 1] == '=';
    out.set_result(unequal           ? pb::Compare::NOT_EQUAL
                   : text[op] == '=' ? pb::Compare::EQUAL
                   : text[op] == '<' ? pb::Compare::LESS
                                     : pb::Compare::GREATER);
    auto trim = [](std::string s) {
        const auto a = s.find_first_not_of(' ');
        const auto b = s.find_last_not_of(' ');
        return a == std::string::npos ? std::string() : s.substr(a, b - a + 1);
    };
    std::string left = trim(text.substr(0, op));
    const std::string right = trim(text.substr(op + (unequal ? 2 : 1)));
    const auto open = left.find('(');
    if (open == std::string::npos || left.back() != ')') {
        out.set_target(pb::Compare::VALUE);
        out.set_key(left);
        out.set_value(right);
        return out;
    }
    const std::string what = left.substr(0, open);
    out.set_key(left.substr(open + 1, left.size() - open - 2));
    std::int64_t number = 0;
    const auto [end, ec] = std::from_chars(right.data(), right.data() + right.size(), number);
    if (ec != std::errc() || end != right.data() + right.size())
        return base::invalid_argument("--if \"" + text + "\": " + right + " is no number");
    if (what == "mod") {
        out.set_target(pb::Compare::MOD);
        out.set_mod_revision(number);
    } else if (what == "create") {
        out.set_target(pb::Compare::CREATE);
        out.set_create_revision(number);
    } else if (what == "version") {
        out.set_target(pb::Compare::VERSION);
        out.set_version(number);
    } else if (what == "lease") {
        out.set_target(pb::Compare::LEASE);
        out.set_lease(number);
    } else {
        return base::invalid_argument("--if \"" + text + "\": " + what +
                                      " is none of mod, create, version, lease");
    }
    return out;
}

// `put key value`, `get key`, `del key`.
base::Result<pb::RequestOp> parse_op(const std::string& text) {
    std::istringstream words(text);
    std::string verb, key, value;
    words >> verb >> key;
    std::getline(words >> std::ws, value);
    pb::RequestOp out;
    if (key.empty()) return base::invalid_argument("operation \"" + text + "\" names no key");
    if (verb == "put") {
        out.mutable_request_put()->set_key(key);
        out.mutable_request_put()->set_value(value);
    } else if (verb == "get") {
        out.mutable_request_range()->set_key(key);
    } else if (verb == "del") {
        out.mutable_request_delete_range()->set_key(key);
    } else {
        return base::invalid_argument("operation \"" + text +
                                      "\" begins with none of put, get, del");
    }
    return out;
}

base::Status txn(const std::vector<std::string>& ifs, const std::vector<std::string>& thens,
                 const std::vector<std::string>& elses) {
    pb::TxnRequest request;
    for (const auto& text : ifs) {
        TRY(*request.add_compare(), parse_compare(text));
    }
    for (const auto& text : thens) {
        TRY(*request.add_success(), parse_op(text));
    }
    for (const auto& text : elses) {
        TRY(*request.add_failure(), parse_op(text));
    }
    TRY(auto response, call<pb::TxnResponse>("/etcdserverpb.KV/Txn", request));
    json::array responses;
    for (const auto& r : response.responses()) {
        json::object out;
        if (r.has_response_put()) out["put"] = "OK";
        if (r.has_response_delete_range()) out["deleted"] = r.response_delete_range().deleted();
        if (r.has_response_range()) {
            json::array kvs;
            for (const auto& kv : r.response_range().kvs())
                kvs.push_back(kv_json(kv));
            out["kvs"] = std::move(kvs);
        }
        responses.push_back(std::move(out));
    }
    if (as_json())
        return print_json(json::object{{"revision", response.header().revision()},
                                       {"succeeded", response.succeeded()},
                                       {"responses", responses}}),
               base::Status();
    fmt::print("{}\n", response.succeeded() ? "SUCCESS" : "FAILURE");
    for (const auto& r : responses)
        print_json(r);
    return {};
}

}  // namespace

void add_key_commands(CLI::App& app, int* exit_code) {
    auto with_range = [](CLI::App* sub, bool key_required) {
        auto* key = sub->add_option("key", range_args.key, "the key, or the first of a range");
        if (key_required) key->required();
        sub->add_option("range-end", range_args.end, "the first key behind the range");
        sub->add_flag("--prefix", range_args.prefix, "all keys that begin with the key");
    };
    auto* get_command = store_command(app, exit_code, "get", "show keys", get);
    with_range(get_command, false);
    get_command->add_option("--rev", range_args.revision, "as of this revision");
    get_command->add_option("--limit", range_args.limit, "at most so many");
    get_command->add_flag("--serializable", range_args.serializable,
                          "whatever the asked member has, without a quorum");
    get_command->add_flag("--keys-only", range_args.keys_only, "no values");
    get_command->add_flag("--count-only", range_args.count_only, "just how many");
    auto* list_command = store_command(app, exit_code, "list", "show the keys under a prefix", [] {
        range_args.prefix = true;
        range_args.keys_only = true;
        return get();
    });
    list_command->add_option("prefix", range_args.key, "the prefix; none: everything");
    list_command->add_option("--limit", range_args.limit, "at most so many");
    list_command->add_option("--rev", range_args.revision, "as of this revision");

    static std::string value;
    static std::string lease;
    auto* put_command =
        store_command(app, exit_code, "put", "write a key", [] { return put(value, lease); });
    put_command->add_option("key", range_args.key, "the key")->required();
    put_command->add_option("value", value, "the value; - reads it from the standard input")
        ->required();
    put_command->add_option("--lease", lease, "id of the lease that it hangs on");
    with_range(store_command(app, exit_code, "del", "delete keys", del), true);
    auto* watch_command = store_command(
        app, exit_code, "watch",
        "show changes as they come; goes on with another member when one is lost", watch);
    with_range(watch_command, false);
    watch_command->add_option("--rev", range_args.revision, "from this revision on");

    static std::vector<std::string> ifs, thens, elses;
    auto* txn_command = store_command(app, exit_code, "txn",
                                      "compare, then do one thing or the other, in one revision",
                                      [] { return txn(ifs, thens, elses); });
    txn_command->add_option(
        "--if", ifs, "\"key = value\", \"mod(key) > 3\", \"version(key) = 0\"; all must hold");
    txn_command->add_option("--then", thens, "\"put key value\", \"get key\", \"del key\"");
    txn_command->add_option("--else", elses, "the same, for when not all hold");
}

}  // namespace tools
