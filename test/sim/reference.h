#pragma once
// Reference: the store as a user sees it, told again in the plainest way: maps of everything that
// ever was. The log's entries go in as they are applied for the first time anywhere; what every
// member answers, reads, holds and tells its watchers is held against it. Shares no code with the
// store but the messages.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kvstore/proto/command.pb.h"
#include "kvstore/proto/rpc.pb.h"

namespace sim {

class Reference {
  public:
    struct Kv {
        std::int64_t create = 0;
        std::int64_t mod = 0;
        std::int64_t version = 0;
        std::int64_t lease = 0;
        std::string value;
    };
    struct Change {
        bool is_delete = false;
        std::string key;
        Kv kv;
        std::optional<Kv> previous;
    };
    // What the state machine must answer: an error's text, or a message.
    struct Answer {
        std::string error;
        std::string bytes;  // serialized
    };

    // `term`: the entry's.
    Answer apply(const kvstore::Command& command, std::uint64_t term);

    std::int64_t revision() const { return revision_; }
    std::int64_t compacted() const { return compacted_; }
    const std::map<std::int64_t, std::int64_t>& leases() const { return leases_; }  // id → seconds

    // What a range must answer, of a store that stands at `now` (a revision of the past, or the
    // newest) with everything below `compacted` gone.
    Answer range(const etcdserverpb::RangeRequest& request, std::int64_t now,
                 std::int64_t compacted) const;
    // All live keys at a revision.
    std::map<std::string, Kv> content(std::int64_t revision) const;
    // The changes of a revision, in order.
    const std::vector<Change>& changes(std::int64_t revision) const;

    static mvccpb::KeyValue message(const std::string& key, const Kv& kv);

  private:
    struct Batch;  // the changes of one command
    std::optional<Kv> at(const std::string& key, std::int64_t revision) const;
    std::optional<Kv> live(const std::string& key) const;
    std::vector<std::string> matching(const std::string& key, const std::string& end,
                                      std::int64_t revision) const;
    bool holds(const etcdserverpb::Compare& compare) const;
    std::string put_error(const etcdserverpb::PutRequest& request) const;
    etcdserverpb::PutResponse put(const etcdserverpb::PutRequest& request);
    etcdserverpb::DeleteRangeResponse erase(const etcdserverpb::DeleteRangeRequest& request);
    Answer txn(const etcdserverpb::TxnRequest& request);
    Answer grant(const etcdserverpb::LeaseGrantRequest& request);
    Answer revoke(std::int64_t id);
    void set(const std::string& key, std::optional<Kv> kv);
    std::int64_t writing() const { return revision_ + 1; }
    std::int64_t visible() const { return open_.empty() ? revision_ : writing(); }
    void close();

    std::int64_t revision_ = 1;
    std::int64_t compacted_ = 0;
    // Every version of every key; nothing: deleted there.
    std::map<std::string, std::map<std::int64_t, std::optional<Kv>>> keys_;
    std::map<std::int64_t, std::vector<Change>> changes_;
    std::map<std::int64_t, std::int64_t> leases_;
    std::vector<Change> open_;  // of the command under way
};

}  // namespace sim
