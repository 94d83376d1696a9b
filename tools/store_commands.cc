#include "tools/store_commands.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <charconv>
#include <functional>
#include <iostream>

#include "base/bytes.h"
#include "kvstore/proto/rpc.pb.h"
#include "net/client.h"
#include "tools/blocking.h"
#include "tools/cluster.h"
#include "tools/config.h"

namespace tools {

namespace pb = etcdserverpb;
namespace json = boost::json;

namespace {

// What every command takes; CLI11 keeps references, so it lives as long as the process.
struct Common {
    std::string cluster;
    std::vector<std::string> endpoints;
    TlsFiles tls;
    std::string format = "table";
    std::int64_t timeout_ms = 5000;
} common;

bool as_json() {
    return common.format == "json";
}

int report(const base::Status& status) {
    if (status) return 0;
    fmt::print(stderr, "coxctl: {}\n", status.error().message);
    return 1;
}

struct Target {
    std::vector<net::Endpoint> endpoints;
    std::vector<std::string> names;
    std::optional<net::ClientTls> tls;
};

base::Result<Target> target() {
    Target out;
    if (!common.cluster.empty()) {
        TRY(const Cluster cluster, Cluster::open(common.cluster));
        for (const auto& m : cluster.members()) {
            TRY(net::Endpoint endpoint, net::Endpoint::parse(cluster.member_url(m, "client")));
            out.endpoints.push_back(std::move(endpoint));
        }
        out.tls = cluster.admin_tls();
        return out;
    }
    if (common.endpoints.empty())
        return base::invalid_argument(
            "say where the store is: --cluster DIR or --endpoints host:port,…");
    bool secure = false;
    for (const auto& text : common.endpoints) {
        TRY(net::Endpoint endpoint, net::Endpoint::parse(text, &secure));
        out.endpoints.push_back(std::move(endpoint));
    }
    if (!common.tls.ca.empty() || secure) out.tls = common.tls.client();
    return out;
}

net::GrpcChannelOptions channel_options(const Target& t) {
    net::GrpcChannelOptions options;
    options.endpoints = t.endpoints;
    options.tls = t.tls;
    return options;
}

base::Task<std::string> call_task(base::Loop* loop, Target t, std::string path,
                                  std::string message) {
    net::GrpcChannel channel(*loop, channel_options(t));
    co_return co_await channel.call(std::move(path), std::move(message),
                                    base::Millis(common.timeout_ms));
}

template <class Response, class Request>
base::Result<Response> call_at(const Target& t, const char* path, const Request& request) {
    TRY(const std::string bytes, run_blocking<std::string>([&](base::Loop& loop) {
            return call_task(&loop, t, path, request.SerializeAsString());
        }));
    Response response;
    if (!response.ParseFromString(bytes)) return base::internal_error("the answer cannot be read");
    return response;
}

template <class Response, class Request>
base::Result<Response> call(const char* path, const Request& request) {
    TRY(const Target t, target());
    return call_at<Response>(t, path, request);
}

json::object kv_json(const mvccpb::KeyValue& kv) {
    return {{"key", kv.key()},
            {"value", kv.value()},
            {"create_revision", kv.create_revision()},
            {"mod_revision", kv.mod_revision()},
            {"version", kv.version()},
            {"lease", kv.lease()}};
}

void print_json(const json::value& v) {
    fmt::print("{}\n", json::serialize(v));
}

// The end of the range that begins with a prefix.
std::string prefix_end(std::string prefix) {
    while (!prefix.empty()) {
        if (static_cast<unsigned char>(prefix.back()) < 0xFF)
            return prefix.back() = static_cast<char>(prefix.back() + 1), prefix;
        prefix.pop_back();
    }
    return std::string(1, '\0');
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
            r->set_range_end(prefix_end(key));
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

base::Status put(const std::string& value, std::int64_t lease) {
    pb::PutRequest request;
    request.set_key(range_args.key);
    request.set_lease(lease);
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
    net::GrpcChannel channel(*loop, channel_options(t));
    for (;;) {
        auto stream =
            co_await channel.open("/etcdserverpb.Watch/Watch", base::Millis(common.timeout_ms));
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

base::Status compact(std::int64_t revision, bool physical) {
    pb::CompactionRequest request;
    request.set_revision(revision);
    request.set_physical(physical);
    TRY_VOID([&]() -> base::Status {
        TRY(auto response, call<pb::CompactionResponse>("/etcdserverpb.KV/Compact", request));
        return {};
    }());
    fmt::print("compacted revision {}\n", revision);
    return {};
}

base::Status member_list() {
    TRY(auto response,
        call<pb::MemberListResponse>("/etcdserverpb.Cluster/MemberList", pb::MemberListRequest()));
    json::array members;
    for (const auto& m : response.members()) {
        json::array peers(m.peerurls().begin(), m.peerurls().end());
        json::array clients(m.clienturls().begin(), m.clienturls().end());
        members.push_back(json::object{{"id", fmt::format("{:x}", m.id())},
                                       {"name", m.name()},
                                       {"peer_urls", std::move(peers)},
                                       {"client_urls", std::move(clients)},
                                       {"learner", m.islearner()}});
    }
    if (as_json()) return print_json(json::object{{"members", std::move(members)}}), base::Status();
    fmt::print("{:<18} {:<10} {:<28} {:<28} {}\n", "ID", "NAME", "PEER", "CLIENT", "LEARNER");
    for (const auto& m : response.members())
        fmt::print("{:<18x} {:<10} {:<28} {:<28} {}\n", m.id(), m.name(),
                   m.peerurls_size() > 0 ? m.peerurls(0) : "",
                   m.clienturls_size() > 0 ? m.clienturls(0) : "", m.islearner() ? "yes" : "no");
    return {};
}

// One line for every member; false when one of them does not answer.
base::Status each_member(const std::function<base::Result<json::object>(const Target&)>& ask) {
    TRY(const Target all, target());
    bool failed = false;
    json::array rows;
    for (const auto& endpoint : all.endpoints) {
        Target one{{endpoint}, {}, all.tls};
        auto row = ask(one);
        json::object out = row ? std::move(*row) : json::object{{"error", row.error().message}};
        failed = failed || !row;
        out["endpoint"] = endpoint.to_string();
        rows.push_back(std::move(out));
    }
    if (as_json())
        print_json(json::object{{"members", std::move(rows)}});
    else
        for (const auto& row : rows) {
            fmt::print("{}", std::string(row.at("endpoint").as_string()));
            for (const auto& [key, value] : row.as_object())
                if (key != "endpoint")
                    fmt::print("  {}={}", std::string(key),
                               value.is_string() ? std::string(value.as_string())
                                                 : json::serialize(value));
            fmt::print("\n");
        }
    if (failed) return base::unavailable("a member does not answer");
    return {};
}

base::Status status() {
    return each_member([](const Target& one) -> base::Result<json::object> {
        TRY(auto s, call_at<pb::StatusResponse>(one, "/etcdserverpb.Maintenance/Status",
                                                pb::StatusRequest()));
        return json::object{{"id", fmt::format("{:x}", s.header().member_id())},
                            {"leader", s.leader() == s.header().member_id()},
                            {"term", s.raftterm()},
                            {"revision", s.header().revision()},
                            {"raft_index", s.raftindex()},
                            {"applied_index", s.raftappliedindex()},
                            {"db_size", s.dbsize()}};
    });
}

base::Status hash(std::int64_t revision) {
    return each_member([revision](const Target& one) -> base::Result<json::object> {
        pb::HashKVRequest request;
        request.set_revision(revision);
        TRY(auto h, call_at<pb::HashKVResponse>(one, "/etcdserverpb.Maintenance/HashKV", request));
        return json::object{{"hash", h.hash()},
                            {"revision", h.hash_revision()},
                            {"compact_revision", h.compact_revision()}};
    });
}

base::Status move_leader(const std::string& to) {
    std::uint64_t id = 0;
    TRY(auto members,
        call<pb::MemberListResponse>("/etcdserverpb.Cluster/MemberList", pb::MemberListRequest()));
    for (const auto& m : members.members())
        if (m.name() == to || fmt::format("{:x}", m.id()) == to) id = m.id();
    if (id == 0) return base::invalid_argument("no member is called " + to);
    TRY(const Target all, target());
    base::Status last = base::unavailable("no member leads now");
    for (const auto& endpoint : all.endpoints) {
        Target one{{endpoint}, {}, all.tls};
        pb::MoveLeaderRequest request;
        request.set_targetid(id);
        auto moved =
            call_at<pb::MoveLeaderResponse>(one, "/etcdserverpb.Maintenance/MoveLeader", request);
        if (moved) return fmt::print("leadership moved to {:x}\n", id), base::Status();
        if (moved.error().message != "etcdserver: not leader") last = moved.error();
    }
    return last;
}

base::Task<void> snapshot_task(base::Loop* loop, Target t, int fd) {
    net::GrpcChannel channel(*loop, channel_options(t));
    CO_TRY(auto stream, co_await channel.open("/etcdserverpb.Maintenance/Snapshot",
                                              base::Millis(common.timeout_ms)));
    CO_TRY_VOID(stream->write(pb::SnapshotRequest().SerializeAsString()));
    stream->half_close();
    std::uint64_t received = 0;
    for (;;) {
        CO_TRY(auto message, co_await stream->read());
        if (!message) break;
        pb::SnapshotResponse response;
        if (!response.ParseFromString(*message))
            co_return base::internal_error("the answer cannot be read");
        if (::write(fd, response.blob().data(), response.blob().size()) !=
            static_cast<ssize_t>(response.blob().size()))
            co_return base::errno_error(errno, "write the snapshot");
        received += response.blob().size();
        if (::isatty(2) != 0)
            fmt::print(stderr, "\r{} of {} bytes", received, received + response.remaining_bytes());
    }
    if (::isatty(2) != 0) fmt::print(stderr, "\n");
    constexpr std::uint64_t kBlock = 512;
    constexpr std::uint64_t kDigest = 32;
    if (received % kBlock != kDigest) co_return base::data_loss("the snapshot is cut short");
    co_return base::Status();
}

base::Status snapshot_save(const std::string& path) {
    TRY(const Target t, target());
    const std::string part = path + ".part";
    const int fd = ::open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) return base::errno_error(errno, "create " + part);
    auto saved = run_blocking<void>([&](base::Loop& loop) { return snapshot_task(&loop, t, fd); });
    if (saved && ::fsync(fd) != 0) saved = base::errno_error(errno, "sync " + part);
    ::close(fd);
    if (!saved) {
        ::unlink(part.c_str());
        return saved;
    }
    if (::rename(part.c_str(), path.c_str()) != 0)
        return base::errno_error(errno, "rename " + part);
    fmt::print("saved {}\n", path);
    return {};
}

// Leases go by their id in hexadecimal, as etcdctl shows them.
base::Result<std::int64_t> lease_id(const std::string& text) {
    std::uint64_t id = 0;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), id, 16);
    if (ec != std::errc() || end != text.data() + text.size())
        return base::invalid_argument("\"" + text + "\" is no lease id (hexadecimal)");
    return static_cast<std::int64_t>(id);
}

base::Status lease_grant(std::int64_t ttl) {
    pb::LeaseGrantRequest request;
    request.set_ttl(ttl);
    TRY(auto response, call<pb::LeaseGrantResponse>("/etcdserverpb.Lease/LeaseGrant", request));
    if (as_json())
        return print_json(json::object{{"id", fmt::format("{:x}", response.id())},
                                       {"ttl", response.ttl()}}),
               base::Status();
    fmt::print("lease {:x} granted with TTL({}s)\n", response.id(), response.ttl());
    return {};
}

base::Status lease_revoke(const std::string& text) {
    pb::LeaseRevokeRequest request;
    TRY(const std::int64_t id, lease_id(text));
    request.set_id(id);
    TRY_VOID([&]() -> base::Status {
        TRY(auto response,
            call<pb::LeaseRevokeResponse>("/etcdserverpb.Lease/LeaseRevoke", request));
        return {};
    }());
    fmt::print("lease {} revoked\n", text);
    return {};
}

base::Status lease_show(const std::string& text) {
    pb::LeaseTimeToLiveRequest request;
    TRY(const std::int64_t id, lease_id(text));
    request.set_id(id);
    request.set_keys(true);
    TRY(auto response,
        call<pb::LeaseTimeToLiveResponse>("/etcdserverpb.Lease/LeaseTimeToLive", request));
    if (response.ttl() < 0) return base::not_found("there is no lease " + text);
    json::array keys(response.keys().begin(), response.keys().end());
    if (as_json())
        return print_json(json::object{{"id", text},
                                       {"ttl", response.ttl()},
                                       {"granted_ttl", response.grantedttl()},
                                       {"keys", std::move(keys)}}),
               base::Status();
    fmt::print("lease {}: {} of {} s left\n", text, response.ttl(), response.grantedttl());
    for (const auto& key : response.keys())
        fmt::print("{}\n", key);
    return {};
}

base::Status lease_list() {
    TRY(auto response,
        call<pb::LeaseLeasesResponse>("/etcdserverpb.Lease/LeaseLeases", pb::LeaseLeasesRequest()));
    json::array leases;
    for (const auto& l : response.leases())
        leases.emplace_back(fmt::format("{:x}", l.id()));
    if (as_json()) return print_json(json::object{{"leases", std::move(leases)}}), base::Status();
    for (const auto& l : leases)
        fmt::print("{}\n", std::string(l.as_string()));
    return {};
}

void add_common(CLI::App* app) {
    app->add_option("--cluster", common.cluster,
                    "directory of a cluster that `coxctl cluster up` made");
    app->add_option("--endpoints", common.endpoints, "host:port of members")->delimiter(',');
    app->add_option("--cacert", common.tls.ca, "PEM: who signed the members' certificates");
    app->add_option("--cert", common.tls.certificate, "PEM: the certificate to show");
    app->add_option("--key-file", common.tls.key, "PEM: its private key");
    app->add_option("-o,--output", common.format, "table or json")
        ->check(CLI::IsMember({"table", "json"}))
        ->capture_default_str();
    app->add_option("--timeout-ms", common.timeout_ms, "of a call")->capture_default_str();
}

}  // namespace

void add_store_commands(CLI::App& app, int* exit_code) {
    auto command = [exit_code](CLI::App& parent, const char* name, const char* help,
                               std::function<base::Status()> run) {
        auto* sub = parent.add_subcommand(name, help);
        add_common(sub);
        sub->callback([exit_code, run] { *exit_code = report(run()); });
        return sub;
    };
    auto with_range = [](CLI::App* sub, bool key_required) {
        auto* key = sub->add_option("key", range_args.key, "the key, or the first of a range");
        if (key_required) key->required();
        sub->add_option("range-end", range_args.end, "the first key behind the range");
        sub->add_flag("--prefix", range_args.prefix, "all keys that begin with the key");
    };
    auto* get_command = command(app, "get", "show keys", get);
    with_range(get_command, false);
    get_command->add_option("--rev", range_args.revision, "as of this revision");
    get_command->add_option("--limit", range_args.limit, "at most so many");
    get_command->add_flag("--serializable", range_args.serializable,
                          "whatever the asked member has, without a quorum");
    get_command->add_flag("--keys-only", range_args.keys_only, "no values");
    get_command->add_flag("--count-only", range_args.count_only, "just how many");
    auto* list_command = command(app, "list", "show the keys under a prefix", [] {
        range_args.prefix = true;
        range_args.keys_only = true;
        return get();
    });
    list_command->add_option("prefix", range_args.key, "the prefix; none: everything");
    list_command->add_option("--limit", range_args.limit, "at most so many");
    list_command->add_option("--rev", range_args.revision, "as of this revision");

    static std::string value;
    static std::int64_t lease = 0;
    auto* put_command = command(app, "put", "write a key", [] { return put(value, lease); });
    put_command->add_option("key", range_args.key, "the key")->required();
    put_command->add_option("value", value, "the value; - reads it from the standard input")
        ->required();
    put_command->add_option("--lease", lease, "id of the lease that it hangs on");
    with_range(command(app, "del", "delete keys", del), true);
    auto* watch_command =
        command(app, "watch",
                "show changes as they come; goes on with another member when one is lost", watch);
    with_range(watch_command, false);
    watch_command->add_option("--rev", range_args.revision, "from this revision on");

    static std::vector<std::string> ifs, thens, elses;
    auto* txn_command =
        command(app, "txn", "compare, then do one thing or the other, in one revision",
                [] { return txn(ifs, thens, elses); });
    txn_command->add_option(
        "--if", ifs, "\"key = value\", \"mod(key) > 3\", \"version(key) = 0\"; all must hold");
    txn_command->add_option("--then", thens, "\"put key value\", \"get key\", \"del key\"");
    txn_command->add_option("--else", elses, "the same, for when not all hold");

    static std::int64_t revision = 0;
    static bool physical = false;
    auto* compact_command = command(app, "compact", "forget what was before a revision",
                                    [] { return compact(revision, physical); });
    compact_command->add_option("revision", revision, "the oldest that stays readable")->required();
    compact_command->add_flag("--physical", physical, "wait until the space is freed");

    auto* member = app.add_subcommand("member", "the members of the cluster");
    member->require_subcommand(1);
    command(*member, "list", "who they are", member_list);
    command(app, "status", "what each member says of itself", status);
    command(app, "hash", "each member's hash of the content; they must agree at a revision", [] {
        return hash(revision);
    })->add_option("--rev", revision, "up to this revision; 0: the newest");
    static std::string text;
    command(app, "move-leader", "hand leadership over", [] { return move_leader(text); })
        ->add_option("member", text, "name or id")
        ->required();
    auto* snapshot = app.add_subcommand("snapshot", "copies of the whole store");
    snapshot->require_subcommand(1);
    command(*snapshot, "save", "write one to a file", [] { return snapshot_save(text); })
        ->add_option("file", text, "where to")
        ->required();

    auto* lease_group = app.add_subcommand("lease", "leases");
    lease_group->require_subcommand(1);
    static std::int64_t ttl = 0;
    command(*lease_group, "grant", "make one", [] { return lease_grant(ttl); })
        ->add_option("ttl", ttl, "seconds")
        ->required();
    command(*lease_group, "revoke", "end one, and delete its keys",
            [] { return lease_revoke(text); })
        ->add_option("id", text)
        ->required();
    command(*lease_group, "show", "what is left of one, and its keys",
            [] { return lease_show(text); })
        ->add_option("id", text)
        ->required();
    command(*lease_group, "list", "all of them", lease_list);
}

}  // namespace tools
