#include "kvstore/mvcc/level_files.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/planted.h"

namespace kvstore {
namespace {

constexpr std::size_t kBlock = 32768;
constexpr std::size_t kHeader = 7;  // u32 masked checksum, u16 length, u8 type
enum : char { kFull = 1, kFirst = 2, kMiddle = 3, kLast = 4 };

std::uint32_t masked(std::uint32_t crc) {
    return ((crc >> 15U) | (crc << 17U)) + 0xa282ead8U;
}

// Reads records up to the first that is not whole.
class Records {
  public:
    explicit Records(std::string_view bytes, std::size_t at = 0) : bytes_(bytes), at_(at) {}

    // False at the end of what is intact.
    bool next(std::string* record) {
        record->clear();
        std::size_t at = at_;
        for (bool begun = false;;) {
            // The rest of a block that is too short for a header is padding.
            if (kBlock - at % kBlock < kHeader) at += kBlock - at % kBlock;
            if (at + kHeader > bytes_.size()) return false;
            const auto length = base::load_le<std::uint16_t>(&bytes_[at + 4]);
            const char type = bytes_[at + 6];
            const std::size_t end = at + kHeader + length;
            if (end > bytes_.size() || at % kBlock + kHeader + length > kBlock) return false;
            if (base::load_le<std::uint32_t>(&bytes_[at]) !=
                masked(base::crc32c(bytes_.substr(at + 6, 1 + length))))
                return false;
            const bool begins = type == kFull || type == kFirst;
            if (begins == begun || (!begins && type != kMiddle && type != kLast)) return false;
            record->append(bytes_.substr(at + kHeader, length));
            at = end;
            if (type == kFull || type == kLast) break;
            begun = true;
        }
        at_ = at;
        return true;
    }
    // The end of the last record.
    std::size_t end() const { return at_; }

  private:
    std::string_view bytes_;
    std::size_t at_;
};

// The catalogue's records are lists of fields, each behind its tag.
std::optional<std::uint64_t> last_sequence_in(std::string_view edit) {
    std::optional<std::uint64_t> out;
    const auto skip_text = [&edit] {
        std::uint64_t size = 0;
        if (!base::take_varint(&edit, &size) || size > edit.size()) return false;
        edit.remove_prefix(size);
        return true;
    };
    const auto skip_numbers = [&edit](int n) {
        std::uint64_t v = 0;
        for (; n > 0; --n)
            if (!base::take_varint(&edit, &v)) return false;
        return true;
    };
    std::uint64_t tag = 0;
    while (base::take_varint(&edit, &tag)) {
        bool good = false;
        switch (tag) {
            case 1:  // the comparator's name
                good = skip_text();
                break;
            case 2:  // log, next file, previous log
            case 3:
            case 9:
                good = skip_numbers(1);
                break;
            case 4: {
                std::uint64_t sequence = 0;
                good = base::take_varint(&edit, &sequence);
                if (good) out = sequence;
                break;
            }
            case 5:  // a level's place of compaction
                good = skip_numbers(1) && skip_text();
                break;
            case 6:  // a file that is gone
                good = skip_numbers(2);
                break;
            case 7:  // a new one
                good = skip_numbers(3) && skip_text() && skip_text();
                break;
            default:
                break;
        }
        if (!good) return out;
    }
    return out;
}

}  // namespace

std::size_t LevelFiles::catalogue(std::string_view bytes) {
    Records records(bytes);
    std::string edit;
    while (records.next(&edit))
        if (const auto sequence = last_sequence_in(edit)) last_sequence_ = sequence;
    // Torn is only the last one: is there a good one anywhere behind?
    for (std::size_t at = records.end() + 1; at + kHeader <= bytes.size(); ++at)
        if (Records(bytes, at).next(&edit)) return bytes.size();
    return records.end();
}

std::optional<std::size_t> LevelFiles::log(std::string_view bytes) {
    if (base::planted(base::PlantedBug::kLogGapsIgnored)) return bytes.size();
    if (ended_) return 0;
    Records records(bytes);
    std::string batch;
    std::size_t end = 0;
    while (records.next(&batch) && batch.size() >= 12) {
        const auto sequence = base::load_le<std::uint64_t>(batch.data());
        if (!next_sequence_ && last_sequence_ && sequence > *last_sequence_ + 1)
            return std::nullopt;
        if (next_sequence_ && sequence != *next_sequence_) break;
        next_sequence_ = sequence + base::load_le<std::uint32_t>(&batch[8]);
        end = records.end();
    }
    // An empty one held something before it was followed by another.
    ended_ = end < bytes.size() || end == 0;
    return end;
}

}  // namespace kvstore
