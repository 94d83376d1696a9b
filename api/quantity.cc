#include "api/quantity.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "api/proto/intstr.pb.h"
#include "api/proto/quantity.pb.h"
#include "api/v1.h"

namespace api {
namespace {

using Int = __int128;
using Format = Quantity::Format;

constexpr Int kNano = 1'000'000'000;
constexpr Int kMax = Int{INT64_MAX} * kNano;

constexpr std::string_view kFormatWrong =
    "quantities must match the regular expression "
    "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
constexpr std::string_view kSuffixWrong = "unable to parse quantity's suffix";

struct Parts {
    bool negative = false;
    std::string_view whole;     // digits without leading zeros
    std::string_view fraction;  // digits
    std::string_view suffix;
};

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

base::Result<Parts> split(std::string_view s) {
    Parts out;
    if (s.empty()) return base::invalid_argument(std::string(kFormatWrong));
    if (s[0] == '-' || s[0] == '+') {
        out.negative = s[0] == '-';
        s.remove_prefix(1);
    }
    const auto take_digits = [&] {
        std::size_t n = 0;
        while (n < s.size() && is_digit(s[n]))
            ++n;
        const auto taken = s.substr(0, n);
        s.remove_prefix(n);
        return taken;
    };
    out.whole = take_digits();
    while (!out.whole.empty() && out.whole[0] == '0')
        out.whole.remove_prefix(1);
    if (!s.empty() && s[0] == '.') {
        s.remove_prefix(1);
        out.fraction = take_digits();
    }
    out.suffix = s;
    std::size_t i = s.find_first_not_of("eEinumkKMGTP");
    if (i == std::string_view::npos) return out;
    if (s[i] == '-' || s[i] == '+') ++i;
    while (i < s.size() && is_digit(s[i]))
        ++i;
    if (i != s.size()) return base::invalid_argument(std::string(kFormatWrong));
    return out;
}

struct Suffix {
    int base = 10;
    std::int64_t exponent = 0;
    Format format = Format::kDecimalSi;
};

base::Result<Suffix> suffix_of(std::string_view s) {
    struct Known {
        std::string_view text;
        Suffix is;
    };
    static constexpr Known kKnown[] = {
        {"", {10, 0, Format::kDecimalSi}},   {"n", {10, -9, Format::kDecimalSi}},
        {"u", {10, -6, Format::kDecimalSi}}, {"m", {10, -3, Format::kDecimalSi}},
        {"k", {10, 3, Format::kDecimalSi}},  {"M", {10, 6, Format::kDecimalSi}},
        {"G", {10, 9, Format::kDecimalSi}},  {"T", {10, 12, Format::kDecimalSi}},
        {"P", {10, 15, Format::kDecimalSi}}, {"E", {10, 18, Format::kDecimalSi}},
        {"Ki", {2, 10, Format::kBinarySi}},  {"Mi", {2, 20, Format::kBinarySi}},
        {"Gi", {2, 30, Format::kBinarySi}},  {"Ti", {2, 40, Format::kBinarySi}},
        {"Pi", {2, 50, Format::kBinarySi}},  {"Ei", {2, 60, Format::kBinarySi}},
    };
    for (const auto& known : kKnown)
        if (known.text == s) return known.is;
    if (s.size() > 1 && (s[0] == 'e' || s[0] == 'E')) {
        Suffix out;
        out.format = Format::kDecimalExponent;
        const char* from = s.data() + (s[1] == '+' ? 2 : 1);
        const auto [end, ec] = std::from_chars(from, s.data() + s.size(), out.exponent);
        if (ec == std::errc() && end == s.data() + s.size()) return out;
    }
    return base::invalid_argument(std::string(kSuffixWrong));
}

// digits × 10^shift billionths, rounded up, held at kMax.
Int decimal(std::string_view whole, std::string_view fraction, std::int64_t exponent) {
    // The digits without a point, and how many of them count billionths or more.
    std::string digits(whole);
    digits += fraction;
    const std::size_t lead = std::min(digits.find_first_not_of('0'), digits.size());
    digits.erase(0, lead);
    if (digits.empty()) return 0;
    const std::int64_t kept = static_cast<std::int64_t>(whole.size()) -
                              static_cast<std::int64_t>(lead) +
                              std::clamp<std::int64_t>(exponent, -100'000'000, 100'000'000) + 9;
    if (kept > 30) return kMax;
    Int out = 0;
    for (std::int64_t i = 0; i < kept; ++i)
        out = out * 10 + (i < static_cast<std::int64_t>(digits.size())
                              ? digits[static_cast<std::size_t>(i)] - '0'
                              : 0);
    const std::size_t rest = static_cast<std::size_t>(std::max<std::int64_t>(kept, 0));
    if (rest < digits.size() && digits.find_first_not_of('0', rest) != std::string::npos) ++out;
    return std::min(out, kMax);
}

Int binary(std::string_view whole, std::string_view fraction, std::int64_t bits) {
    if (whole.size() > 19) return kMax;
    Int units = 0;
    for (const char c : whole)
        units = units * 10 + (c - '0');
    if (units > (Int{INT64_MAX} >> bits)) return kMax;
    Int out = (units << bits) * kNano;
    Int part = 0;  // in 10^-18
    for (std::size_t i = 0; i < 18; ++i)
        part = part * 10 + (i < fraction.size() ? fraction[i] - '0' : 0);
    const bool more =
        fraction.size() > 18 && fraction.find_first_not_of('0', 18) != std::string_view::npos;
    part <<= bits;
    out += part / kNano + (part % kNano != 0 || more ? 1 : 0);
    return std::min(out, kMax);
}

std::string int_text(Int v) {
    // Only values up to ±2^63·10^3 get here; two halves are enough.
    const bool negative = v < 0;
    if (negative) v = -v;
    std::string out;
    do {
        out.insert(out.begin(), static_cast<char>('0' + static_cast<int>(v % 10)));
        v /= 10;
    } while (v != 0);
    return negative ? "-" + out : out;
}

Int away_from_zero(Int v, Int unit) {
    const Int whole = v / unit;
    if (v % unit == 0) return whole;
    return v > 0 ? whole + 1 : whole - 1;
}

std::int64_t held(Int v) {
    if (v > INT64_MAX) return INT64_MAX;
    if (v < INT64_MIN) return INT64_MIN;
    return static_cast<std::int64_t>(v);
}

}  // namespace

Quantity Quantity::of(std::int64_t value, Format format) {
    Quantity out;
    out.nano_ = Int{value} * kNano;
    out.format_ = format;
    return out;
}

Quantity Quantity::of_milli(std::int64_t milli, Format format) {
    Quantity out;
    out.nano_ = Int{milli} * (kNano / 1000);
    out.format_ = format;
    return out;
}

base::Result<Quantity> Quantity::parse(std::string_view text) {
    TRY(const Parts parts, split(text));
    TRY(const Suffix suffix, suffix_of(parts.suffix));
    Quantity out;
    out.format_ = suffix.format;
    const Int v = suffix.base == 2 ? binary(parts.whole, parts.fraction, suffix.exponent)
                                   : decimal(parts.whole, parts.fraction, suffix.exponent);
    out.nano_ = parts.negative ? -v : v;
    return out;
}

Quantity Quantity::from(const resource::Quantity& message) {
    auto parsed = parse(message.string());
    return parsed ? *parsed : Quantity();
}

std::string Quantity::to_string() const {
    if (nano_ == 0) return "0";
    if (format_ == Format::kBinarySi && (nano_ <= -1024 * kNano || nano_ >= 1024 * kNano)) {
        static constexpr std::array<std::string_view, 7> kSuffixes = {"",   "Ki", "Mi", "Gi",
                                                                      "Ti", "Pi", "Ei"};
        Int v = away_from_zero(nano_, kNano);
        std::size_t power = 0;
        for (; power + 1 < kSuffixes.size() && v % 1024 == 0; ++power)
            v /= 1024;
        return int_text(v).append(kSuffixes[power]);
    }
    Int v = nano_;
    int exponent = -9;
    for (; exponent < 18 && v % 1000 == 0; exponent += 3)
        v /= 1000;
    if (format_ == Format::kDecimalExponent)
        return exponent == 0 ? int_text(v) : int_text(v) + "e" + std::to_string(exponent);
    static constexpr std::array<std::string_view, 10> kSuffixes = {"n", "u", "m", "",  "k",
                                                                   "M", "G", "T", "P", "E"};
    const int at = exponent / 3 + 3;
    return int_text(v).append(kSuffixes[static_cast<std::size_t>(at)]);
}

resource::Quantity Quantity::to_message() const {
    resource::Quantity out;
    out.set_string(to_string());
    return out;
}

std::int64_t Quantity::value() const {
    return held(away_from_zero(nano_, kNano));
}

std::int64_t Quantity::milli_value() const {
    return held(away_from_zero(nano_, kNano / 1000));
}

double Quantity::as_double() const {
    return static_cast<double>(nano_) / 1e9;
}

Quantity Quantity::rounded_up_to_milli() const {
    Quantity out = *this;
    constexpr Int kMilli = kNano / 1000;
    out.nano_ = away_from_zero(nano_, kMilli) * kMilli;
    return out;
}

// A sum takes the format of its first part that is not zero.
Quantity& Quantity::operator+=(const Quantity& other) {
    if (nano_ == 0) format_ = other.format_;
    nano_ = std::clamp<Int>(nano_ + other.nano_, -kMax, kMax);
    return *this;
}

Quantity& Quantity::operator-=(const Quantity& other) {
    if (nano_ == 0) format_ = other.format_;
    nano_ = std::clamp<Int>(nano_ - other.nano_, -kMax, kMax);
    return *this;
}

Quantity Quantity::operator-() const {
    Quantity out = *this;
    out.nano_ = -nano_;
    return out;
}

base::Result<std::string> canonical_quantity(std::string_view text) {
    TRY(const Quantity parsed, Quantity::parse(text));
    return parsed.to_string();
}

IntOrString int_or_string(std::int32_t value) {
    IntOrString out;
    if (value != 0) out.set_intval(value);
    return out;
}

IntOrString int_or_string(std::string_view value) {
    IntOrString out;
    out.set_type(1);
    out.set_strval(std::string(value));
    return out;
}

base::Result<std::int32_t> scaled_value(const IntOrString& value, std::int32_t total,
                                        bool round_up) {
    if (value.type() == 0) return value.intval();
    std::string_view text = value.strval();
    const auto wrong = [](std::string_view why) {
        return base::invalid_argument("invalid value for IntOrString: " + std::string(why));
    };
    if (!text.ends_with('%')) return wrong("invalid type: string is not a percentage");
    text.remove_suffix(1);
    std::int32_t percent = 0;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), percent);
    if (ec != std::errc() || end != text.data() + text.size())
        return wrong("invalid value \"" + value.strval() + "\"");
    const std::int64_t product = std::int64_t{percent} * total;
    const std::int64_t scaled = round_up ? (product >= 0 ? (product + 99) / 100 : product / 100)
                                         : (product >= 0 ? product / 100 : (product - 99) / 100);
    return static_cast<std::int32_t>(std::clamp<std::int64_t>(scaled, INT32_MIN, INT32_MAX));
}

std::string to_string(const IntOrString& value) {
    return value.type() == 0 ? std::to_string(value.intval()) : value.strval();
}

}  // namespace api
