#include "kvstore/core/auto_compactor.h"

#include <algorithm>
#include <charconv>

namespace kvstore {

namespace {

constexpr std::int64_t kHourMs = std::int64_t{3600} * 1000;
constexpr std::int64_t kRevisionCheckMs = std::int64_t{300} * 1000;
constexpr std::int64_t kSamplesARetention = 10;
constexpr std::int64_t kMaxRetentionMs = 100LL * 365 * 24 * kHourMs;

std::optional<std::int64_t> number(std::string_view text) {
    std::int64_t out = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
    if (error != std::errc() || end != text.data() + text.size() || out < 0) return std::nullopt;
    return out;
}

// "1h30m", "10s", "500ms".
std::optional<std::int64_t> duration_ms(std::string_view text) {
    std::int64_t sum = 0;
    if (text.empty()) return std::nullopt;
    while (!text.empty()) {
        const auto digits = text.find_first_not_of("0123456789");
        if (digits == 0 || digits == std::string_view::npos) return std::nullopt;
        const auto count = number(text.substr(0, digits));
        text.remove_prefix(digits);
        const auto unit_end = std::min(text.find_first_of("0123456789"), text.size());
        const auto unit = text.substr(0, unit_end);
        text.remove_prefix(unit_end);
        const std::int64_t ms = unit == "ms"  ? 1
                                : unit == "s" ? 1000
                                : unit == "m" ? 60'000
                                : unit == "h" ? kHourMs
                                              : 0;
        if (!count || ms == 0 || *count > kMaxRetentionMs / ms) return std::nullopt;
        sum += *count * ms;
        if (sum > kMaxRetentionMs) return std::nullopt;
    }
    return sum;
}

}  // namespace

base::Result<AutoCompactor::Options> AutoCompactor::parse(const std::string& mode,
                                                          const std::string& retention) {
    Options out;
    if (mode != "periodic" && mode != "revision")
        return base::invalid_argument("--auto-compaction-mode: \"" + mode +
                                      "\" is neither periodic nor revision");
    if (retention.empty() || retention == "0") return out;
    const auto plain = number(retention);
    const bool periodic = mode == "periodic";
    std::optional<std::int64_t> value = plain;
    if (periodic) value = plain ? duration_ms(retention + "h") : duration_ms(retention);
    if (!value)
        return base::invalid_argument("--auto-compaction-retention: \"" + retention +
                                      (periodic ? "\" is neither hours nor a duration like 30m"
                                                : "\" is no number of revisions"));
    if (*value == 0) return out;
    out.mode = periodic ? Mode::kPeriodic : Mode::kRevision;
    out.retention = *value;
    return out;
}

void AutoCompactor::reset() {
    samples_.clear();
    checked_ms_.reset();
    done_ = 0;
}

std::optional<std::int64_t> AutoCompactor::tick(std::int64_t now_ms, std::int64_t revision) {
    std::optional<std::int64_t> target;
    if (options_.mode == Mode::kOff) return target;
    if (options_.mode == Mode::kPeriodic) {
        target = periodic(now_ms, revision);
    } else {
        if (!checked_ms_) checked_ms_ = now_ms;
        if (now_ms - *checked_ms_ < kRevisionCheckMs) return std::nullopt;
        checked_ms_ = now_ms;
        target = revision - options_.retention;
    }
    if (!target || *target <= std::max<std::int64_t>(done_, 1)) return std::nullopt;
    done_ = *target;
    return target;
}

std::optional<std::int64_t> AutoCompactor::periodic(std::int64_t now_ms, std::int64_t revision) {
    const std::int64_t pause = std::max<std::int64_t>(options_.retention / kSamplesARetention, 1);
    if (samples_.empty() || now_ms - samples_.back().first >= pause)
        samples_.emplace_back(now_ms, revision);
    // The newest sample that is a whole retention old stays in front.
    while (samples_.size() > 1 && now_ms - samples_[1].first >= options_.retention)
        samples_.pop_front();
    if (now_ms - samples_.front().first < options_.retention) return std::nullopt;
    if (checked_ms_ && now_ms - *checked_ms_ < std::min(options_.retention, kHourMs))
        return std::nullopt;
    checked_ms_ = now_ms;
    return samples_.front().second;
}

}  // namespace kvstore
