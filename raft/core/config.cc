#include "raft/core/config.h"

#include <algorithm>

#include "base/bytes.h"

namespace raft {
namespace {

constexpr std::size_t kMaxPeers = 1000;

void append_peer(std::string* out, const Peer& peer) {
    base::append_varint(out, peer.id.value());
    out->push_back(peer.learner ? 1 : 0);
    base::append_varint(out, peer.context.size());
    out->append(peer.context);
}

bool take_id(std::string_view* in, NodeId* out) {
    std::uint64_t v = 0;
    if (!base::take_varint(in, &v)) return false;
    *out = NodeId(v);
    return true;
}

bool take_peer(std::string_view* in, Peer* out) {
    if (!take_id(in, &out->id) || in->empty()) return false;
    const char flags = in->front();
    if (flags != 0 && flags != 1) return false;
    out->learner = flags == 1;
    in->remove_prefix(1);
    std::uint64_t size = 0;
    if (!base::take_varint(in, &size) || size > in->size()) return false;
    out->context.assign(in->substr(0, size));
    in->remove_prefix(size);
    return true;
}

}  // namespace

const Peer* Config::find(NodeId id) const {
    const auto it = std::lower_bound(peers.begin(), peers.end(), id,
                                     [](const Peer& p, NodeId want) { return p.id < want; });
    return it != peers.end() && it->id == id ? &*it : nullptr;
}

bool Config::is_voter(NodeId id) const {
    const Peer* peer = find(id);
    return peer != nullptr && !peer->learner;
}

std::size_t Config::voters() const {
    return static_cast<std::size_t>(
        std::count_if(peers.begin(), peers.end(), [](const Peer& p) { return !p.learner; }));
}

Changed apply_change(const Config& config, const ConfigChange& change) {
    Changed out{Reject::kNone, config};
    auto& peers = out.config.peers;
    const auto at = std::lower_bound(peers.begin(), peers.end(), change.peer.id,
                                     [](const Peer& p, NodeId want) { return p.id < want; });
    const bool there = at != peers.end() && at->id == change.peer.id;
    switch (change.kind) {
        case ChangeKind::kAddVoter:
        case ChangeKind::kAddLearner:
            if (there) return {Reject::kMemberExists, {}};
            if (change.peer.id == kNobody || peers.size() >= kMaxPeers)
                return {Reject::kMalformed, {}};
            peers.insert(at, Peer{change.peer.id, change.kind == ChangeKind::kAddLearner,
                                  change.peer.context});
            return out;
        case ChangeKind::kPromote:
            if (!there) return {Reject::kMemberNotFound, {}};
            if (!at->learner) return {Reject::kNotLearner, {}};
            at->learner = false;
            return out;
        case ChangeKind::kRemove:
            if (!there) return {Reject::kMemberNotFound, {}};
            if (!at->learner && config.voters() == 1) return {Reject::kUnhealthy, {}};
            peers.erase(at);
            return out;
        case ChangeKind::kUpdate:
            if (!there) return {Reject::kMemberNotFound, {}};
            at->context = change.peer.context;
            return out;
    }
    return {Reject::kMalformed, {}};
}

std::string encode(const ConfigEntry& entry) {
    std::string out;
    base::append_varint(&out, entry.request.node.value());
    base::append_varint(&out, entry.request.sequence);
    base::append_varint(&out, entry.config.peers.size());
    for (const Peer& peer : entry.config.peers)
        append_peer(&out, peer);
    return out;
}

std::optional<ConfigEntry> decode_config_entry(std::string_view bytes) {
    ConfigEntry out;
    std::uint64_t count = 0;
    if (!take_id(&bytes, &out.request.node) || !base::take_varint(&bytes, &out.request.sequence) ||
        !base::take_varint(&bytes, &count) || count > kMaxPeers)
        return std::nullopt;
    for (std::uint64_t i = 0; i < count; ++i) {
        Peer peer;
        if (!take_peer(&bytes, &peer)) return std::nullopt;
        if (!out.config.peers.empty() && !(out.config.peers.back().id < peer.id))
            return std::nullopt;
        out.config.peers.push_back(std::move(peer));
    }
    if (!bytes.empty()) return std::nullopt;
    return out;
}

std::string encode(const ChangeRequest& request) {
    std::string out;
    base::append_varint(&out, request.request.node.value());
    base::append_varint(&out, request.request.sequence);
    out.push_back(static_cast<char>(request.change.kind));
    append_peer(&out, request.change.peer);
    return out;
}

std::optional<ChangeRequest> decode_change_request(std::string_view bytes) {
    ChangeRequest out;
    if (!take_id(&bytes, &out.request.node) || !base::take_varint(&bytes, &out.request.sequence) ||
        bytes.empty())
        return std::nullopt;
    const auto kind = static_cast<std::uint8_t>(bytes.front());
    if (kind > static_cast<std::uint8_t>(ChangeKind::kUpdate)) return std::nullopt;
    out.change.kind = static_cast<ChangeKind>(kind);
    bytes.remove_prefix(1);
    if (!take_peer(&bytes, &out.change.peer) || !bytes.empty()) return std::nullopt;
    return out;
}

}  // namespace raft
