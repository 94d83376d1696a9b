// `coxctl member …`: who is in the cluster.

#include <fmt/format.h>

#include <boost/json.hpp>
#include <charconv>
#include <chrono>
#include <thread>

#include "kvstore/proto/members.pb.h"
#include "kvstore/proto/rpc.pb.h"
#include "tools/store_client.h"
#include "tools/store_commands.h"

namespace tools {

namespace pb = etcdserverpb;
namespace json = boost::json;

namespace {

template <class Response>
base::Status print_members(const Response& response) {
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

base::Status member_list() {
    pb::MemberListRequest request;
    request.set_linearizable(true);
    TRY(auto response, call<pb::MemberListResponse>("/etcdserverpb.Cluster/MemberList", request));
    return print_members(response);
}

// By its id in hexadecimal or, when that is one member's only, its name.
base::Result<std::uint64_t> find_member(const std::string& text) {
    TRY(auto list,
        call<pb::MemberListResponse>("/etcdserverpb.Cluster/MemberList", pb::MemberListRequest()));
    for (const auto& m : list.members())
        if (m.name() == text || fmt::format("{:x}", m.id()) == text) return m.id();
    std::uint64_t id = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id, 16);
    if (error != std::errc() || end != text.data() + text.size())
        return base::invalid_argument("no member is called " + text);
    return id;
}

base::Status member_add(const std::vector<std::string>& urls, bool learner) {
    pb::MemberAddRequest request;
    for (const auto& url : urls)
        request.add_peerurls(url);
    request.set_islearner(learner);
    TRY(auto response, call<pb::MemberAddResponse>("/etcdserverpb.Cluster/MemberAdd", request));
    if (as_json())
        return print_json(json::object{{"id", fmt::format("{:x}", response.member().id())},
                                       {"members", response.members_size()}}),
               base::Status();
    fmt::print("member {:x} added; start it with --join and this peer URL\n",
               response.member().id());
    return {};
}

template <class Request, class Response>
base::Status change(const char* path, Request request, const std::string& text) {
    TRY(const std::uint64_t id, find_member(text));
    request.set_id(id);
    TRY(auto response, call<Response>(path, request));
    return print_members(response);
}

base::Status member_update(const std::string& text, const std::vector<std::string>& urls) {
    pb::MemberUpdateRequest request;
    for (const auto& url : urls)
        request.add_peerurls(url);
    return change<pb::MemberUpdateRequest, pb::MemberUpdateResponse>(
        "/etcdserverpb.Cluster/MemberUpdate", std::move(request), text);
}

base::Status member_remove(const std::string& text) {
    return change<pb::MemberRemoveRequest, pb::MemberRemoveResponse>(
        "/etcdserverpb.Cluster/MemberRemove", {}, text);
}

base::Status member_promote(const std::string& text) {
    return change<pb::MemberPromoteRequest, pb::MemberPromoteResponse>(
        "/etcdserverpb.Cluster/MemberPromote", {}, text);
}

// Learners that have not caught up yet are waited for, `wait_seconds` at most.
base::Status members_change(const std::vector<std::string>& promote,
                            const std::vector<std::string>& remove, int wait_seconds) {
    coxswainpb::MembersChangeRequest request;
    for (const auto& text : promote) {
        TRY(const std::uint64_t id, find_member(text));
        request.add_promote(id);
    }
    for (const auto& text : remove) {
        TRY(const std::uint64_t id, find_member(text));
        request.add_remove(id);
    }
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(wait_seconds);
    for (;;) {
        auto response =
            call<coxswainpb::MembersChangeResponse>("/coxswainpb.Members/Change", request);
        if (response) return print_members(*response);
        const bool behind =
            response.error().message.find("in sync with leader") != std::string::npos;
        if (!behind || std::chrono::steady_clock::now() >= until) return response.error();
        std::this_thread::sleep_for(base::Millis(200));
    }
}

}  // namespace

void add_member_commands(CLI::App& app, int* exit_code) {
    static std::string text;
    static std::vector<std::string> urls;
    static bool learner = false;
    auto* member = app.add_subcommand("member", "the members of the cluster");
    member->require_subcommand(1);
    store_command(*member, exit_code, "list", "who they are", member_list);
    auto* add = store_command(*member, exit_code, "add", "make room for one more",
                              [] { return member_add(urls, learner); });
    add->add_option("--peer-urls", urls, "where it will be")->delimiter(',')->required();
    add->add_flag("--learner", learner, "it gets the data and has no vote until it is promoted");
    auto* update = store_command(*member, exit_code, "update", "change where one is",
                                 [] { return member_update(text, urls); });
    update->add_option("member", text, "name or id")->required();
    update->add_option("--peer-urls", urls, "where it is now")->delimiter(',')->required();
    store_command(*member, exit_code, "remove", "take one out", [] { return member_remove(text); })
        ->add_option("member", text, "name or id")
        ->required();
    store_command(*member, exit_code, "promote", "give a learner its vote",
                  [] { return member_promote(text); })
        ->add_option("member", text, "name or id")
        ->required();
    static std::vector<std::string> promote;
    static std::vector<std::string> leave;
    static int wait_seconds = 0;
    auto* change =
        store_command(*member, exit_code, "change", "promote and remove several in one step",
                      [] { return members_change(promote, leave, wait_seconds); });
    change->add_option("--promote", promote, "learners that get a vote: names or ids")
        ->delimiter(',');
    change->add_option("--remove", leave, "members that leave: names or ids")->delimiter(',');
    change->add_option("--wait", wait_seconds, "seconds to wait until the learners keep up")
        ->check(CLI::Range(0, 86400));
}

}  // namespace tools
