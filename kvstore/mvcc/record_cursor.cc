#include "kvstore/mvcc/record_cursor.h"

#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "kvstore/mvcc/record.h"

namespace kvstore {
namespace {

// After so many versions in a row that are not wanted, the next one is sought.
constexpr int kMostSteps = 8;

std::string end_of(const schema::KeyInterval& interval) {
    if (interval.unbounded) return std::string(1, schema::kVersion + 1);
    std::string out(1, schema::kVersion);
    schema::append_escaped(&out, interval.single ? interval.begin + '\0' : interval.end);
    return out;
}

}  // namespace

KeyCursor::KeyCursor(const Database& db, schema::KeyInterval interval)
    : cursor_(db.cursor()), interval_(std::move(interval)) {}

void KeyCursor::seek(std::string_view key) {
    cursor_->seek(schema::current_key(key));
}

bool KeyCursor::valid() const {
    return cursor_->valid() && cursor_->key()[0] == schema::kCurrent && interval_.contains(key());
}

RecordCursor::RecordCursor(const Database& db, const schema::KeyInterval& interval,
                           std::int64_t revision)
    : versions_(db.cursor()),
      live_(revision == kNewest ? std::make_unique<KeyCursor>(db, interval) : nullptr),
      revision_(revision),
      end_(end_of(interval)) {
    if (interval.empty()) return;
    versions_->seek(schema::version_prefix(interval.begin));
    find();
}

void RecordCursor::next() {
    versions_->next();
    find();
}

std::string_view RecordCursor::record() {
    if (!RecordView::is_head(versions_->value())) return versions_->value();
    return large_record(schema::version_revision(versions_->key()));
}

// What was written in the order of keys lies side by side.
std::string_view RecordCursor::large_record(std::int64_t revision) {
    const std::string place = schema::large_key(key(), revision);
    const std::int64_t last = std::exchange(last_large_, revision);
    if (revision == last || revision == last + 1) {
        if (!row_) row_ = versions_->twin();
        if (in_row_)
            row_->next();
        else
            row_->seek(place);
        in_row_ = row_->valid() && row_->key() == place;
        if (in_row_) return row_->value();
    }
    in_row_ = false;
    auto found = versions_->get(place);
    CHECK(found.has_value(), "the record of revision {} is missing", revision);
    return sought_ = *std::move(found);
}

std::unique_ptr<KeyCursor> RecordCursor::take_keys() {
    if (live_) live_->seek(key());
    return std::move(live_);
}

void RecordCursor::find() {
    valid_ = false;
    for (int steps = 0; versions_->valid() && versions_->key() < end_; ++steps) {
        const std::string_view place = versions_->key();
        // Versions are newest first: the first that is not too new is the one. An empty one is a
        // deletion.
        if (schema::version_prefix_of(place) != found_ &&
            schema::version_revision(place) <= revision_) {
            found_ = schema::version_prefix_of(place);
            valid_ = !versions_->value().empty();
            if (valid_) return;
        }
        if (steps < kMostSteps) {
            versions_->next();
        } else {
            skip();
            steps = 0;
        }
    }
}

// Over the versions of this key that are too new or too old; and, for the newest records, over all
// keys that do not live.
void RecordCursor::skip() {
    const std::string_view place = versions_->key();
    const bool too_old = schema::version_prefix_of(place) == found_;
    if (too_old && live_) {
        live_->seek(schema::version_user_key(place) + '\0');
        versions_->seek(live_->valid() ? schema::version_prefix(live_->key()) : end_);
        return;
    }
    std::string to(schema::version_prefix_of(place));
    base::append_be(&to, too_old ? std::int64_t{-1} : ~revision_);
    versions_->seek(to);
}

}  // namespace kvstore
