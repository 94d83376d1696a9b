#pragma once
// The alarms that are raised, a part of the replicated state, and what they forbid. Pure and
// deterministic: every member has the same at the same log entry.

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace etcdserverpb {
class AlarmRequest;
class AlarmResponse;
class PutRequest;
class TxnRequest;
}  // namespace etcdserverpb

namespace kvstore {

class Command;

class Alarms {
  public:
    // Both answer whether something changed. `out` gets what was asked for, as etcd answers: the
    // alarm that is raised now, or the one that was dropped.
    bool apply(const etcdserverpb::AlarmRequest& request, etcdserverpb::AlarmResponse* out);
    // All of `type` and, when it is not 0, of `member`; type NONE (0) is every type.
    void list(std::uint64_t member, int type, etcdserverpb::AlarmResponse* out) const;
    bool raised(int type) const;
    bool empty() const { return raised_.empty(); }

    // The error of the first alarm that forbids this command; OK when none does.
    base::Status allows(const Command& command) const;

    // As it is kept in the database. False: the bytes are damaged.
    std::string encode() const;
    bool decode(std::string_view bytes);

  private:
    std::set<std::pair<int, std::uint64_t>> raised_;  // (type, member)
};

// About what a request adds to the database, in bytes; 0: it adds nothing. A transaction costs what
// the dearer of its branches does.
std::int64_t storage_cost(const etcdserverpb::PutRequest& request);
std::int64_t storage_cost(const etcdserverpb::TxnRequest& request);
std::int64_t storage_cost(const Command& command);

}  // namespace kvstore
