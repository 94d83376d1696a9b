#pragma once
// RangeReader: a range that is read in steps and encoded as it lies in the database, without
// message objects. It reads from a snapshot: made on the store loop, it may be stepped on another
// thread, one at a time, while the store goes on. It keeps the database alive.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kvstore/mvcc/record_cursor.h"

namespace kvstore {

// Appends a record to RangeResponse's field `kvs`.
void append_kv(std::string* out, std::string_view record, bool keys_only);

class RangeReader {
  public:
    struct Options {
        schema::KeyInterval interval;
        std::int64_t revision = 0;  // to read at; 0: the newest
        std::int64_t limit = 0;     // most records that are kept; 0: all
        bool count_only = false;
        bool keys_only = false;
    };
    // The batch in front of the database must be empty (CHECK).
    RangeReader(std::shared_ptr<const Database> db, Options options);

    // Goes on over at most `records` records; false once it is through.
    bool step(std::int64_t records);

    // RangeResponse's field `kvs`, in pieces of about kPieceBytes.
    std::vector<std::string> take_pieces() { return std::move(pieces_); }
    std::size_t held_bytes() const;
    // What was seen so far; at the end: all that the interval holds, whatever the limit.
    std::int64_t count() const { return count_; }
    // There are more than the limit.
    bool more() const {
        return !options_.count_only && options_.limit > 0 && count_ > options_.limit;
    }

    static constexpr std::size_t kPieceBytes = 64 << 10;

  private:
    void keep(std::string_view record);

    std::shared_ptr<const Database> db_;
    Options options_;
    std::unique_ptr<RecordCursor> records_;  // or, where keys are enough:
    std::unique_ptr<KeyCursor> keys_;
    std::vector<std::string> pieces_;
    std::int64_t count_ = 0;
};

}  // namespace kvstore
