#include "raft/core/message.h"

#include <fmt/format.h>

namespace raft {

std::string_view role_name(Role role) {
    switch (role) {
        case Role::kFollower:
            return "follower";
        case Role::kPreCandidate:
            return "pre-candidate";
        case Role::kCandidate:
            return "candidate";
        case Role::kLeader:
            return "leader";
    }
    return "?";
}

std::string_view message_type_name(MessageType type) {
    switch (type) {
        case MessageType::kPreVote:
            return "PreVote";
        case MessageType::kPreVoteResponse:
            return "PreVoteResponse";
        case MessageType::kVote:
            return "Vote";
        case MessageType::kVoteResponse:
            return "VoteResponse";
        case MessageType::kAppend:
            return "Append";
        case MessageType::kAppendResponse:
            return "AppendResponse";
        case MessageType::kHeartbeat:
            return "Heartbeat";
        case MessageType::kHeartbeatResponse:
            return "HeartbeatResponse";
        case MessageType::kCommit:
            return "Commit";
        case MessageType::kPropose:
            return "Propose";
        case MessageType::kProposeConfig:
            return "ProposeConfig";
        case MessageType::kReject:
            return "Reject";
        case MessageType::kReadIndex:
            return "ReadIndex";
        case MessageType::kReadIndexResponse:
            return "ReadIndexResponse";
        case MessageType::kTransfer:
            return "Transfer";
        case MessageType::kTimeoutNow:
            return "TimeoutNow";
        case MessageType::kSnapshot:
            return "Snapshot";
    }
    return "?";
}

std::size_t Message::cost() const {
    std::size_t sum = 96 + (payload ? payload->size() : 0);
    for (const Entry& e : entries)
        sum += e.cost();
    return sum;
}

std::string to_string(const Message& m) {
    std::string out =
        fmt::format("{}->{} {} term {}", m.from, m.to, message_type_name(m.type), m.term);
    auto add = [&out](std::string_view text) { out.append(text); };
    const bool positioned = m.index != Index(0) || m.log_term != Term(0);
    if (positioned) add(fmt::format(" at {}/{}", m.index, m.log_term));
    if (m.commit != Index(0)) add(fmt::format(" commit {}", m.commit));
    if (m.reject) add(fmt::format(" reject hint {}", m.hint));
    if (m.force) add(" force");
    if (m.context != 0) add(fmt::format(" context {}", m.context));
    if (m.lease) add(" lease");
    if (m.priority != 0) add(fmt::format(" priority {}", m.priority));
    if (m.hint_node != kNobody) add(fmt::format(" node {}", m.hint_node));
    if (m.reason != Reject::kNone) add(fmt::format(" reason {}", static_cast<int>(m.reason)));
    if (!m.entries.empty()) {
        add(" [");
        for (const Entry& e : m.entries)
            add(fmt::format("{}{}/{}{}", &e == &m.entries.front() ? "" : " ", e.index, e.term,
                            e.type == EntryType::kConfig ? " config"
                            : e.payload                  ? " \"" + *e.payload + '"'
                                                         : ""));
        add("]");
    }
    return out;
}

}  // namespace raft
