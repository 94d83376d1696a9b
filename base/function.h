#pragma once
// UniqueFunction<R(Args…)>: a callable that owns what it captures and is moved, never copied
// (C++23's std::move_only_function). Calling an empty one is a broken invariant (CHECK).

#include <memory>
#include <type_traits>
#include <utility>

#include "base/check.h"

namespace base {

template <class Signature>
class UniqueFunction;

template <class R, class... Args>
class UniqueFunction<R(Args...)> {
  public:
    UniqueFunction() = default;
    UniqueFunction(std::nullptr_t) {}  // NOLINT: implicit, as std::function's
    template <class F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, UniqueFunction> &&
             std::is_invocable_r_v<R, std::decay_t<F>&, Args...>)
        UniqueFunction(F&& f)  // NOLINT: implicit, as std::function's
        : impl_(std::make_unique<Impl<std::decay_t<F>>>(std::forward<F>(f))) {}

    UniqueFunction(UniqueFunction&&) noexcept = default;
    UniqueFunction& operator=(UniqueFunction&&) noexcept = default;

    explicit operator bool() const { return impl_ != nullptr; }
    R operator()(Args... args) {
        CHECK(impl_ != nullptr);
        return impl_->call(std::forward<Args>(args)...);
    }

  private:
    struct Base {
        virtual ~Base() = default;
        virtual R call(Args... args) = 0;
    };
    template <class F>
    struct Impl final : Base {
        explicit Impl(F function) : f(std::move(function)) {}
        R call(Args... args) override { return f(std::forward<Args>(args)...); }
        F f;
    };
    std::unique_ptr<Base> impl_;
};

}  // namespace base
