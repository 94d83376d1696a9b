#pragma once
// AutoCompactor: decides when to compact and to which revision, with etcd's two meanings. Periodic:
// what is older than the retention goes, looked at once a retention (once an hour when it is
// longer). By revision: the newest `retention` revisions stay, looked at every five minutes. Pure;
// fed by the leader, reset when leadership ends.

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>

#include "base/result.h"

namespace kvstore {

class AutoCompactor {
  public:
    enum class Mode { kOff, kPeriodic, kRevision };
    struct Options {
        Mode mode = Mode::kOff;
        std::int64_t retention = 0;  // milliseconds, or revisions
    };
    // The flags: mode "periodic" or "revision"; retention a count of revisions, or hours ("1") or a
    // duration ("1h30m", "10s"); "" and "0" are off. InvalidArgument names the flag.
    static base::Result<Options> parse(const std::string& mode, const std::string& retention);

    explicit AutoCompactor(Options options) : options_(options) {}
    // To be called often. The revision to compact to now, at most once for each.
    std::optional<std::int64_t> tick(std::int64_t now_ms, std::int64_t revision);
    void reset();

  private:
    std::optional<std::int64_t> periodic(std::int64_t now_ms, std::int64_t revision);

    Options options_;
    std::deque<std::pair<std::int64_t, std::int64_t>> samples_;  // (time, revision then)
    std::optional<std::int64_t> checked_ms_;
    std::int64_t done_ = 0;
};

}  // namespace kvstore
