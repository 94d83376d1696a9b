#pragma once
// Several calls at once. On the loop.

#include <vector>

#include "base/coro.h"

namespace controllers {

// Runs all of them side by side and waits for the last; answers in the order of `tasks`.
base::Awaitable<std::vector<base::Status>> run_all(base::Loop& loop,
                                                   std::vector<base::Task<void>> tasks);

}  // namespace controllers
