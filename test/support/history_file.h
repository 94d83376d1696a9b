#pragma once
// Histories of real processes as JSON lines, one operation a line:
//
//   process      a number: one client, which has one operation at a time (or one transaction)
//   key, op      op: "get", "put", "delete", "cas" (if the key's mod revision is `expected`, 0 for
//                "there is none", put `value`, or delete the key when there is no `value`)
//   value        what put and cas write
//   expected     cas
//   invoked_us   when it was called, and
//   returned_us  when it was answered; absent: whether it took effect is unknown. What certainly
//                did not happen is left out of the file.
//   succeeded    answer of cas (did the condition hold?) and delete (was there something?)
//   found, seen_value, seen_mod_revision
//                answer of get, and of a cas that failed and read instead
//   revision     the store's revision in the answer's header, if recorded (not for serializable
//                reads, which have no place in a history)

#include <string_view>
#include <vector>

#include "base/result.h"
#include "test/support/linearizable.h"

namespace linearizable {

// InvalidArgument names the line and the field.
base::Result<std::vector<Operation>> parse_history(std::string_view text);

}  // namespace linearizable
