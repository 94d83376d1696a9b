#include "kvstore/mvcc/range_reader.h"

#include "base/bytes.h"
#include "base/check.h"
#include "kvstore/mvcc/record.h"

namespace kvstore {
namespace {

constexpr char kKvsTag = 2 << 3 | 2;

}  // namespace

void append_kv(std::string* out, std::string_view record, bool keys_only) {
    std::string without_value;
    if (keys_only) {
        auto view = RecordView::parse(record);
        CHECK(view.has_value(), "a record of {} bytes in the database is not a KeyValue",
              record.size());
        view->value = {};
        without_value = view->encode();
        record = without_value;
    }
    out->push_back(kKvsTag);
    base::append_varint(out, record.size());
    out->append(record);
}

RangeReader::RangeReader(std::shared_ptr<const Database> db, Options options)
    : db_(std::move(db)), options_(std::move(options)) {
    // With nothing in the batch, a cursor is LevelDB's own, which reads a snapshot.
    CHECK(!db_->has_uncommitted());
    const bool newest = options_.revision == 0;
    if (newest && (options_.count_only || options_.keys_only)) {
        keys_ = std::make_unique<KeyCursor>(*db_, options_.interval);
        keys_->seek_to_first();
    } else {
        records_ = std::make_unique<RecordCursor>(
            *db_, options_.interval, newest ? RecordCursor::kNewest : options_.revision);
    }
}

bool RangeReader::step(std::int64_t records) {
    for (; records > 0 && records_ && records_->valid(); --records, records_->next()) {
        if (more()) {
            // What is left is only counted.
            if (auto keys = records_->take_keys()) {
                keys_ = std::move(keys);
                records_ = nullptr;
                break;
            }
        }
        ++count_;
        if (!options_.count_only && !more()) keep(records_->record());
    }
    if (records_) return records_->valid();
    for (; records > 0 && keys_->valid(); --records, keys_->next()) {
        ++count_;
        if (!options_.keys_only || options_.count_only || more()) continue;
        auto record = RecordView::parse(keys_->head());
        CHECK(record.has_value(), "what is said of the newest version of a key is not a KeyValue");
        record->key = keys_->key();
        keep(record->encode());
    }
    return keys_->valid();
}

void RangeReader::keep(std::string_view record) {
    if (pieces_.empty() || pieces_.back().size() + record.size() > kPieceBytes) {
        // The first grows with what it holds: most answers are small.
        const bool first = pieces_.empty();
        pieces_.emplace_back();
        if (!first) pieces_.back().reserve(std::max(kPieceBytes, record.size() + 16));
    }
    append_kv(&pieces_.back(), record, options_.keys_only);
}

std::size_t RangeReader::held_bytes() const {
    std::size_t sum = 0;
    for (const auto& piece : pieces_)
        sum += piece.size();
    return sum;
}

}  // namespace kvstore
