// The store's calls in the metrics that etcd's dashboards read: grpc_server_… and
// etcd_network_client_grpc_….

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <deque>
#include <mutex>

#include "base/metrics.h"
#include "kvstore/server/etcd_service.h"

namespace kvstore {

namespace {

constexpr int kCodes = 17;  // OK and base::Code's

// gRPC spells one otherwise than its documents do.
std::string code_label(int code) {
    if (code == 0) return "OK";
    if (code == static_cast<int>(base::Code::kCancelled)) return "Canceled";
    return std::string(base::code_name(static_cast<base::Code>(code)));
}

// By the services' definitions; "/package.Service/Method" is a path.
const char* type_of(std::string_view path) {
    std::string name(path.substr(1));
    std::replace(name.begin(), name.end(), '/', '.');
    const auto* method = google::protobuf::DescriptorPool::generated_pool()->FindMethodByName(name);
    CHECK(method != nullptr, "{} is in no .proto file", path);
    if (!method->server_streaming()) return "unary";
    return method->client_streaming() ? "bidi_stream" : "server_stream";
}

class GrpcMetrics final : public net::GrpcObserver {
  public:
    // Several members may be in one process (tests): a method keeps its number.
    std::size_t add(std::string_view path) override {
        const std::lock_guard lock(mutex_);
        for (std::size_t i = 0; i < methods_.size(); ++i)
            if (methods_[i].path == path) return i;
        Method& m = methods_.emplace_back();
        m.path = path;
        const auto slash = path.rfind('/');
        m.labels = {{"grpc_method", std::string(path.substr(slash + 1))},
                    {"grpc_service", std::string(path.substr(1, slash - 1))},
                    {"grpc_type", type_of(path)}};
        m.started = &base::metrics().counter("grpc_server_started_total", "RPCs that were begun.",
                                             m.labels);
        m.received = &base::metrics().counter("grpc_server_msg_received_total",
                                              "Messages received of RPCs.", m.labels);
        m.sent = &base::metrics().counter("grpc_server_msg_sent_total", "Messages sent of RPCs.",
                                          m.labels);
        return methods_.size() - 1;
    }
    void started(std::size_t method) override { methods_[method].started->add(); }
    void handled(std::size_t method, int code) override {
        Method& m = methods_[method];
        const auto at = static_cast<std::size_t>(code >= 0 && code < kCodes ? code : 2);
        base::Counter* counter = m.handled[at].load(std::memory_order_acquire);
        if (counter == nullptr) {
            base::Labels labels = m.labels;
            labels.insert(labels.begin(), {"grpc_code", code_label(static_cast<int>(at))});
            counter = &base::metrics().counter("grpc_server_handled_total",
                                               "RPCs that ended, by their code.", labels);
            m.handled[at].store(counter, std::memory_order_release);
        }
        counter->add();
    }
    void received(std::size_t method, std::size_t bytes) override {
        methods_[method].received->add();
        received_bytes_.add(bytes);
    }
    void sent(std::size_t method, std::size_t bytes) override {
        methods_[method].sent->add();
        sent_bytes_.add(bytes);
    }

  private:
    struct Method {
        std::string path;
        base::Labels labels;
        base::Counter* started = nullptr;
        base::Counter* received = nullptr;
        base::Counter* sent = nullptr;
        std::array<std::atomic<base::Counter*>, kCodes> handled{};
    };
    std::mutex mutex_;
    std::deque<Method> methods_;
    base::Counter& received_bytes_ =
        base::metrics().counter("etcd_network_client_grpc_received_bytes_total",
                                "Bytes of messages received from clients.");
    base::Counter& sent_bytes_ = base::metrics().counter(
        "etcd_network_client_grpc_sent_bytes_total", "Bytes of messages sent to clients.");
};

}  // namespace

net::GrpcObserver* grpc_metrics() {
    static auto* metrics = new GrpcMetrics;
    return metrics;
}

}  // namespace kvstore
