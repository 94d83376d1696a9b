// What a store's client port answers to plain HTTP.

#include "base/metrics.h"
#include "kvstore/node.h"
#include "kvstore/server/etcd_service.h"
#include "kvstore/server/health_checks.h"
#include "kvstore/server/store_metrics.h"

namespace kvstore {

base::Awaitable<void> serve_etcd_http(Node& node, StoreMetrics& metrics,
                                      std::shared_ptr<net::Exchange> exchange) {
    const std::string path(exchange->request().path());
    net::Response response = net::Response::of(404, "404 page not found\n");
    if (is_health_path(path) && exchange->request().method != "GET") {
        response = net::Response::of(405, "Method Not Allowed\n");
        response.headers.set("allow", "GET");
    } else if (is_health_path(path)) {
        std::string query(exchange->request().query());
        response = co_await answer_health(&node, path, std::move(query));
    } else if (path == "/version") {
        response = net::Response::of(200,
                                     "{\"etcdserver\":\"" + std::string(Node::kEtcdVersion) +
                                         "\",\"etcdcluster\":\"3.5.0\"}",
                                     "application/json");
    } else if (path == "/metrics") {
        metrics.refresh();
        response = net::Response::of(200, base::metrics().render(), "text/plain; version=0.0.4");
    }
    exchange->respond(std::move(response));
}

}  // namespace kvstore
