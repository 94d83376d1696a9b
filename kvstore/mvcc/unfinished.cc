#include "kvstore/mvcc/unfinished.h"

#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/planted.h"
#include "kvstore/mvcc/record.h"
#include "kvstore/mvcc/schema.h"

namespace kvstore {
namespace {

// What is taken back in one write.
constexpr std::size_t kMostChanges = 1000;

base::Status undo(Database& db, const std::string& place, const std::string& what) {
    const auto at = schema::parse_revision_key(place);
    const auto change = schema::parse_change(what);
    const auto damaged = [&] {
        return base::data_loss("the database's unfinished deletion at revision " +
                               std::to_string(at->revision) + " cannot be taken back");
    };
    if (!change || !change->is_delete || change->replaced == 0) return damaged();
    const auto bytes = db.get(schema::version_key(change->key, change->replaced));
    const auto record = RecordView::parse(bytes.value_or(""));
    if (!record || record->mod_revision != change->replaced) return damaged();
    db.put(schema::current_key(change->key), record->encode_head());
    if (record->lease != 0) db.put(schema::attached_key(record->lease, change->key), "");
    db.erase(schema::version_key(change->key, at->revision));
    db.erase(place);
    return {};
}

}  // namespace

bool has_unfinished(const Database& db, std::int64_t newest) {
    const auto cursor = db.cursor();
    cursor->seek(schema::revision_key(newest + 1));
    return cursor->valid() && schema::parse_revision_key(cursor->key());
}

base::Status undo_unfinished(Database& db, std::int64_t newest) {
    if (base::planted(base::PlantedBug::kUnfinishedStays)) return {};
    std::size_t count = 0;
    while (has_unfinished(db, newest)) {
        std::vector<std::pair<std::string, std::string>> changes;
        {
            const auto cursor = db.cursor();
            for (cursor->seek(schema::revision_key(newest + 1));
                 cursor->valid() && schema::parse_revision_key(cursor->key()) &&
                 changes.size() < kMostChanges;
                 cursor->next())
                changes.emplace_back(cursor->key(), cursor->value());
        }
        for (const auto& [place, what] : changes)
            TRY_VOID(undo(db, place, what));
        db.commit();
        count += changes.size();
    }
    if (count > 0)
        LOG_INFO("kvstore", "a deletion was cut off after {} keys; it is carried out again", count);
    return {};
}

}  // namespace kvstore
