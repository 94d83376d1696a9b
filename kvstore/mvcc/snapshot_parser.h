#pragma once
// SnapshotParser: reads the stream that SnapshotSource writes (docs/storage.md), cut anywhere, and
// checks it. Pure; the bytes may come from anybody.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace kvstore {

class SnapshotParser {
  public:
    using OnEntry = std::function<void(std::string_view key, std::string_view value)>;
    // `on_entry` is called for each key in order, before the checksum at the end is known to be
    // right.
    explicit SnapshotParser(OnEntry on_entry) : on_entry_(std::move(on_entry)) {}

    // DataLoss, which says what is wrong and at which byte, when the stream is not what
    // SnapshotSource writes. Nothing more is to be added then.
    base::Status add(std::string_view chunk);
    // The end was read, and count and checksum are right.
    bool complete() const { return complete_; }

  private:
    base::Error damaged(std::string_view rest, std::string_view what) const;
    // Takes a whole entry or the trailer off the front; false when it is not all there yet.
    base::Result<bool> take_one(std::string_view* rest);
    base::Result<bool> take_trailer(std::string_view* rest);

    OnEntry on_entry_;
    std::string pending_;
    std::uint64_t taken_ = 0;  // bytes before pending_
    std::uint32_t crc_ = 0;
    std::uint64_t count_ = 0;
    bool has_header_ = false;
    bool complete_ = false;
};

// What the stream is made of.
namespace snapshot_format {
inline constexpr std::string_view kMagic = "coxswain snapshot 4\n";  // below: earlier schemas
// An entry begins with this byte, the trailer with the other.
inline constexpr char kEntry = 'e';
inline constexpr char kTrailer = 't';
}  // namespace snapshot_format

}  // namespace kvstore
