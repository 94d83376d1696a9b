// MvccStore::hash: what two members compare.

#include "base/bytes.h"
#include "base/crc32c.h"
#include "kvstore/errors.h"
#include "kvstore/mvcc/history.h"
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
    KeyHasher hasher(compacted_, revision > 0 ? revision : revision_);
    auto current = db_->cursor();
    auto history = db_->cursor();
    auto revisions = db_->cursor();
    current->seek(std::string(1, schema::kCurrent));
    history->seek(std::string(1, schema::kHistory));
    auto has_current = [&] { return current->valid() && current->key()[0] == schema::kCurrent; };
    auto history_at = [&] {
        return history->valid() ? schema::parse_history_key(history->key())
                                : std::optional<schema::HistoryKey>();
    };
    auto h = history_at();
    while (has_current() || h) {
        const bool take_current = has_current() && (!h || current->key().substr(1) <= h->key);
        const std::string key(take_current ? current->key().substr(1) : std::string_view(h->key));
        hasher.begin_key();
        if (take_current) {
            const auto record = RecordView::parse(current->value());
            CHECK(record.has_value());
            if (hasher.counts(record->mod_revision, false))
                hasher.add(key, record->mod_revision, current->value());
            current->next();
        }
        for (; h && h->key == key; history->next(), h = history_at())
            if (hasher.counts(h->revision, history->value().empty()))
                hasher.add(key, h->revision, history_record(*revisions, history->value()));
    }
    return hasher.value();
}

}  // namespace kvstore
