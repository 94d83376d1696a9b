#pragma once
// What a crash left of a deletion that was written in slices (Database::write_in_slices) is taken
// back when the database is opened: the log has the command, and it is carried out again.

#include <cstdint>

#include "base/result.h"
#include "kvstore/mvcc/db.h"

namespace kvstore {

// Whether there are changes of a revision behind `newest`.
bool has_unfinished(const Database& db, std::int64_t newest);

// Undoes what was written of a revision behind `newest`, the last one that is whole: each of its
// changes names the version that it replaced, which is still there. DataLoss when one is not. Store
// loop.
base::Status undo_unfinished(Database& db, std::int64_t newest);

}  // namespace kvstore
