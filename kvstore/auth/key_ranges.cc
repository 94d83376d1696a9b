#include "kvstore/auth/key_ranges.h"

#include <algorithm>

#include "kvstore/mvcc/schema.h"

namespace kvstore::auth {

KeyRanges::Interval KeyRanges::interval(std::string_view key, std::string_view range_end) {
    auto named = schema::KeyInterval::of(key, range_end);
    if (named.unbounded) return {std::move(named.begin), std::nullopt};
    if (named.single || named.empty()) return {named.begin, named.begin + '\0'};
    return {std::move(named.begin), std::move(named.end)};
}

void KeyRanges::add(std::string_view key, std::string_view range_end) {
    Interval added = interval(key, range_end);
    std::vector<Interval> out;
    for (auto& old : intervals_) {
        const bool before = old.end && *old.end < added.begin;
        const bool after = added.end && *added.end < old.begin;
        if (before || after) {
            out.push_back(std::move(old));
            continue;
        }
        added.begin = std::min(added.begin, old.begin);
        if (!added.end || !old.end)
            added.end.reset();
        else
            added.end = std::max(*added.end, *old.end);
    }
    auto at = std::find_if(out.begin(), out.end(),
                           [&](const Interval& i) { return i.begin > added.begin; });
    out.insert(at, std::move(added));
    intervals_ = std::move(out);
}

bool KeyRanges::contains(std::string_view key, std::string_view range_end) const {
    const Interval asked = interval(key, range_end);
    auto after = std::upper_bound(
        intervals_.begin(), intervals_.end(), asked.begin,
        [](const std::string& begin, const Interval& i) { return begin < i.begin; });
    if (after == intervals_.begin()) return false;
    const Interval& candidate = *--after;
    if (!candidate.end) return true;
    return asked.end && *asked.end <= *candidate.end;
}

}  // namespace kvstore::auth
