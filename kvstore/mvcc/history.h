#pragma once
// Where the records of replaced versions are found. On whatever thread the cursor is on.

#include <string>
#include <string_view>

#include "kvstore/mvcc/db.h"

namespace kvstore {

// The record of a version in history, or "" for a deletion: `value` is what lies under `h`; the
// cursor goes to `r` for it if it must.
std::string history_record(Cursor& cursor, std::string_view value);

}  // namespace kvstore
