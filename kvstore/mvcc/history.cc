#include "kvstore/mvcc/history.h"

#include "base/check.h"
#include "kvstore/mvcc/schema.h"

namespace kvstore {

std::string history_record(Cursor& cursor, std::string_view value) {
    if (!schema::parse_revision_key(value)) return std::string(value);
    const std::string place(value);
    cursor.seek(place);
    const bool there = cursor.valid() && cursor.key() == place;
    const auto change = there ? schema::parse_change(cursor.value()) : std::nullopt;
    CHECK(change && !change->replaced.empty(), "a record in history is missing");
    return std::string(change->replaced);
}

}  // namespace kvstore
