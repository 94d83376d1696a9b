#pragma once
// SharedRanges: long ranges that are being read. Whoever asks meanwhile for the same, at the same
// revision, gets the same bytes: clients that list the same keys at the same time cost one reading
// and one copy in memory. Store loop only.

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/function.h"

namespace kvstore {

// What a range found, as it lies in the database: nothing is decoded on its way to the wire.
struct RangeBody {
    // RangeResponse's field of that name, in pieces: each goes when the last who sends it is done
    // with it.
    std::vector<std::shared_ptr<const std::string>> kvs;
    bool more = false;
    std::int64_t count = 0;
};

class SharedRanges {
  public:
    using Taker = base::UniqueFunction<void(RangeBody)>;

    // `question` says all that the answer depends on, the revision above all. True when somebody
    // else reads it already; otherwise the caller reads it, and then says so by finish().
    bool join(const std::string& question, Taker taker);
    // Calls all who wait.
    void finish(const std::string& question, const RangeBody& body);

  private:
    std::unordered_map<std::string, std::vector<Taker>> waiting_;
};

}  // namespace kvstore
