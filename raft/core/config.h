#pragma once
// The membership of a consensus group as a value: who votes, who only learns, and what the layer
// above keeps about each (names, URLs) as opaque bytes. A change of one voter takes one step
// (Ongaro's thesis §4.1): majorities before and after intersect. A change of several goes through a
// joint membership (§4.3), in which everything takes a majority of the voters before *and* of those
// after. Pure.

#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "raft/core/types.h"

namespace raft {

struct Peer {
    NodeId id;
    bool learner = false;
    std::string context;
    friend bool operator==(const Peer&, const Peer&) = default;
};

struct Config {
    std::vector<Peer> peers;  // ascending by id
    // In a joint membership: the voters before it, ascending. Otherwise empty.
    std::vector<Peer> outgoing;

    bool joint() const { return !outgoing.empty(); }
    // In either set.
    const Peer* find(NodeId id) const;
    bool is_voter(NodeId id) const;
    // A voter also when a joint membership is over.
    bool stays_voter(NodeId id) const;
    // Of both sets together, each counted once.
    std::size_t voters() const;
    // Everybody, ascending, each once; a learner is who has no vote in either set.
    std::vector<Peer> members() const;

    // Whether yes(NodeId) holds for a majority of the voters, in each set. Never without voters.
    template <class F>
    bool majority(F yes) const {
        return majority_of(peers, yes) && (!joint() || majority_of(outgoing, yes));
    }
    // The largest value(NodeId) that a majority of the voters, in each set, has reached.
    template <class F>
    auto quorum_value(F value) const {
        auto out = quorum_value_of(peers, value);
        return joint() ? std::min(out, quorum_value_of(outgoing, value)) : out;
    }
    friend bool operator==(const Config&, const Config&) = default;

  private:
    template <class F>
    static bool majority_of(const std::vector<Peer>& set, F yes) {
        std::size_t voters = 0;
        std::size_t agreed = 0;
        for (const Peer& peer : set) {
            if (peer.learner) continue;
            ++voters;
            if (yes(peer.id)) ++agreed;
        }
        return agreed >= voters / 2 + 1;
    }
    template <class F>
    static auto quorum_value_of(const std::vector<Peer>& set, F value) {
        std::vector<decltype(value(NodeId()))> values;
        values.reserve(set.size());
        for (const Peer& peer : set)
            if (!peer.learner) values.push_back(value(peer.id));
        if (values.empty()) return decltype(value(NodeId())){};
        std::sort(values.begin(), values.end(), std::greater<>());
        return values[values.size() / 2];
    }
};

enum class ChangeKind : std::uint8_t {
    kAddVoter = 0,
    kAddLearner = 1,
    kPromote = 2,
    kRemove = 3,
    kUpdate = 4
};

struct ConfigChange {
    ChangeKind kind = ChangeKind::kUpdate;
    Peer peer;
};

// Why a request was not taken. Travels to the member that asked.
enum class Reject : std::uint8_t {
    kNone = 0,
    kNotLeader,
    kTransferring,   // leadership is being handed over
    kBusy,           // too much is uncommitted
    kChangePending,  // another membership change, or no own entry committed yet
    kMemberExists,
    kMemberNotFound,
    kNotLearner,
    kLearnerNotReady,
    kUnhealthy,  // too few active members would be left
    kMalformed,
};
inline constexpr Reject kLastReject = Reject::kMalformed;

// `config` after `change`, or why not.
struct Changed {
    Reject reject = Reject::kNone;
    Config config;
};
Changed apply_change(const Config& config, const ConfigChange& change);
// All of them in one step; additions and promotions come before removals. The membership is joint
// where more than one voter comes or goes.
Changed apply_changes(const Config& config, const std::vector<ConfigChange>& changes);
// What follows a joint membership.
Config leave_joint(const Config& config);

// The payload of a kConfig entry: the whole membership and the request that asked for it. The
// second set is only there when it is joint.
struct ConfigEntry {
    RequestId request;
    Config config;
};
std::string encode(const ConfigEntry& entry);
std::optional<ConfigEntry> decode_config_entry(std::string_view bytes);

// The payload of a forwarded change; of one, or of several that are made in one step.
struct ChangeRequest {
    RequestId request;
    std::vector<ConfigChange> changes;
};
std::string encode(const ChangeRequest& request);
std::optional<ChangeRequest> decode_change_request(std::string_view bytes);

}  // namespace raft
