#include "kvstore/mvcc/record_cursor.h"

#include "base/check.h"
#include "kvstore/mvcc/history.h"
#include "kvstore/mvcc/record.h"

namespace kvstore {
namespace {

std::int64_t mod_revision_of(std::string_view bytes) {
    const auto record = RecordView::parse(bytes);
    CHECK(record.has_value(), "a record of {} bytes in the database is not a KeyValue",
          bytes.size());
    return record->mod_revision;
}

}  // namespace

RecordCursor::RecordCursor(const Database& db, schema::KeyInterval interval)
    : current_(db.cursor()), interval_(std::move(interval)) {
    if (interval_.empty()) return;
    current_->seek(schema::current_key(interval_.begin));
    settle();
}

RecordCursor::RecordCursor(const Database& db, schema::KeyInterval interval, std::int64_t revision)
    : current_(db.cursor()),
      history_(db.cursor()),
      revisions_(db.cursor()),
      interval_(std::move(interval)),
      revision_(revision) {
    if (interval_.empty()) return;
    current_->seek(schema::current_key(interval_.begin));
    std::string seek_to(1, schema::kHistory);
    schema::append_escaped(&seek_to, interval_.begin);
    history_->seek(seek_to);
    history_at_ = at_history();
    find_version();
}

bool RecordCursor::at_current() const {
    return current_->valid() && !current_->key().empty() &&
           current_->key()[0] == schema::kCurrent && interval_.contains(current_->key().substr(1));
}

std::optional<schema::HistoryKey> RecordCursor::at_history() const {
    if (!history_->valid()) return std::nullopt;
    auto parsed = schema::parse_history_key(history_->key());
    if (!parsed || !interval_.contains(parsed->key)) return std::nullopt;
    return parsed;
}

void RecordCursor::settle() {
    valid_ = at_current();
}

// Goes on to the next key that has a version at the revision.
void RecordCursor::find_version() {
    valid_ = false;
    for (;;) {
        const bool current = at_current();
        if (!current && !history_at_) return;
        const bool take_current =
            current && (!history_at_ || current_->key().substr(1) <= history_at_->key);
        key_ = take_current ? std::string(current_->key().substr(1)) : history_at_->key;
        bool found = false;
        record_.clear();
        if (take_current) {
            found = mod_revision_of(current_->value()) <= revision_;
            if (found) record_ = current_->value();
            current_->next();
        }
        // History is newest first: the first version that is not too new is the one, unless the
        // current one is. An empty one is a deletion.
        while (history_at_ && history_at_->key == key_) {
            if (!found && history_at_->revision <= revision_) {
                found = true;
                record_ = history_record(*revisions_, history_->value());
            }
            history_->next();
            history_at_ = at_history();
        }
        if (!record_.empty()) {
            valid_ = true;
            return;
        }
    }
}

void RecordCursor::next() {
    if (history_) return find_version();
    current_->next();
    settle();
}

std::string_view RecordCursor::key() const {
    return history_ ? std::string_view(key_) : current_->key().substr(1);
}

std::string_view RecordCursor::record() const {
    return history_ ? std::string_view(record_) : current_->value();
}

}  // namespace kvstore
