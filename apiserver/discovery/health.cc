// Health, version and metrics.

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>

#include "apiserver/server.h"
#include "base/metrics.h"

namespace apiserver {
namespace {

// "[+]ping ok" lines, the verdict last; a failure says that it is one and keeps the reason to the
// log.
void respond_checks(ApiServer& server, RequestContext& context, std::string_view which,
                    std::string_view only) {
    auto checks = server.health_checks(which == "readyz");
    std::vector<std::string> excluded;
    for (const auto& [key, value] : context.info.query)
        if (key == "exclude") excluded.push_back(value);
    if (!only.empty()) {
        std::erase_if(checks, [&](const auto& c) { return c.first != only; });
        if (checks.empty())
            return respond_json(context, 404, "404 page not found\n", "text/plain; charset=utf-8");
    }
    std::string lines;
    std::string failed;
    for (const auto& [name, check] : checks) {
        if (std::find(excluded.begin(), excluded.end(), name) != excluded.end()) {
            lines += fmt::format("[+]{} excluded: ok\n", name);
            continue;
        }
        const std::string wrong = check();
        lines += wrong.empty() ? fmt::format("[+]{} ok\n", name)
                               : fmt::format("[-]{} failed: reason withheld\n", name);
        if (!wrong.empty()) failed += (failed.empty() ? "" : ",") + name;
    }
    if (!failed.empty())
        return respond_json(context, 500, lines + std::string(which) + " check failed\n",
                            "text/plain; charset=utf-8");
    const bool verbose = context.info.flag("verbose");
    respond_json(context, 200, verbose ? lines + std::string(which) + " check passed\n" : "ok",
                 "text/plain; charset=utf-8");
}

}  // namespace

bool serve_health(ApiServer& server, RequestContext& context) {
    const std::string_view path = context.info.path;
    for (const std::string_view which : {"healthz", "livez", "readyz"}) {
        const std::string root = "/" + std::string(which);
        if (path == root) return respond_checks(server, context, which, ""), true;
        if (path.starts_with(root + "/"))
            return respond_checks(server, context, which, path.substr(root.size() + 1)), true;
    }
    if (path == "/metrics")
        return respond_json(context, 200, base::metrics().render(), "text/plain; version=0.0.4"),
               true;
    if (path == "/version" || path == "/version/") {
        const std::string& version = server.options().version;
        const auto dot = version.find('.');
        boost::json::object out{
            {"major", version.substr(1, dot - 1)},
            {"minor", version.substr(dot + 1, version.find('.', dot + 1) - dot - 1)},
            {"gitVersion", version + "+coxswain"},
            {"gitCommit", ""},
            {"gitTreeState", "clean"},
            {"buildDate", "1970-01-01T00:00:00Z"},
            {"goVersion", "none"},
            {"compiler", "gcc"},
            {"platform", "linux/amd64"}};
        return respond_json(context, 200, boost::json::serialize(out)), true;
    }
    return false;
}

}  // namespace apiserver
