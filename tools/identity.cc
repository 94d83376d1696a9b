#include "tools/identity.h"

#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <filesystem>
#include <sstream>
#include <thread>

#include "base/file.h"
#include "base/log.h"
#include "kvstore/proto/rpc.pb.h"
#include "tools/member_id.h"
#include "tools/store_client.h"

namespace tools {

namespace pb = etcdserverpb;

namespace {

constexpr auto kJoinPatience = std::chrono::seconds(30);
constexpr auto kJoinPause = std::chrono::milliseconds(500);
constexpr base::Millis kAskTimeout{3000};

std::optional<std::uint64_t> hex(const std::string& text) {
    std::uint64_t out = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out, 16);
    if (error != std::errc() || end != text.data() + text.size() || out == 0) return std::nullopt;
    return out;
}

base::Result<Identity> ask_cluster(const Config& config) {
    Target target;
    for (const auto& text : config.join) {
        TRY(auto endpoint, net::Endpoint::parse(text));
        target.endpoints.push_back(std::move(endpoint));
    }
    if (!config.insecure) target.tls = config.tls.client();
    pb::MemberListRequest request;
    request.set_linearizable(true);
    TRY(const std::string bytes, call_bytes(target, "/etcdserverpb.Cluster/MemberList",
                                            request.SerializeAsString(), kAskTimeout));
    pb::MemberListResponse response;
    if (!response.ParseFromString(bytes)) return base::internal_error("the answer cannot be read");
    const std::string own = advertised_peer(config);
    Identity out;
    out.joined = true;
    out.cluster = response.header().cluster_id();
    for (const auto& m : response.members()) {
        kvstore::Member other;
        other.id = raft::NodeId(m.id());
        for (const auto& url : m.peerurls()) {
            other.peer_urls.push_back(url);
            if (url == own) out.id = m.id();
        }
        out.others.push_back(std::move(other));
    }
    std::erase_if(out.others, [&](const auto& m) { return m.id.value() == out.id; });
    if (out.id == 0)
        return base::Error(base::Code::kFailedPrecondition,
                           "the cluster has no member with the peer URL " + own +
                               " (coxctl member add makes one)");
    return out;
}

base::Result<Identity> join(const Config& config) {
    const auto until = std::chrono::steady_clock::now() + kJoinPatience;
    for (;;) {
        auto identity = ask_cluster(config);
        if (identity) return identity;
        if (identity.error().code == base::Code::kFailedPrecondition ||
            std::chrono::steady_clock::now() > until)
            return identity.error().with_context("--join");
        LOG_INFO("store", "--join: {}; trying again", identity.error().message);
        std::this_thread::sleep_for(kJoinPause);
    }
}

Identity configured(const Config& config) {
    Identity out;
    out.id = member_id(config.cluster_token, config.name);
    std::vector<std::string> names;
    for (const auto& m : config.initial_cluster)
        names.push_back(m.substr(0, m.find('=')));
    out.cluster = cluster_id(config.cluster_token, names);
    return out;
}

}  // namespace

std::string advertised_peer(const Config& c) {
    if (!c.advertise_peer.empty()) return c.advertise_peer;
    return (c.insecure ? "http://" : "https://") + c.listen_peer;
}

std::string encode(const Identity& identity) {
    std::string out = fmt::format("cluster {:x}\nmember {:x}\n", identity.cluster, identity.id);
    if (identity.joined) out += "joined\n";
    for (const auto& m : identity.others)
        for (const auto& url : m.peer_urls)
            out += fmt::format("peer {:x} {}\n", m.id.value(), url);
    return out;
}

base::Result<Identity> decode_identity(const std::string& text) {
    Identity out;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        std::string what;
        std::string id;
        std::string url;
        words >> what >> id >> url;
        const auto number = hex(id);
        if (what == "joined" && id.empty()) {
            out.joined = true;
        } else if (what == "cluster" && number) {
            out.cluster = *number;
        } else if (what == "member" && number) {
            out.id = *number;
        } else if (what == "peer" && number && !url.empty()) {
            if (out.others.empty() || out.others.back().id.value() != *number) {
                out.others.emplace_back();
                out.others.back().id = raft::NodeId(*number);
            }
            out.others.back().peer_urls.push_back(url);
        } else {
            return base::data_loss("\"" + line + "\" is no line of a member's identity");
        }
    }
    if (out.id == 0 || out.cluster == 0)
        return base::data_loss("the member's identity is cut short");
    return out;
}

base::Result<Identity> find_identity(const Config& config) {
    const std::string path = config.data_dir + "/identity";
    std::error_code ignored;
    if (std::filesystem::exists(path, ignored)) {
        TRY(const std::string text, base::read_file(path));
        auto identity = decode_identity(text);
        if (!identity) return identity.error().with_context(path);
        return identity;
    }
    Identity out = configured(config);
    // A directory from before identities were written down is that of a configured member.
    if (!config.join.empty() && !std::filesystem::exists(config.data_dir + "/log", ignored)) {
        TRY(out, join(config));
    }
    TRY_VOID(base::write_file_atomic(path, encode(out), 0600));
    return out;
}

}  // namespace tools
