#pragma once
// The bytes between members. A message is a Protobuf message (raft/proto/peer.proto says which);
// a frame on a connection is
//     u32 length of the body, u32 CRC-32C of kind and body, u8 kind, body      (little-endian)
// Pure. What comes in is checked before anything is believed: a length over the limit, a wrong
// checksum or a message that does not parse are errors, never crashes.

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "raft/core/message.h"

namespace raft {

std::string encode_message(const Message& message);
void append_message(std::string* out, const Message& message);
// Nothing when malformed.
std::optional<Message> decode_message(std::string_view bytes);

enum class FrameKind : std::uint8_t {
    kHello = 1,          // the first frame of either side
    kMessage = 2,        // a Message
    kSnapshotHead = 3,   // the kSnapshot Message that opens a stream
    kSnapshotChunk = 4,  // bytes of it
    kSnapshotEnd = 5,    // all sent
    kSnapshotDone = 6,   // the receiver's answer; empty, or an error text
    kSnapshotTaken = 7,  // u64: so many chunks the receiver has; the answer to the head, too
};
inline constexpr std::size_t kFrameHeader = 9;
// Larger than any append (an entry is at most 8 MiB) and any snapshot chunk.
inline constexpr std::size_t kMaxFrame = 64U << 20U;

void append_frame(std::string* out, FrameKind kind, std::string_view body);
// Writes a kMessage frame without an intermediate copy.
void append_message_frame(std::string* out, const Message& message);

struct FrameHeader {
    std::size_t length = 0;
    std::uint32_t crc = 0;
    FrameKind kind = FrameKind::kMessage;
};
// InvalidArgument: not one of ours, or too long.
base::Result<FrameHeader> parse_frame_header(std::string_view header);
bool frame_is_intact(const FrameHeader& header, std::string_view body);

struct Hello {
    std::uint64_t cluster_id = 0;
    NodeId from;
    NodeId to;
    std::uint64_t stream = 0;  // the snapshot stream that the connection carries; 0: none
};
std::string encode_hello(const Hello& hello);
std::optional<Hello> decode_hello(std::string_view body);

}  // namespace raft
