#include "kvstore/server/health_checks.h"

#include <algorithm>
#include <vector>

#include "kvstore/errors.h"
#include "kvstore/node.h"
#include "kvstore/server/store_metrics.h"

namespace kvstore {

namespace pb = etcdserverpb;

namespace {

constexpr const char* kCorruption = "data_corruption";
constexpr const char* kSerializable = "serializable_read";
constexpr const char* kLinearizable = "linearizable_read";

struct Probe {
    const char* path;
    const char* type;
    std::vector<const char*> checks;
};
const std::vector<Probe>& probes() {
    static const std::vector<Probe> all = {
        {"/livez", "livez", {kSerializable}},
        {"/readyz", "readyz", {kCorruption, kSerializable, kLinearizable}},
    };
    return all;
}

// The probe behind a path, and which of its checks is asked for; all when it is none by name.
struct Asked {
    const Probe* probe = nullptr;
    std::string check;
};
Asked parse(std::string_view path) {
    for (const auto& probe : probes()) {
        if (path == probe.path) return {&probe, {}};
        const std::string prefix = std::string(probe.path) + "/";
        if (!path.starts_with(prefix)) continue;
        for (const char* check : probe.checks)
            if (path.substr(prefix.size()) == check) return {&probe, check};
    }
    return {};
}

std::vector<std::string> values(std::string_view query, std::string_view name) {
    std::vector<std::string> out;
    for (auto& [key, value] : net::parse_query(query))
        if (key == name) out.push_back(std::move(value));
    return out;
}

bool contains(const std::vector<std::string>& list, std::string_view what) {
    return std::find(list.begin(), list.end(), what) != list.end();
}

// One key, whatever it is: what fails is the store.
base::Awaitable<base::Status> read_something(Node* node, bool serializable) {
    auto start = [node, serializable](base::UniqueFunction<void(base::Status)> resolve) {
        pb::RangeRequest request;
        request.set_key(std::string(1, '\0'));
        request.set_range_end(std::string(1, '\0'));
        request.set_limit(1);
        request.set_keys_only(true);
        request.set_serializable(serializable);
        node->range(std::move(request),
                    [r = std::move(resolve)](base::Result<pb::RangeResponse> done) mutable {
                        r(done ? base::Status() : base::Status(done.error()));
                    });
    };
    co_return co_await base::suspend<base::Status>(std::move(start));
}

base::Awaitable<base::Status> check(Node* node, std::string name) {
    if (name == kCorruption) {
        const bool corrupt = node->machine().alarms().raised(pb::CORRUPT);
        co_return corrupt ? base::Status(base::data_loss("alarm activated: CORRUPT"))
                          : base::Status();
    }
    co_return co_await read_something(node, name == kSerializable);
}

// What keeps this member from serving, as etcd words it; empty: nothing.
base::Awaitable<std::string> health_problem(Node* node, std::string query) {
    const auto excluded = values(query, "exclude");
    pb::AlarmResponse alarms;
    node->machine().alarms().list(0, pb::NONE, &alarms);
    for (const auto& alarm : alarms.alarms()) {
        const std::string& name = pb::AlarmType_Name(alarm.alarm());
        if (!contains(excluded, name)) co_return "ALARM " + name;
    }
    const auto asked = values(query, "serializable");
    const bool serializable = !asked.empty() && asked.front() == "true";
    if (!serializable && node->replica().leader() == raft::kNobody)
        co_return std::string("RAFT NO LEADER");
    auto read = co_await read_something(node, serializable);
    // What an excluded alarm forbids is excluded, too.
    const bool forgiven = contains(excluded, pb::AlarmType_Name(pb::CORRUPT)) && !read &&
                          read.error().message == errors::corrupt().message;
    if (!read && !forgiven) co_return "RANGE ERROR:" + read.error().message;
    co_return std::string();
}

base::Awaitable<net::Response> answer_plain(Node* node, std::string query) {
    const std::string bad = co_await health_problem(node, std::move(query));
    StoreMetrics::count_health(bad.empty());
    co_return net::Response::of(bad.empty() ? 200 : 503,
                                "{\"health\":\"" + std::string(bad.empty() ? "true" : "false") +
                                    "\",\"reason\":\"" + bad + "\"}",
                                "application/json");
}

}  // namespace

bool is_health_path(std::string_view path) {
    return path == "/health" || parse(path).probe != nullptr;
}

base::Awaitable<net::Response> answer_health(Node* node, std::string path, std::string query) {
    if (path == "/health") co_return co_await answer_plain(node, std::move(query));
    const Asked asked = parse(path);
    const auto excluded = values(query, "exclude");
    std::string report;
    bool good = true;
    for (const char* name : asked.probe->checks) {
        if (!asked.check.empty() && asked.check != name) continue;
        if (asked.check.empty() && contains(excluded, name)) {
            report += "[+]" + std::string(name) + " excluded: ok\n";
            continue;
        }
        const auto result = co_await check(node, name);
        StoreMetrics::count_check(asked.probe->type, name, result.has_value());
        good = good && result;
        report += result ? "[+]" + std::string(name) + " ok\n"
                         : "[-]" + std::string(name) + " failed: " + result.error().message + "\n";
    }
    // What failed is always said, what passed only when it is asked for.
    if (!good) co_return net::Response::of(503, std::move(report));
    if (values(query, "verbose").empty()) report.clear();
    co_return net::Response::of(200, report + "ok\n");
}

}  // namespace kvstore
