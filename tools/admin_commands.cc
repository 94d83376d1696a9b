// Commands on the store itself: status, hashes, compaction, leadership, alarms, leases.

#include "tools/store_commands.h"

#include <fmt/format.h>

#include <boost/json.hpp>

#include "kvstore/proto/rpc.pb.h"
#include "tools/blocking.h"
#include "tools/store_client.h"

namespace tools {

namespace pb = etcdserverpb;
namespace json = boost::json;

namespace {

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

// One line for every member; false when one of them does not answer.
base::Status each_member(const std::function<base::Result<json::object>(const Target&)>& ask) {
    TRY(const Target all, target());
    bool failed = false;
    json::array rows;
    for (const auto& endpoint : all.endpoints) {
        const Target one = all.only(endpoint);
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

// Without a revision: at the newest of one member, for what they have each written last may differ
// while somebody writes.
base::Status hash(std::int64_t revision) {
    if (revision == 0) {
        TRY(const auto s,
            call<pb::StatusResponse>("/etcdserverpb.Maintenance/Status", pb::StatusRequest()));
        revision = s.header().revision();
    }
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
        const Target one = all.only(endpoint);
        pb::MoveLeaderRequest request;
        request.set_targetid(id);
        auto moved =
            call_at<pb::MoveLeaderResponse>(one, "/etcdserverpb.Maintenance/MoveLeader", request);
        if (moved) return fmt::print("leadership moved to {:x}\n", id), base::Status();
        if (moved.error().message != "etcdserver: not leader") last = moved.error();
    }
    return last;
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

// Renews the lease whenever a third of its time is over. A member that goes away is no end: the
// next one takes the stream.
base::Task<void> keep_alive_task(base::Loop* loop, Target t, std::int64_t id, bool once) {
    net::GrpcChannel channel(*loop, t.channel());
    pb::LeaseKeepAliveRequest request;
    request.set_id(id);
    for (;;) {
        auto stream = co_await channel.open("/etcdserverpb.Lease/LeaseKeepAlive", call_timeout(),
                                            t.metadata());
        if (!stream) co_return stream.error();
        for (;;) {
            CO_TRY_VOID((*stream)->write(request.SerializeAsString()));
            auto message = co_await (*stream)->read();
            if (!message || !*message) break;
            pb::LeaseKeepAliveResponse response;
            if (!response.ParseFromString(**message))
                co_return base::internal_error("the answer cannot be read");
            if (response.ttl() <= 0)
                co_return base::not_found(fmt::format("there is no lease {:x}", id));
            if (as_json())
                print_json(json::object{{"id", fmt::format("{:x}", id)}, {"ttl", response.ttl()}});
            else
                fmt::print("lease {:x} keepalived with TTL({})\n", id, response.ttl());
            std::fflush(stdout);
            if (once) co_return base::Status();
            const base::Millis pause(response.ttl() * 1000 / 3);
            CO_TRY_VOID(co_await base::sleep_for(pause));
        }
        const base::Millis pause(200);
        CO_TRY_VOID(co_await base::sleep_for(pause));
    }
}

base::Status lease_keep_alive(const std::string& text, bool once) {
    TRY(const Target t, target());
    TRY(const std::int64_t id, lease_id(text));
    return run_blocking<void>(
        [&](base::Loop& loop) { return keep_alive_task(&loop, t, id, once); });
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

base::Status defragment() {
    return each_member([](const Target& one) -> base::Result<json::object> {
        TRY(const std::string bytes,
            call_bytes(one, "/etcdserverpb.Maintenance/Defragment",
                       pb::DefragmentRequest().SerializeAsString(), base::Millis(600'000)));
        return json::object{{"defragmented", true}};
    });
}

base::Status alarms(bool disarm) {
    TRY(auto response,
        call<pb::AlarmResponse>("/etcdserverpb.Maintenance/Alarm", pb::AlarmRequest()));
    json::array rows;
    for (const auto& alarm : response.alarms()) {
        if (disarm) {
            pb::AlarmRequest request;
            request.set_action(pb::AlarmRequest::DEACTIVATE);
            request.set_memberid(alarm.memberid());
            request.set_alarm(alarm.alarm());
            TRY(auto done, call<pb::AlarmResponse>("/etcdserverpb.Maintenance/Alarm", request));
        }
        rows.push_back(json::object{{"member", fmt::format("{:x}", alarm.memberid())},
                                    {"alarm", pb::AlarmType_Name(alarm.alarm())}});
    }
    if (as_json()) return print_json(json::object{{"alarms", std::move(rows)}}), base::Status();
    for (const auto& row : rows)
        fmt::print("{}  {}{}\n", std::string(row.at("member").as_string()),
                   std::string(row.at("alarm").as_string()), disarm ? "  disarmed" : "");
    return {};
}

}  // namespace

void add_admin_commands(CLI::App& app, int* exit_code) {
    static std::int64_t revision = 0;
    static bool physical = false;
    auto* compact_command =
        store_command(app, exit_code, "compact", "forget what was before a revision",
                      [] { return compact(revision, physical); });
    compact_command->add_option("revision", revision, "the oldest that stays readable")->required();
    compact_command->add_flag("--physical", physical, "wait until the space is freed");

    store_command(app, exit_code, "status", "what each member says of itself", status);
    store_command(app, exit_code, "hash",
                  "each member's hash of the content; they must agree at a revision",
                  [] { return hash(revision); })
        ->add_option("--rev", revision, "up to this revision; 0: the newest");
    static std::string text;
    store_command(app, exit_code, "move-leader", "hand leadership over",
                  [] { return move_leader(text); })
        ->add_option("member", text, "name or id")
        ->required();
    store_command(app, exit_code, "defrag", "give freed space back, on every member", defragment);
    auto* alarm = app.add_subcommand("alarm", "what keeps the store from taking writes");
    alarm->require_subcommand(1);
    store_command(*alarm, exit_code, "list", "those that are raised", [] { return alarms(false); });
    store_command(*alarm, exit_code, "disarm", "drop all of them", [] { return alarms(true); });
    auto* lease_group = app.add_subcommand("lease", "leases");
    lease_group->require_subcommand(1);
    static std::int64_t ttl = 0;
    store_command(*lease_group, exit_code, "grant", "make one", [] { return lease_grant(ttl); })
        ->add_option("ttl", ttl, "seconds")
        ->required();
    store_command(*lease_group, exit_code, "revoke", "end one, and delete its keys",
                  [] { return lease_revoke(text); })
        ->add_option("id", text)
        ->required();
    store_command(*lease_group, exit_code, "show", "what is left of one, and its keys",
                  [] { return lease_show(text); })
        ->add_option("id", text)
        ->required();
    static bool once = false;
    auto* keep_alive =
        store_command(*lease_group, exit_code, "keep-alive", "renew one until this is stopped",
                      [] { return lease_keep_alive(text, once); });
    keep_alive->add_option("id", text, "its id")->required();
    keep_alive->add_flag("--once", once, "renew it once");
    store_command(*lease_group, exit_code, "list", "all of them", lease_list);
}

}  // namespace tools
