#pragma once
// RecordCursor: walks the live records of an interval of keys as of a revision, in key order. Made
// on the store loop; where the database has nothing uncommitted, used on any one thread.

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "kvstore/mvcc/db.h"
#include "kvstore/mvcc/schema.h"

namespace kvstore {

class RecordCursor {
  public:
    // The newest records.
    RecordCursor(const Database& db, schema::KeyInterval interval);
    // Those as of `revision`: what is current and what was replaced since, side by side.
    RecordCursor(const Database& db, schema::KeyInterval interval, std::int64_t revision);

    bool valid() const { return valid_; }
    void next();
    // Valid until next().
    std::string_view key() const;
    // A serialized mvccpb.KeyValue.
    std::string_view record() const;

  private:
    bool at_current() const;
    std::optional<schema::HistoryKey> at_history() const;
    void settle();
    void find_version();

    std::unique_ptr<Cursor> current_;
    std::unique_ptr<Cursor> history_;  // null: the newest records
    std::unique_ptr<Cursor> revisions_;
    schema::KeyInterval interval_;
    std::int64_t revision_ = 0;
    std::optional<schema::HistoryKey> history_at_;
    std::string key_;
    std::string record_;
    bool valid_ = false;
};

}  // namespace kvstore
