#pragma once
// What members say to each other. One flat struct: which fields mean something for which type
// stands at the type. Pure; how it looks on the wire is raft/transport's business.

#include <vector>

#include "raft/core/config.h"
#include "raft/core/types.h"

namespace raft {

enum class MessageType : std::uint8_t {
    // Elections. index/log_term: the candidate's last entry. force: the leader wants it so.
    kPreVote = 1,
    kPreVoteResponse,  // reject
    kVote,
    kVoteResponse,  // reject
    // Replication. index/log_term: the entry before `entries`; commit.
    kAppend,
    // index: the last entry that matches and is durable. reject: index is what was refused, and
    // hint/log_term a position up to which the logs may agree.
    kAppendResponse,
    kHeartbeat,  // commit (never past what the receiver has acknowledged), context
    // context, echoed: confirms the leader for reads up to it. lease: the sender helps nobody to
    // depose the leader for a while. priority: the sender's.
    kHeartbeatResponse,
    kCommit,  // commit; needs no answer
    // Requests of followers to the leader.
    kPropose,            // payload; context names it. Valid only in `term`: see Core::propose
    kProposeConfig,      // payload: a ChangeRequest; context and term as above
    kReject,             // context, reason
    kReadIndex,          // context
    kReadIndexResponse,  // context, index
    kTransfer,           // hint_node: the wanted leader
    kTimeoutNow,         // campaign at once
    // A complete snapshot has arrived on its own stream: index/log_term, payload: a ConfigEntry.
    kSnapshot,
};
inline constexpr MessageType kLastMessageType = MessageType::kSnapshot;
std::string_view message_type_name(MessageType type);

struct Message {
    MessageType type = MessageType::kHeartbeat;
    NodeId from;
    NodeId to;
    Term term;
    Index index;
    Term log_term;
    Index commit;
    Index hint;
    std::uint64_t context = 0;
    NodeId hint_node;
    bool reject = false;
    bool force = false;
    bool lease = false;
    std::uint32_t priority = 0;
    Reject reason = Reject::kNone;
    std::vector<Entry> entries;
    Payload payload;

    // About what it takes in memory and on the wire, in bytes.
    std::size_t cost() const;
};

// One line, for traces and logs.
std::string to_string(const Message& message);

}  // namespace raft
