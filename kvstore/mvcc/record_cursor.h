#pragma once
// Walks over an interval of keys in key order: KeyCursor over the newest versions' heads,
// RecordCursor over whole records as of a revision. Made on the store loop; where the database has
// nothing uncommitted, used on any one thread.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "kvstore/mvcc/db.h"
#include "kvstore/mvcc/schema.h"

namespace kvstore {

// The live keys. Nowhere until it is told where.
class KeyCursor {
  public:
    KeyCursor(const Database& db, schema::KeyInterval interval);

    void seek_to_first() { seek(interval_.begin); }
    // To the first key that is not before `key`, which is in the interval or behind it.
    void seek(std::string_view key);
    bool valid() const;
    void next() { cursor_->next(); }
    // Valid until next().
    std::string_view key() const { return cursor_->key().substr(1); }
    // A serialized mvccpb.KeyValue without key and value.
    std::string_view head() const { return cursor_->value(); }

  private:
    std::unique_ptr<Cursor> cursor_;
    schema::KeyInterval interval_;
};

class RecordCursor {
  public:
    static constexpr std::int64_t kNewest = INT64_MAX;
    RecordCursor(const Database& db, const schema::KeyInterval& interval, std::int64_t revision);

    bool valid() const { return valid_; }
    void next();
    std::string key() const { return schema::version_user_key(versions_->key()); }
    // A serialized mvccpb.KeyValue. Valid until next().
    std::string_view record();
    // The keys from this one on, where their records are of no interest any more. Null at an
    // earlier revision, and then nothing has happened; otherwise this cursor is done with.
    std::unique_ptr<KeyCursor> take_keys();

  private:
    void find();
    void skip();
    std::string_view large_record(std::int64_t revision);

    std::unique_ptr<Cursor> versions_;
    std::unique_ptr<KeyCursor> live_;  // to skip what does not live; null at earlier revisions
    std::int64_t revision_;
    std::string end_;    // the first place behind the interval
    std::string found_;  // the beginning of the places of the last key with a version; others of
                         // its are older
    // Of records that lie apart: where they are read in a row (null: not yet; `in_row_`: it is at
    // the last one), the one that was sought, the revision of the last.
    std::unique_ptr<Cursor> row_;
    bool in_row_ = false;
    std::string sought_;
    std::int64_t last_large_ = 0;
    bool valid_ = false;
};

}  // namespace kvstore
