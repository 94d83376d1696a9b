#include "raft/core/config.h"

#include <algorithm>

#include "base/bytes.h"

namespace raft {
namespace {

constexpr std::size_t kMaxPeers = 1000;
// Takes the place of a kind where a request holds several changes.
constexpr char kSeveral = '\x40';

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

bool take_peers(std::string_view* in, std::vector<Peer>* out) {
    std::uint64_t count = 0;
    if (!base::take_varint(in, &count) || count > kMaxPeers) return false;
    for (std::uint64_t i = 0; i < count; ++i) {
        Peer peer;
        if (!take_peer(in, &peer)) return false;
        if (!out->empty() && !(out->back().id < peer.id)) return false;
        out->push_back(std::move(peer));
    }
    return true;
}

void append_peers(std::string* out, const std::vector<Peer>& peers) {
    base::append_varint(out, peers.size());
    for (const Peer& peer : peers)
        append_peer(out, peer);
}

const Peer* find_in(const std::vector<Peer>& peers, NodeId id) {
    const auto it = std::lower_bound(peers.begin(), peers.end(), id,
                                     [](const Peer& p, NodeId want) { return p.id < want; });
    return it != peers.end() && it->id == id ? &*it : nullptr;
}

void append_change(std::string* out, const ConfigChange& change) {
    out->push_back(static_cast<char>(change.kind));
    append_peer(out, change.peer);
}

bool take_change(std::string_view* in, ConfigChange* out) {
    if (in->empty()) return false;
    const auto kind = static_cast<std::uint8_t>(in->front());
    if (kind > static_cast<std::uint8_t>(ChangeKind::kUpdate)) return false;
    out->kind = static_cast<ChangeKind>(kind);
    in->remove_prefix(1);
    return take_peer(in, &out->peer);
}

}  // namespace

const Peer* Config::find(NodeId id) const {
    const Peer* peer = find_in(peers, id);
    return peer != nullptr ? peer : find_in(outgoing, id);
}

bool Config::stays_voter(NodeId id) const {
    const Peer* peer = find_in(peers, id);
    return peer != nullptr && !peer->learner;
}

bool Config::is_voter(NodeId id) const {
    return stays_voter(id) || find_in(outgoing, id) != nullptr;
}

std::size_t Config::voters() const {
    std::size_t out = outgoing.size();
    for (const Peer& peer : peers)
        if (!peer.learner && find_in(outgoing, peer.id) == nullptr) ++out;
    return out;
}

std::vector<Peer> Config::members() const {
    std::vector<Peer> out = peers;
    for (const Peer& peer : outgoing)
        if (find_in(peers, peer.id) == nullptr) out.push_back(peer);
    std::sort(out.begin(), out.end(), [](const Peer& a, const Peer& b) { return a.id < b.id; });
    for (Peer& peer : out)
        peer.learner = !is_voter(peer.id);
    return out;
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

Changed apply_changes(const Config& config, const std::vector<ConfigChange>& changes) {
    if (changes.empty() || changes.size() > kMaxPeers) return {Reject::kMalformed, {}};
    if (config.joint()) return {Reject::kChangePending, {}};
    std::vector<ConfigChange> ordered = changes;
    std::stable_partition(ordered.begin(), ordered.end(),
                          [](const ConfigChange& c) { return c.kind != ChangeKind::kRemove; });
    Changed out{Reject::kNone, config};
    for (const ConfigChange& change : ordered) {
        out = apply_change(out.config, change);
        if (out.reject != Reject::kNone) return out;
    }
    std::size_t moved = 0;
    for (const Peer& peer : out.config.peers)
        if (!peer.learner && !config.is_voter(peer.id)) ++moved;
    for (const Peer& peer : config.peers)
        if (!peer.learner && !out.config.is_voter(peer.id)) ++moved;
    if (moved < 2) return out;
    for (const Peer& peer : config.peers)
        if (!peer.learner) out.config.outgoing.push_back(peer);
    return out;
}

Config leave_joint(const Config& config) {
    return {config.peers, {}};
}

std::string encode(const ConfigEntry& entry) {
    std::string out;
    base::append_varint(&out, entry.request.node.value());
    base::append_varint(&out, entry.request.sequence);
    append_peers(&out, entry.config.peers);
    if (entry.config.joint()) append_peers(&out, entry.config.outgoing);
    return out;
}

std::optional<ConfigEntry> decode_config_entry(std::string_view bytes) {
    ConfigEntry out;
    if (!take_id(&bytes, &out.request.node) || !base::take_varint(&bytes, &out.request.sequence) ||
        !take_peers(&bytes, &out.config.peers))
        return std::nullopt;
    if (bytes.empty()) return out;
    std::vector<Peer>& outgoing = out.config.outgoing;
    if (!take_peers(&bytes, &outgoing) || !bytes.empty() || outgoing.empty() ||
        std::any_of(outgoing.begin(), outgoing.end(), [](const Peer& p) { return p.learner; }))
        return std::nullopt;
    return out;
}

std::string encode(const ChangeRequest& request) {
    std::string out;
    base::append_varint(&out, request.request.node.value());
    base::append_varint(&out, request.request.sequence);
    if (request.changes.size() != 1) {
        out.push_back(kSeveral);
        base::append_varint(&out, request.changes.size());
    }
    for (const ConfigChange& change : request.changes)
        append_change(&out, change);
    return out;
}

std::optional<ChangeRequest> decode_change_request(std::string_view bytes) {
    ChangeRequest out;
    if (!take_id(&bytes, &out.request.node) || !base::take_varint(&bytes, &out.request.sequence) ||
        bytes.empty())
        return std::nullopt;
    std::uint64_t count = 1;
    if (bytes.front() == kSeveral) {
        bytes.remove_prefix(1);
        if (!base::take_varint(&bytes, &count) || count < 2 || count > kMaxPeers)
            return std::nullopt;
    }
    for (std::uint64_t i = 0; i < count; ++i)
        if (!take_change(&bytes, &out.changes.emplace_back())) return std::nullopt;
    if (!bytes.empty()) return std::nullopt;
    return out;
}

}  // namespace raft
