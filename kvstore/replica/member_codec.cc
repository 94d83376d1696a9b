#include "kvstore/replica/member_codec.h"

#include <algorithm>

#include "base/bytes.h"

namespace kvstore {
namespace {

void append_text(std::string* out, const std::string& text) {
    base::append_varint(out, text.size());
    out->append(text);
}

void append_list(std::string* out, const std::vector<std::string>& list) {
    base::append_varint(out, list.size());
    for (const std::string& text : list)
        append_text(out, text);
}

bool take_text(std::string_view* in, std::string* out) {
    std::uint64_t size = 0;
    if (!base::take_varint(in, &size) || size > in->size()) return false;
    out->assign(in->substr(0, size));
    in->remove_prefix(size);
    return true;
}

bool take_list(std::string_view* in, std::vector<std::string>* out) {
    std::uint64_t count = 0;
    if (!base::take_varint(in, &count) || count > in->size()) return false;
    for (std::uint64_t i = 0; i < count; ++i) {
        std::string text;
        if (!take_text(in, &text)) return false;
        out->push_back(std::move(text));
    }
    return true;
}

}  // namespace

raft::Peer to_peer(const Member& member) {
    raft::Peer peer{member.id, member.learner, {}};
    append_text(&peer.context, member.name);
    append_list(&peer.context, member.peer_urls);
    append_list(&peer.context, member.client_urls);
    return peer;
}

Member to_member(const raft::Peer& peer) {
    Member out;
    out.id = peer.id;
    out.learner = peer.learner;
    std::string_view in = peer.context;
    if (!take_text(&in, &out.name) || !take_list(&in, &out.peer_urls) ||
        !take_list(&in, &out.client_urls))
        return Member{peer.id, {}, {}, {}, peer.learner};
    return out;
}

raft::Config to_config(const std::vector<Member>& members) {
    raft::Config config;
    for (const Member& member : members)
        config.peers.push_back(to_peer(member));
    std::sort(config.peers.begin(), config.peers.end(),
              [](const raft::Peer& a, const raft::Peer& b) { return a.id < b.id; });
    return config;
}

std::vector<Member> to_members(const raft::Config& config) {
    std::vector<Member> out;
    for (const raft::Peer& peer : config.members())
        out.push_back(to_member(peer));
    return out;
}

}  // namespace kvstore
