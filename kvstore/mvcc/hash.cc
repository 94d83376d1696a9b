// MvccStore::hash: what two members compare.

#include <functional>
#include <set>
#include <string>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "kvstore/errors.h"
#include "kvstore/mvcc/record.h"
#include "kvstore/mvcc/schema.h"
#include "kvstore/mvcc/store.h"

namespace kvstore {
namespace {

// Adds the readable versions of one key, newest first.
class KeyHasher {
  public:
    KeyHasher(std::int64_t compacted, std::int64_t up_to) : compacted_(compacted), up_to_(up_to) {}

    void begin_key() { below_compacted_ = false; }
    // Whether the version counts, which adds nothing yet. `deletion` has no record.
    bool counts(std::int64_t revision, bool deletion) {
        if (revision > up_to_) return false;
        if (revision <= compacted_) {
            // Only the newest at or below the compacted revision can be read, and a deletion reads
            // as nothing: leaving the others out makes the hash independent of how far a member has
            // scrubbed.
            if (below_compacted_) return false;
            below_compacted_ = true;
            if (deletion) return false;
        }
        return true;
    }
    void add(std::string_view key, std::int64_t revision, std::string_view record) {
        std::string head;
        base::append_varint(&head, key.size());
        head.append(key);
        base::append_le(&head, revision);
        base::append_varint(&head, record.size());
        crc_ = base::crc32c(record, base::crc32c(head, crc_));
    }
    std::uint32_t value() const { return crc_; }

  private:
    std::int64_t compacted_;
    std::int64_t up_to_;
    bool below_compacted_ = false;
    std::uint32_t crc_ = 0;
};

}  // namespace

base::Result<std::uint32_t> MvccStore::hash(std::int64_t revision) const {
    TRY_VOID(check_revision(revision));
    const std::int64_t up_to = revision > 0 ? revision : revision_;
    KeyHasher hasher(compacted_, up_to);
    std::set<std::string, std::less<>> left_out;  // what lies apart, and is to be scrubbed
    auto cursor = db_->cursor();
    std::string prefix;
    for (cursor->seek(std::string(1, schema::kVersion));
         cursor->valid() && cursor->key()[0] == schema::kVersion; cursor->next()) {
        const std::string_view place = cursor->key();
        if (schema::version_prefix_of(place) != prefix) {
            prefix = schema::version_prefix_of(place);
            hasher.begin_key();
        }
        const std::int64_t at = schema::version_revision(place);
        const std::string_view entry = cursor->value();
        const bool counts = hasher.counts(at, entry.empty());
        if (entry.empty() || !RecordView::is_head(entry)) {
            if (counts) hasher.add(schema::version_user_key(place), at, entry);
        } else if (!counts && at <= up_to) {
            left_out.insert(schema::large_key(schema::version_user_key(place), at));
        }
    }
    // Large records are read in the order in which they lie.
    for (cursor->seek(std::string(1, schema::kLarge));
         cursor->valid() && cursor->key()[0] == schema::kLarge; cursor->next()) {
        const std::string_view place = cursor->key();
        const std::int64_t at = schema::large_revision(place);
        if (at > up_to) break;
        if (!left_out.contains(place))
            hasher.add(schema::large_user_key(place), at, cursor->value());
    }
    return hasher.value();
}

}  // namespace kvstore
