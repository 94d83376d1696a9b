#pragma once
// KeyRanges: a set of keys as merged intervals, and whether it holds a whole interval. Pure value.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kvstore::auth {

class KeyRanges {
  public:
    // Both take a request's form: no `range_end` is the one key, "\0" is "to the last key", an
    // empty key with a range end is the first key. An interval without keys counts as its begin.
    void add(std::string_view key, std::string_view range_end);
    bool contains(std::string_view key, std::string_view range_end) const;

  private:
    struct Interval {
        std::string begin;
        std::optional<std::string> end;  // nothing: to the last key
    };
    static Interval interval(std::string_view key, std::string_view range_end);

    std::vector<Interval> intervals_;  // sorted; they neither overlap nor touch
};

}  // namespace kvstore::auth
