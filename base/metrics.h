#pragma once
// Metrics in Prometheus' text format (version 0.0.4). A Registry owns its metrics for the life of
// the process; the references it hands out stay valid as long as it does. Updating is lock-free
// from any thread.

#include <atomic>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace base {

class Counter {
  public:
    void add(std::uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
    // To what is counted elsewhere; one thread, and never back.
    void advance_to(std::uint64_t n) { value_.store(n, std::memory_order_relaxed); }
    std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

  private:
    std::atomic<std::uint64_t> value_{0};
};

class Gauge {
  public:
    void set(std::int64_t v) { value_.store(v, std::memory_order_relaxed); }
    void add(std::int64_t n) { value_.fetch_add(n, std::memory_order_relaxed); }
    std::int64_t value() const { return value_.load(std::memory_order_relaxed); }

  private:
    std::atomic<std::int64_t> value_{0};
};

// Counts observations in buckets with the given upper bounds (ascending; +Inf is added).
class Histogram {
  public:
    explicit Histogram(std::vector<double> bounds);
    void observe(double v);
    const std::vector<double>& bounds() const { return bounds_; }
    std::uint64_t bucket(std::size_t i) const { return counts_[i].load(std::memory_order_relaxed); }
    double sum() const { return sum_.load(std::memory_order_relaxed); }

  private:
    std::vector<double> bounds_;
    std::vector<std::atomic<std::uint64_t>> counts_;  // one more than bounds_
    std::atomic<double> sum_{0};
};

using Labels = std::vector<std::pair<std::string, std::string>>;

class Registry {
  public:
    Registry();
    ~Registry();
    // The metric with this name and these labels, made at the first call. CHECKs that a name keeps
    // its type.
    Counter& counter(std::string_view name, std::string_view help, Labels labels = {});
    Gauge& gauge(std::string_view name, std::string_view help, Labels labels = {});
    Histogram& histogram(std::string_view name, std::string_view help, std::vector<double> bounds,
                         Labels labels = {});
    // A gauge read when the page is made; `read` runs on the thread that calls render().
    void gauge_callback(std::string_view name, std::string_view help, std::function<double()> read,
                        Labels labels = {});
    // The same for what only grows.
    void counter_callback(std::string_view name, std::string_view help,
                          std::function<double()> read, Labels labels = {});

    // The whole page.
    std::string render() const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

// The process's registry, with process_resident_memory_bytes, process_virtual_memory_bytes,
// process_cpu_seconds_total, process_open_fds, process_max_fds and process_start_time_seconds.
Registry& metrics();

}  // namespace base
