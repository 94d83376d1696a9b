#include "kvstore/mvcc/range_reader.h"

#include "base/bytes.h"
#include "base/check.h"
#include "kvstore/mvcc/record.h"

namespace kvstore {
namespace {

constexpr char kKvsTag = 2 << 3 | 2;

RecordCursor open(const Database& db, const RangeReader::Options& o) {
    // With nothing in the batch, a cursor is LevelDB's own, which reads a snapshot.
    CHECK(!db.has_uncommitted());
    if (o.revision == 0) return {db, o.interval};
    return {db, o.interval, o.revision};
}

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
    : db_(std::move(db)), options_(std::move(options)), cursor_(open(*db_, options_)) {}

bool RangeReader::step(std::int64_t records) {
    for (; records > 0 && cursor_.valid(); --records, cursor_.next()) {
        ++count_;
        if (!options_.count_only && !more()) keep(cursor_.record());
    }
    return cursor_.valid();
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
