#pragma once
// Strong<Tag, T>: an integer that only mixes with its own kind (Term, Index, NodeId, Revision).
// Ordered, hashable, formattable; + and - take plain integers, the difference of two is a plain
// integer.

#include <fmt/core.h>

#include <compare>
#include <cstdint>
#include <functional>

namespace base {

template <class Tag, class T = std::uint64_t>
class Strong {
  public:
    using Value = T;

    constexpr Strong() = default;
    constexpr explicit Strong(T value) : value_(value) {}

    constexpr T value() const { return value_; }
    friend constexpr auto operator<=>(Strong, Strong) = default;

    constexpr Strong& operator++() { return ++value_, *this; }
    constexpr Strong& operator--() { return --value_, *this; }
    constexpr Strong& operator+=(T n) { return value_ += n, *this; }
    friend constexpr Strong operator+(Strong a, T n) { return Strong(a.value_ + n); }
    friend constexpr Strong operator-(Strong a, T n) { return Strong(a.value_ - n); }
    friend constexpr T operator-(Strong a, Strong b) { return a.value_ - b.value_; }

  private:
    T value_{};
};

}  // namespace base

template <class Tag, class T>
struct std::hash<base::Strong<Tag, T>> {
    std::size_t operator()(base::Strong<Tag, T> v) const noexcept {
        return std::hash<T>{}(v.value());
    }
};

template <class Tag, class T>
struct fmt::formatter<base::Strong<Tag, T>> : fmt::formatter<T> {
    template <class Context>
    auto format(base::Strong<Tag, T> v, Context& context) const {
        return fmt::formatter<T>::format(v.value(), context);
    }
};
