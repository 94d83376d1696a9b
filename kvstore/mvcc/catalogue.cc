#include "kvstore/mvcc/catalogue.h"

#include "base/bytes.h"
#include "base/crc32c.h"

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
    bool next() {
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

}  // namespace

std::size_t intact_catalogue(std::string_view bytes) {
    Records records(bytes);
    while (records.next()) {
    }
    for (std::size_t at = records.end() + 1; at + kHeader <= bytes.size(); ++at)
        if (Records(bytes, at).next()) return bytes.size();
    return records.end();
}

}  // namespace kvstore
