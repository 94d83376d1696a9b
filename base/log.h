#pragma once
// The log: LOG_INFO("raft", "became leader at term {}", term). The first argument is the component.
// Lines go to stderr with time, level and component. Any thread. The header carries only fmt's
// core; spdlog stays in log.cc. Formatting is skipped when the level is off.

#include <fmt/core.h>

#include <string_view>

namespace base {

enum class LogLevel { kDebug, kInfo, kWarn, kError, kOff };

// Default: kInfo. Any thread.
void set_log_level(LogLevel level);
LogLevel log_level();
// "debug", "info", "warn", "error" or "off"; anything else is false and leaves `out` alone.
bool parse_log_level(std::string_view text, LogLevel* out);
// Puts `name` (a member's name, say) in every line that follows. Call once at start.
void set_log_name(std::string_view name);

bool log_enabled(LogLevel level);
void log_write(LogLevel level, std::string_view component, fmt::string_view format,
               fmt::format_args args);

template <class... Args>
void log(LogLevel level, std::string_view component, fmt::format_string<Args...> format,
         Args&&... args) {
    if (log_enabled(level)) log_write(level, component, format, fmt::make_format_args(args...));
}

}  // namespace base

#define LOG_DEBUG(component, ...) ::base::log(::base::LogLevel::kDebug, component, __VA_ARGS__)
#define LOG_INFO(component, ...) ::base::log(::base::LogLevel::kInfo, component, __VA_ARGS__)
#define LOG_WARN(component, ...) ::base::log(::base::LogLevel::kWarn, component, __VA_ARGS__)
#define LOG_ERROR(component, ...) ::base::log(::base::LogLevel::kError, component, __VA_ARGS__)
