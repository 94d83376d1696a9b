#pragma once
// CHECK(condition) and CHECK(condition, "format {}", args…): an invariant of our own code. Always
// on, in every build: a broken one logs where and what, and aborts. Never for bytes that come from
// users, peers or the disk.

#include <fmt/core.h>

namespace base {
[[noreturn]] void check_failed(const char* file, int line, const char* condition,
                               std::string_view message);

inline std::string check_message() {
    return {};
}
template <class... Args>
std::string check_message(fmt::format_string<Args...> format, Args&&... args) {
    return fmt::format(format, std::forward<Args>(args)...);
}
}  // namespace base

#define CHECK(condition, ...)                                                            \
    (static_cast<bool>(condition) ? static_cast<void>(0)                                 \
                                  : ::base::check_failed(__FILE__, __LINE__, #condition, \
                                                         ::base::check_message(__VA_ARGS__)))
