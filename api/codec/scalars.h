#pragma once
// Texts of times and durations. Pure.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace api::codec {

struct Instant {
    std::int64_t seconds = 0;  // since 1970
    std::int32_t nanos = 0;
};

// "2024-05-01T10:20:30Z"; with `micros`, "…30.123456Z".
void append_rfc3339(std::string* out, Instant t, bool micros);
// Any offset, any fraction. InvalidArgument in the words of Go's time.Parse.
base::Result<Instant> parse_rfc3339(std::string_view text, bool micros);

// "1h2m3.5s", "0s", in nanoseconds.
std::string go_duration(std::int64_t nanos);
base::Result<std::int64_t> parse_go_duration(std::string_view text);

// Shortest form that reads back the same, as Go's encoding/json writes it.
void append_double(std::string* out, double value);

}  // namespace api::codec
