#pragma once
// The nouns of the consensus core: strong integers for terms, log positions and members, and the
// log entry. Pure; any thread.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/strong.h"

namespace raft {

// 0 is "before the first election".
using Term = base::Strong<struct TermTag>;
// The first entry has index 1; 0 is "before the log".
using Index = base::Strong<struct IndexTag>;
// 0 is "nobody".
using NodeId = base::Strong<struct NodeIdTag>;

inline constexpr NodeId kNobody{0};

// Shared by the log, the disk queue and every message that carries the entry; never changed.
using Payload = std::shared_ptr<const std::string>;

enum class EntryType : std::uint8_t {
    kData = 0,    // proposals; an empty payload is the no-op that starts a leader's term
    kConfig = 1,  // a membership, encoded by raft/core/config.h; in force from its append on
};

struct Entry {
    Term term;
    Index index;
    EntryType type = EntryType::kData;
    Payload payload;  // null when empty

    std::string_view data() const {
        return payload ? std::string_view(*payload) : std::string_view();
    }
    // What it counts against windows and message limits, in bytes.
    std::size_t cost() const { return 24 + (payload ? payload->size() : 0); }
};

// A position in the log together with the term of the entry there.
struct Position {
    Index index;
    Term term;
    friend bool operator==(const Position&, const Position&) = default;
};

// Names a request for the member that waits for its outcome. Unique as long as `sequence` starts
// at a fresh value after each start of that member.
struct RequestId {
    NodeId node;
    std::uint64_t sequence = 0;
    friend auto operator<=>(const RequestId&, const RequestId&) = default;
};

enum class Role : std::uint8_t { kFollower, kPreCandidate, kCandidate, kLeader };
std::string_view role_name(Role role);

}  // namespace raft
