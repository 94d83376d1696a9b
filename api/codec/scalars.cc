#include "api/codec/scalars.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>

namespace api::codec {
namespace {

using std::chrono::days;
using std::chrono::sys_days;

bool digits(std::string_view s, std::size_t from, std::size_t n, int* out) {
    if (from + n > s.size()) return false;
    int v = 0;
    for (std::size_t i = from; i < from + n; ++i) {
        if (s[i] < '0' || s[i] > '9') return false;
        v = v * 10 + (s[i] - '0');
    }
    *out = v;
    return true;
}

base::Error bad_time(std::string_view text, bool micros, std::string_view rest,
                     std::string_view wanted) {
    const std::string_view layout =
        micros ? "2006-01-02T15:04:05.000000Z07:00" : "2006-01-02T15:04:05Z07:00";
    return base::invalid_argument(
        fmt::format("parsing time \"{}\" as \"{}\": cannot parse \"{}\" as \"{}\"", text, layout,
                    rest, wanted));
}

}  // namespace

void append_rfc3339(std::string* out, Instant t, bool micros) {
    const std::int64_t day = t.seconds >= 0 ? t.seconds / 86400 : -((-t.seconds + 86399) / 86400);
    const int second = static_cast<int>(t.seconds - day * 86400);
    // Years that RFC 3339 cannot write are held at its ends.
    constexpr std::int64_t kFirst = -719528;  // 0000-01-01
    constexpr std::int64_t kLast = 2932896;   // 9999-12-31
    const std::chrono::year_month_day date{
        sys_days(days(static_cast<int>(std::clamp(day, kFirst, kLast))))};
    char buffer[40];
    char* end =
        fmt::format_to(buffer, "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", static_cast<int>(date.year()),
                       static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                       second / 3600, second / 60 % 60, second % 60);
    if (micros) end = fmt::format_to(end, ".{:06}", std::clamp(t.nanos / 1000, 0, 999999));
    *end++ = 'Z';
    out->append(buffer, end);
}

base::Result<Instant> parse_rfc3339(std::string_view s, bool micros) {
    struct Part {
        std::size_t at;
        std::size_t width;
        char before;
        std::string_view wanted;
    };
    constexpr Part kParts[] = {{0, 4, 0, "2006"},  {5, 2, '-', "01"},  {8, 2, '-', "02"},
                               {11, 2, 'T', "15"}, {14, 2, ':', "04"}, {17, 2, ':', "05"}};
    int v[6];
    for (std::size_t i = 0; i < 6; ++i) {
        const auto& p = kParts[i];
        if (p.before != 0) {
            const std::size_t at = p.at - 1;
            if (at >= s.size() || s[at] != p.before)
                return bad_time(s, micros, s.substr(std::min(at, s.size())),
                                std::string_view(&p.before, 1));
        }
        if (!digits(s, p.at, p.width, &v[i]))
            return bad_time(s, micros, s.substr(std::min(p.at, s.size())), p.wanted);
    }
    const std::chrono::year_month_day date{std::chrono::year(v[0]),
                                           std::chrono::month(static_cast<unsigned>(v[1])),
                                           std::chrono::day(static_cast<unsigned>(v[2]))};
    const auto out_of_range = [&](std::string_view what) {
        return base::invalid_argument(fmt::format("parsing time \"{}\": {} out of range", s, what));
    };
    if (v[1] < 1 || v[1] > 12) return out_of_range("month");
    if (!date.ok()) return out_of_range("day");
    if (v[3] > 23) return out_of_range("hour");
    if (v[4] > 59) return out_of_range("minute");
    if (v[5] > 59) return out_of_range("second");
    Instant out;
    std::size_t at = 19;
    if (at < s.size() && (s[at] == '.' || s[at] == ',')) {
        std::int32_t scale = 100'000'000;
        const std::size_t from = ++at;
        for (; at < s.size() && s[at] >= '0' && s[at] <= '9'; ++at, scale /= 10)
            out.nanos += (s[at] - '0') * scale;
        if (at == from) return bad_time(s, micros, s.substr(19), "Z07:00");
    } else if (micros) {
        return bad_time(s, micros, s.substr(at), ".000000");
    }
    std::int64_t offset = 0;
    if (at < s.size() && s[at] == 'Z') {
        ++at;
    } else {
        int hours = 0;
        int minutes = 0;
        if (at >= s.size() || (s[at] != '+' && s[at] != '-') || !digits(s, at + 1, 2, &hours) ||
            at + 3 >= s.size() || s[at + 3] != ':' || !digits(s, at + 4, 2, &minutes))
            return bad_time(s, micros, s.substr(at), "Z07:00");
        if (hours > 24 || minutes > 59) return out_of_range("time zone offset hour");
        offset = (s[at] == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
        at += 6;
    }
    if (at != s.size())
        return base::invalid_argument(
            fmt::format("parsing time \"{}\": extra text: \"{}\"", s, s.substr(at)));
    out.seconds = sys_days(date).time_since_epoch().count() * 86400LL + v[3] * 3600 + v[4] * 60 +
                  v[5] - offset;
    return out;
}

std::string go_duration(std::int64_t nanos) {
    if (nanos == 0) return "0s";
    const bool negative = nanos < 0;
    const auto u =
        negative ? 0 - static_cast<std::uint64_t>(nanos) : static_cast<std::uint64_t>(nanos);
    const auto fraction = [](std::uint64_t value, std::uint64_t unit) {
        std::string out = std::to_string(value / unit);
        std::uint64_t rest = value % unit;
        if (rest == 0) return out;
        out += '.';
        while (rest != 0) {
            rest *= 10;
            out += static_cast<char>('0' + rest / unit);
            rest %= unit;
        }
        return out;
    };
    const std::string sign = negative ? "-" : "";
    if (u < 1000) return sign + std::to_string(u) + "ns";
    if (u < 1'000'000) return sign + fraction(u, 1000) + "µs";
    if (u < 1'000'000'000) return sign + fraction(u, 1'000'000) + "ms";
    const std::uint64_t hours = u / 3'600'000'000'000;
    const std::uint64_t minutes = u / 60'000'000'000 % 60;
    std::string out = sign;
    if (hours > 0) out += std::to_string(hours) + "h";
    if (hours > 0 || minutes > 0) out += std::to_string(minutes) + "m";
    return out + fraction(u % 60'000'000'000, 1'000'000'000) + "s";
}

base::Result<std::int64_t> parse_go_duration(std::string_view text) {
    const auto bad = [&](std::string_view what) {
        return base::invalid_argument(fmt::format("time: {} \"{}\"", what, text));
    };
    std::string_view s = text;
    bool negative = false;
    if (!s.empty() && (s[0] == '-' || s[0] == '+')) {
        negative = s[0] == '-';
        s.remove_prefix(1);
    }
    if (s == "0") return 0;
    if (s.empty()) return bad("invalid duration");
    __int128 total = 0;
    while (!s.empty()) {
        __int128 whole = 0;
        std::size_t i = 0;
        for (; i < s.size() && s[i] >= '0' && s[i] <= '9'; ++i) {
            whole = whole * 10 + (s[i] - '0');
            if (whole > INT64_MAX) return bad("invalid duration");
        }
        std::size_t seen = i;
        __int128 part = 0;
        __int128 scale = 1;
        if (i < s.size() && s[i] == '.') {
            for (++i; i < s.size() && s[i] >= '0' && s[i] <= '9'; ++i, ++seen)
                if (scale < 1'000'000'000'000'000) part = part * 10 + (s[i] - '0'), scale *= 10;
        }
        if (seen == 0) return bad("invalid duration");
        s.remove_prefix(i);
        std::size_t end = 0;
        while (end < s.size() && s[end] != '.' && (s[end] < '0' || s[end] > '9'))
            ++end;
        if (end == 0) return bad("missing unit in duration");
        const std::string_view unit = s.substr(0, end);
        std::int64_t factor = 0;
        if (unit == "ns") factor = 1;
        if (unit == "us" || unit == "µs" || unit == "μs") factor = 1000;
        if (unit == "ms") factor = 1'000'000;
        if (unit == "s") factor = 1'000'000'000;
        if (unit == "m") factor = 60'000'000'000;
        if (unit == "h") factor = 3'600'000'000'000;
        if (factor == 0)
            return base::invalid_argument(
                fmt::format("time: unknown unit \"{}\" in duration \"{}\"", unit, text));
        total += whole * factor + part * factor / scale;
        if (total > INT64_MAX) return bad("invalid duration");
        s.remove_prefix(end);
    }
    return static_cast<std::int64_t>(negative ? -total : total);
}

void append_double(std::string* out, double value) {
    if (!std::isfinite(value)) {
        out->append("null");
        return;
    }
    const double magnitude = std::fabs(value);
    const bool scientific = magnitude != 0 && (magnitude < 1e-6 || magnitude >= 1e21);
    char buffer[400];
    const auto end =
        std::to_chars(buffer, buffer + sizeof buffer, value,
                      scientific ? std::chars_format::scientific : std::chars_format::fixed)
            .ptr;
    std::string_view text(buffer, static_cast<std::size_t>(end - buffer));
    // Go writes e-9, not e-09.
    if (const auto e = text.find("e-0"); e != std::string_view::npos) {
        out->append(text.substr(0, e + 2));
        text.remove_prefix(e + 3);
    }
    out->append(text);
}

}  // namespace api::codec
