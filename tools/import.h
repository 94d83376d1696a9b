#pragma once
// Import: the keys and leases of another store, as of one of its revisions, and its users and roles
// when they are asked for, written into this one. What a key was before and its revisions do not
// come along: they are this store's own. Blocking; one thread.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "kvstore/proto/rpc.pb.h"
#include "tools/store_session.h"

namespace tools {

// Who may do what, by name. Only a file has passwords (their hashes); who has none there and is not
// meant to have none (no_password) cannot sign in until one is set.
struct Accounts {
    std::vector<authpb::Role> roles;
    std::vector<authpb::User> users;
};

// What is imported from.
class ImportSource {
  public:
    virtual ~ImportSource() = default;
    // The next keys, in order; none at the end. They are as of revision().
    virtual base::Result<std::vector<mvccpb::KeyValue>> next() = 0;
    virtual std::int64_t revision() const = 0;
    // Leases that there are, whether keys hang on them or not.
    virtual base::Result<std::vector<std::int64_t>> leases() = 0;
    // Seconds that are left; 0 or less when it has ended.
    virtual base::Result<std::int64_t> lease_ttl(std::int64_t id) = 0;
    virtual base::Result<Accounts> accounts() = 0;
};

// A running etcd (3.3 or later) or Coxswain. It reads pages of about a megabyte, all at the
// revision of the first.
std::unique_ptr<ImportSource> make_api_source(StoreSession& session, std::string prefix);

// A file of `snapshot save`, or an etcd member's `db` (tools/snapshot_source.cc). It holds its
// keys, but not their values, in memory. DataLoss: the file is damaged.
base::Result<std::unique_ptr<ImportSource>> open_snapshot_source(const std::string& path,
                                                                 std::string prefix);

struct ImportOptions {
    std::string prefix;  // only keys that begin with it, and the leases that they hang on
    bool force = false;  // into a store that has keys there already
    bool users = false;  // and roles
    int ops_per_txn = 100;
};

struct ImportCounts {
    std::int64_t revision = 0;  // of the source
    std::int64_t keys = 0;
    std::int64_t bytes = 0;
    std::int64_t leases = 0;
    std::int64_t expired = 0;  // keys left out because their lease ended meanwhile
    std::int64_t roles = 0;
    std::int64_t users = 0;
    std::int64_t locked = 0;  // of the users: those who need a new password
};

// Refuses a target that has keys under the prefix, or users or roles when those are wanted, unless
// it is forced: then the source's come on top of what is there. At the end it reads the
// target again and compares: DataLoss when that is not what was written. `progress` is called now
// and then. After an error the target holds a part.
base::Result<ImportCounts> run_import(ImportSource& source, StoreSession& target,
                                      const ImportOptions& options,
                                      const std::function<void(const ImportCounts&)>& progress);

}  // namespace tools
