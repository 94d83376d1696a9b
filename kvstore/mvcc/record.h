#pragma once
// RecordView: a serialized mvccpb.KeyValue read in place, and written without a message object.
// Pure. The bytes are exactly Protobuf's, so an answer can carry them as they are.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kvstore {

struct RecordView {
    std::string_view key;
    std::int64_t create_revision = 0;
    std::int64_t mod_revision = 0;
    std::int64_t version = 0;
    std::string_view value;
    std::int64_t lease = 0;
    // Of a head (no field of KeyValue): its record lies under schema::kLarge.
    bool apart = false;

    // Whether `bytes`, a record or a head, are a head.
    static bool is_head(std::string_view bytes);
    // Views into `bytes`. Nothing when they are not a KeyValue.
    static std::optional<RecordView> parse(std::string_view bytes);
    // A record, or what is left of it without some fields; never `apart`.
    std::string encode() const;
    // Without key and value, but with `apart`.
    std::string encode_head() const;
};

}  // namespace kvstore
