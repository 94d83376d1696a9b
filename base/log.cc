#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <cstdlib>
#include <string>

#include "base/check.h"

namespace base {
namespace {

std::atomic<LogLevel> g_level{LogLevel::kInfo};

spdlog::logger& logger() {
    static spdlog::logger instance = [] {
        spdlog::logger l("coxswain", std::make_shared<spdlog::sinks::stderr_sink_mt>());
        l.set_level(spdlog::level::debug);
        l.flush_on(spdlog::level::warn);
        l.set_pattern("%Y-%m-%dT%H:%M:%S.%f %L %v");
        return l;
    }();
    return instance;
}

spdlog::level::level_enum to_spdlog(LogLevel level) {
    switch (level) {
        case LogLevel::kDebug:
            return spdlog::level::debug;
        case LogLevel::kInfo:
            return spdlog::level::info;
        case LogLevel::kWarn:
            return spdlog::level::warn;
        case LogLevel::kError:
            return spdlog::level::err;
        case LogLevel::kOff:
            return spdlog::level::off;
    }
    return spdlog::level::info;
}

}  // namespace

void set_log_level(LogLevel level) {
    g_level.store(level, std::memory_order_relaxed);
}
LogLevel log_level() {
    return g_level.load(std::memory_order_relaxed);
}
bool log_enabled(LogLevel level) {
    return level >= log_level() && level != LogLevel::kOff;
}

bool parse_log_level(std::string_view text, LogLevel* out) {
    constexpr std::pair<std::string_view, LogLevel> kNames[] = {{"debug", LogLevel::kDebug},
                                                                {"info", LogLevel::kInfo},
                                                                {"warn", LogLevel::kWarn},
                                                                {"error", LogLevel::kError},
                                                                {"off", LogLevel::kOff}};
    for (const auto& [name, level] : kNames) {
        if (name == text) return *out = level, true;
    }
    return false;
}

void set_log_name(std::string_view name) {
    logger().set_pattern(fmt::format("%Y-%m-%dT%H:%M:%S.%f %L {} %v", name));
}

void log_write(LogLevel level, std::string_view component, fmt::string_view format,
               fmt::format_args args) {
    logger().log(to_spdlog(level), "{}: {}", component, fmt::vformat(format, args));
}

void check_failed(const char* file, int line, const char* condition, std::string_view message) {
    logger().log(spdlog::level::critical, "{}:{}: CHECK({}) failed{}{}", file, line, condition,
                 message.empty() ? "" : ": ", message);
    logger().flush();
    std::abort();
}

}  // namespace base
