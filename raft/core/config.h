#pragma once
// The membership of a consensus group as a value: who votes, who only learns, and what the layer
// above keeps about each (names, URLs) as opaque bytes. Single-step changes (Ongaro's thesis §4.1):
// one member a time, so that any two consecutive majorities intersect. Pure.

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

    const Peer* find(NodeId id) const;
    bool is_voter(NodeId id) const;
    std::size_t voters() const;
    // How many voters make a majority; 1 for an empty config, which no one can win with.
    std::size_t quorum() const { return voters() / 2 + 1; }
    friend bool operator==(const Config&, const Config&) = default;
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

// The payload of a kConfig entry: the whole membership and the request that asked for it.
struct ConfigEntry {
    RequestId request;
    Config config;
};
std::string encode(const ConfigEntry& entry);
std::optional<ConfigEntry> decode_config_entry(std::string_view bytes);

// The payload of a forwarded change.
struct ChangeRequest {
    RequestId request;
    ConfigChange change;
};
std::string encode(const ChangeRequest& request);
std::optional<ChangeRequest> decode_change_request(std::string_view bytes);

}  // namespace raft
