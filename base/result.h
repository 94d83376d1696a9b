#pragma once
// Result<T>: a value or an Error, with the member names of C++23's std::expected, so that it can
// become an alias. TRY(decl, expr) declares `decl` from expr's value or returns its error; CO_TRY
// is the same inside a coroutine.
//
//     TRY(auto file, open(path));
//     CO_TRY(auto answer, co_await client.range(std::move(request)));
//     TRY_VOID(check(x));

#include <type_traits>
#include <utility>
#include <variant>

#include "base/check.h"
#include "base/error.h"

namespace base {

// What carries an Error into any Result<T>.
struct Unexpected {
    Error error;
};
inline Unexpected unexpected(Error e) {
    return Unexpected{std::move(e)};
}

template <class T>
class [[nodiscard]] Result {
  public:
    using value_type = T;

    Result(T value)
        : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT: implicit on purpose
    Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}
    Result(Unexpected u) : state_(std::in_place_index<1>, std::move(u.error)) {}
    template <class U>
    requires(std::is_convertible_v<U&&, T> && !std::is_same_v<std::remove_cvref_t<U>, Result> &&
             !std::is_same_v<std::remove_cvref_t<U>, Error> &&
             !std::is_same_v<std::remove_cvref_t<U>, Unexpected> &&
             !std::is_same_v<std::remove_cvref_t<U>, T>) Result(U&& value)
        : state_(std::in_place_index<0>, std::forward<U>(value)) {}

    bool has_value() const { return state_.index() == 0; }
    explicit operator bool() const { return has_value(); }

    // CHECKs that there is a value.
    T& value() & { return check_value(), *std::get_if<0>(&state_); }
    const T& value() const& { return check_value(), *std::get_if<0>(&state_); }
    T&& value() && { return check_value(), std::move(*std::get_if<0>(&state_)); }
    T& operator*() & { return value(); }
    const T& operator*() const& { return value(); }
    T&& operator*() && { return std::move(*this).value(); }
    T* operator->() { return &value(); }
    const T* operator->() const { return &value(); }
    template <class U>
    T value_or(U&& other) const& {
        return has_value() ? value() : static_cast<T>(std::forward<U>(other));
    }

    // CHECKs that there is an error.
    Error& error() & { return check_error(), *std::get_if<1>(&state_); }
    const Error& error() const& { return check_error(), *std::get_if<1>(&state_); }
    Error&& error() && { return check_error(), std::move(*std::get_if<1>(&state_)); }

  private:
    void check_value() const {
        CHECK(has_value(), "Result holds an error: {}", std::get_if<1>(&state_)->message);
    }
    void check_error() const { CHECK(!has_value(), "Result holds a value"); }

    std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
  public:
    using value_type = void;

    Result() : state_(std::in_place_index<0>) {}
    Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}
    Result(Unexpected u) : state_(std::in_place_index<1>, std::move(u.error)) {}

    bool has_value() const { return state_.index() == 0; }
    explicit operator bool() const { return has_value(); }
    void value() const {
        CHECK(has_value(), "Result holds an error: {}", std::get_if<1>(&state_)->message);
    }
    void operator*() const { value(); }
    Error& error() & { return check_error(), *std::get_if<1>(&state_); }
    const Error& error() const& { return check_error(), *std::get_if<1>(&state_); }
    Error&& error() && { return check_error(), std::move(*std::get_if<1>(&state_)); }

  private:
    void check_error() const { CHECK(!has_value(), "Result holds a value"); }

    std::variant<std::monostate, Error> state_;
};

using Status = Result<void>;

}  // namespace base

#define BASE_CONCAT_(a, b) a##b
#define BASE_CONCAT(a, b) BASE_CONCAT_(a, b)
#define BASE_TRY_(tmp, decl, ret, ...)                  \
    auto tmp = (__VA_ARGS__);                           \
    if (!tmp) [[unlikely]]                              \
        ret ::base::unexpected(std::move(tmp).error()); \
    decl = std::move(tmp).value()
#define BASE_TRY_VOID_(tmp, ret, ...)                       \
    do {                                                    \
        auto tmp = (__VA_ARGS__);                           \
        if (!tmp) [[unlikely]]                              \
            ret ::base::unexpected(std::move(tmp).error()); \
    } while (false)

#define TRY(decl, ...) BASE_TRY_(BASE_CONCAT(try_, __LINE__), decl, return, __VA_ARGS__)
#define TRY_VOID(...) BASE_TRY_VOID_(BASE_CONCAT(try_, __LINE__), return, __VA_ARGS__)
#define CO_TRY(decl, ...) BASE_TRY_(BASE_CONCAT(try_, __LINE__), decl, co_return, __VA_ARGS__)
#define CO_TRY_VOID(...) BASE_TRY_VOID_(BASE_CONCAT(try_, __LINE__), co_return, __VA_ARGS__)
