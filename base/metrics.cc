#include "base/metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <map>
#include <mutex>

#include "base/check.h"

namespace base {
namespace {

// A label value as the text format wants it: backslash, quote and newline escaped.
std::string escape(std::string_view text) {
    std::string out;
    for (char c : text) {
        if (c == '\\' || c == '"') out.push_back('\\');
        if (c == '\n')
            out += "\\n";
        else
            out.push_back(c);
    }
    return out;
}

std::string label_text(const Labels& labels, std::string_view extra = {}) {
    std::string out;
    for (const auto& [name, value] : labels)
        out += fmt::format("{}{}=\"{}\"", out.empty() ? "" : ",", name, escape(value));
    if (!extra.empty()) out += fmt::format("{}{}", out.empty() ? "" : ",", extra);
    return out.empty() ? out : "{" + out + "}";
}

// What /proc says first (all of it) and second (the resident part), in bytes.
std::pair<double, double> memory() {
    long all = 0;
    long resident = 0;
    if (FILE* f = std::fopen("/proc/self/statm", "r")) {
        if (std::fscanf(f, "%ld %ld", &all, &resident) != 2) all = resident = 0;
        std::fclose(f);
    }
    const auto page = static_cast<double>(sysconf(_SC_PAGESIZE));
    return {static_cast<double>(all) * page, static_cast<double>(resident) * page};
}

double cpu_seconds() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    auto seconds = [](const timeval& t) {
        return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double open_fds() {
    std::error_code ec;
    return static_cast<double>(
        std::distance(std::filesystem::directory_iterator("/proc/self/fd", ec), {}));
}

double max_fds() {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    return static_cast<double>(limit.rlim_cur);
}

}  // namespace

Histogram::Histogram(std::vector<double> bounds)
    : bounds_(std::move(bounds)), counts_(bounds_.size() + 1) {
    CHECK(std::is_sorted(bounds_.begin(), bounds_.end()));
}

void Histogram::observe(double v) {
    const auto at = std::lower_bound(bounds_.begin(), bounds_.end(), v) - bounds_.begin();
    counts_[static_cast<std::size_t>(at)].fetch_add(1, std::memory_order_relaxed);
    sum_.fetch_add(v, std::memory_order_relaxed);
}

struct Registry::Impl {
    struct Series {
        Labels labels;
        std::unique_ptr<Counter> counter;
        std::unique_ptr<Gauge> gauge;
        std::unique_ptr<Histogram> histogram;
        std::function<double()> read;
    };
    struct Family {
        std::string type;
        std::string help;
        std::map<std::string, Series> series;  // by label text
    };

    Series& series(std::string_view name, std::string_view help, std::string_view type,
                   Labels labels) {
        auto& family = families[std::string(name)];
        if (family.type.empty()) {
            family.type = type;
            family.help = help;
        }
        CHECK(family.type == type, "metric {} is a {} and a {}", name, family.type, type);
        auto& s = family.series[label_text(labels)];
        s.labels = std::move(labels);
        return s;
    }

    mutable std::mutex mutex;
    std::map<std::string, Family> families;
};

Registry::Registry() : impl_(std::make_unique<Impl>()) {}
Registry::~Registry() = default;

Counter& Registry::counter(std::string_view name, std::string_view help, Labels labels) {
    std::lock_guard lock(impl_->mutex);
    auto& s = impl_->series(name, help, "counter", std::move(labels));
    if (!s.counter) s.counter = std::make_unique<Counter>();
    return *s.counter;
}

Gauge& Registry::gauge(std::string_view name, std::string_view help, Labels labels) {
    std::lock_guard lock(impl_->mutex);
    auto& s = impl_->series(name, help, "gauge", std::move(labels));
    if (!s.gauge) s.gauge = std::make_unique<Gauge>();
    return *s.gauge;
}

Histogram& Registry::histogram(std::string_view name, std::string_view help,
                               std::vector<double> bounds, Labels labels) {
    std::lock_guard lock(impl_->mutex);
    auto& s = impl_->series(name, help, "histogram", std::move(labels));
    if (!s.histogram) s.histogram = std::make_unique<Histogram>(std::move(bounds));
    return *s.histogram;
}

void Registry::gauge_callback(std::string_view name, std::string_view help,
                              std::function<double()> read, Labels labels) {
    std::lock_guard lock(impl_->mutex);
    impl_->series(name, help, "gauge", std::move(labels)).read = std::move(read);
}

void Registry::counter_callback(std::string_view name, std::string_view help,
                                std::function<double()> read, Labels labels) {
    std::lock_guard lock(impl_->mutex);
    impl_->series(name, help, "counter", std::move(labels)).read = std::move(read);
}

std::string Registry::render() const {
    std::lock_guard lock(impl_->mutex);
    std::string out;
    for (const auto& [name, family] : impl_->families) {
        out += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, family.help, name, family.type);
        for (const auto& [text, s] : family.series) {
            if (s.read) out += fmt::format("{}{} {}\n", name, text, s.read());
            if (s.counter) out += fmt::format("{}{} {}\n", name, text, s.counter->value());
            if (s.gauge) out += fmt::format("{}{} {}\n", name, text, s.gauge->value());
            if (!s.histogram) continue;
            std::uint64_t total = 0;
            for (std::size_t i = 0; i <= s.histogram->bounds().size(); ++i) {
                total += s.histogram->bucket(i);
                const bool last = i == s.histogram->bounds().size();
                const std::string le = last ? "+Inf" : fmt::format("{}", s.histogram->bounds()[i]);
                out += fmt::format("{}_bucket{} {}\n", name,
                                   label_text(s.labels, "le=\"" + le + "\""), total);
            }
            out += fmt::format("{}_sum{} {}\n{}_count{} {}\n", name, text, s.histogram->sum(), name,
                               text, total);
        }
    }
    return out;
}

Registry& metrics() {
    static Registry* registry = [] {
        auto* r = new Registry;
        const auto start =
            std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch())
                .count();
        r->gauge_callback("process_resident_memory_bytes", "Resident memory size in bytes.",
                          [] { return memory().second; });
        r->gauge_callback("process_virtual_memory_bytes", "Virtual memory size in bytes.",
                          [] { return memory().first; });
        r->counter_callback("process_cpu_seconds_total",
                            "User and system CPU time spent, in seconds.", cpu_seconds);
        r->gauge_callback("process_open_fds", "Number of open file descriptors.", open_fds);
        r->gauge_callback("process_max_fds", "Most file descriptors that may be open.", max_fds);
        r->gauge_callback("process_start_time_seconds",
                          "Start time of the process since the epoch, in seconds.",
                          [start] { return start; });
        return r;
    }();
    return *registry;
}

}  // namespace base
