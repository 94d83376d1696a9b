#pragma once
// Amounts ("1500m", "2Gi", "1e3") and integers-or-percents of the API. Values, exact decimal
// arithmetic. Pure; any thread.

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace k8s::io::apimachinery::pkg {
namespace api::resource {
class Quantity;
}
namespace util::intstr {
class IntOrString;
}
}  // namespace k8s::io::apimachinery::pkg

namespace api {

class Quantity {
  public:
    enum class Format { kDecimalSi, kBinarySi, kDecimalExponent };

    Quantity() = default;  // 0
    static Quantity of(std::int64_t value, Format format = Format::kDecimalSi);
    static Quantity of_milli(std::int64_t milli, Format format = Format::kDecimalSi);
    // InvalidArgument with upstream's text. More precise than a billionth is rounded up; beyond
    // ±(2^63-1) of the greatest unit it is capped, as upstream does.
    static base::Result<Quantity> parse(std::string_view text);
    // What the message holds; 0 for what cannot be read.
    static Quantity from(const ::k8s::io::apimachinery::pkg::api::resource::Quantity& message);

    // The canonical text: no fraction, the greatest suffix that keeps it exact.
    std::string to_string() const;
    ::k8s::io::apimachinery::pkg::api::resource::Quantity to_message() const;

    // Rounded away from zero; capped at the type's ends.
    std::int64_t value() const;
    std::int64_t milli_value() const;
    double as_double() const;
    bool is_zero() const { return nano_ == 0; }
    int sign() const { return nano_ > 0 ? 1 : nano_ < 0 ? -1 : 0; }
    Format format() const { return format_; }
    // Rounded up to a multiple of a thousandth.
    Quantity rounded_up_to_milli() const;

    Quantity& operator+=(const Quantity& other);
    Quantity& operator-=(const Quantity& other);
    friend Quantity operator+(Quantity a, const Quantity& b) { return a += b; }
    friend Quantity operator-(Quantity a, const Quantity& b) { return a -= b; }
    Quantity operator-() const;
    friend std::strong_ordering operator<=>(const Quantity& a, const Quantity& b) {
        return a.nano_ <=> b.nano_;
    }
    friend bool operator==(const Quantity& a, const Quantity& b) { return a.nano_ == b.nano_; }

  private:
    using Int = __int128;
    Int nano_ = 0;  // in billionths
    Format format_ = Format::kDecimalSi;
};

// The canonical text of a quantity's text.
base::Result<std::string> canonical_quantity(std::string_view text);

using IntOrString = ::k8s::io::apimachinery::pkg::util::intstr::IntOrString;
IntOrString int_or_string(std::int32_t value);
IntOrString int_or_string(std::string_view value);
// A number, or "NN%" of `total` rounded up or down. InvalidArgument for any other string.
base::Result<std::int32_t> scaled_value(const IntOrString& value, std::int32_t total,
                                        bool round_up);
std::string to_string(const IntOrString& value);

}  // namespace api
