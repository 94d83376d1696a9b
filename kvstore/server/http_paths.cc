// What a store's client port answers to plain HTTP.

#include "base/metrics.h"
#include "kvstore/node.h"
#include "kvstore/server/etcd_service.h"

namespace kvstore {

namespace {

// What keeps this member from serving, as etcd words it; empty: nothing. `?exclude=NOSPACE` leaves
// an alarm out, `?serializable=true` asks nothing of the leader.
std::string health_problem(Node& node, std::string_view target) {
    namespace pb = etcdserverpb;
    pb::AlarmResponse alarms;
    node.machine().alarms().list(0, pb::NONE, &alarms);
    for (const auto& alarm : alarms.alarms()) {
        const std::string& name = pb::AlarmType_Name(alarm.alarm());
        if (target.find("exclude=" + name) == std::string_view::npos) return "ALARM " + name;
    }
    if (target.find("serializable=true") != std::string_view::npos) return {};
    return node.replica().leader() == raft::kNobody ? "RAFT NO LEADER" : "";
}

}  // namespace

base::Awaitable<void> serve_etcd_http(Node& node, std::shared_ptr<net::Exchange> exchange) {
    const std::string path(exchange->request().path());
    net::Response response = net::Response::of(404, "404 page not found\n");
    if (path == "/version")
        response = net::Response::of(200,
                                     "{\"etcdserver\":\"" + std::string(Node::kEtcdVersion) +
                                         "\",\"etcdcluster\":\"3.5.0\"}",
                                     "application/json");
    if (path == "/metrics")
        response = net::Response::of(200, base::metrics().render(), "text/plain; version=0.0.4");
    if (path == "/livez") response = net::Response::of(200, "ok\n");
    if (path == "/health" || path == "/readyz") {
        const std::string_view target = exchange->request().target;
        const std::string bad = health_problem(node, target);
        const std::string reason = "{\"health\":\"" + std::string(bad.empty() ? "true" : "false") +
                                   "\",\"reason\":\"" + bad + "\"}";
        const int status = bad.empty() ? 200 : 503;
        if (path == "/health")
            response = net::Response::of(status, reason, "application/json");
        else
            response = net::Response::of(status, bad.empty() ? "ok\n" : bad + "\n");
    }
    exchange->respond(std::move(response));
    co_return;
}

}  // namespace kvstore
