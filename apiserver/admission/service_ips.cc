// Cluster IPs and node ports of services.

#include <arpa/inet.h>
#include <fmt/format.h>

#include "api/codec/envelope.h"
#include "api/proto/core_v1_service.pb.h"
#include "api/proto/networking_v1.pb.h"
#include "api/status.h"
#include "apiserver/admission/admission.h"
#include "base/log.h"
#include "base/random.h"

namespace apiserver {

namespace core = api::core;
namespace pb = etcdserverpb;

namespace {

constexpr int kAttempts = 64;
constexpr std::int32_t kFirstNodePort = 30000;
constexpr std::int32_t kNodePorts = 2768;

std::string address(std::uint32_t offset) {
    const std::uint32_t ip = kServiceNetwork + offset;
    return fmt::format("{}.{}.{}.{}", ip >> 24, (ip >> 16) & 255, (ip >> 8) & 255, ip & 255);
}

bool in_range(const std::string& text) {
    in_addr parsed{};
    if (inet_pton(AF_INET, text.c_str(), &parsed) != 1) return false;
    const std::uint32_t ip = ntohl(parsed.s_addr);
    return ip > kServiceNetwork && ip < kServiceNetwork + kServiceHosts - 1;
}

std::string ip_key(const std::string& ip) {
    return api::resource_of<api::networking::IPAddress>().storage_key("", ip);
}
std::string port_key(std::int32_t port) {
    return "/registry/ranges/servicenodeports/" + std::to_string(port);
}
std::string owner_of(const api::Message& service) {
    return api::key_of(service);
}

// True when the key was free, and is now taken.
base::Task<bool> reserve(Registry& registry, std::string key, std::string value) {
    pb::TxnRequest txn;
    auto* compare = txn.add_compare();
    compare->set_key(key);
    compare->set_target(pb::Compare::VERSION);
    compare->set_result(pb::Compare::EQUAL);
    auto* put = txn.add_success()->mutable_request_put();
    put->set_key(key);
    put->set_value(std::move(value));
    CO_TRY(auto answer, co_await registry.store().txn(std::move(txn)));
    co_return answer.succeeded();
}

std::string ip_object(const api::Message& service, const std::string& ip) {
    api::networking::IPAddress object;
    auto* m = object.mutable_metadata();
    m->set_name(ip);
    m->set_uid(base::random_uuid());
    *m->mutable_creationtimestamp() = api::to_time(std::chrono::system_clock::now());
    (*m->mutable_labels())["ipaddress.kubernetes.io/managed-by"] = "ipallocator.k8s.io";
    (*m->mutable_labels())["ipaddress.kubernetes.io/ip-family"] = "IPv4";
    auto* parent = object.mutable_spec()->mutable_parentref();
    parent->set_resource("services");
    parent->set_namespace_(api::meta_of(service).namespace_());
    parent->set_name(api::meta_of(service).name());
    return api::encode_envelope({"networking.k8s.io/v1", "IPAddress"}, object);
}

base::Task<void> allocate_ip(Registry& registry, core::Service* service) {
    auto* spec = service->mutable_spec();
    if (!spec->clusterip().empty()) {
        const std::string ip = spec->clusterip();
        if (!in_range(ip)) {
            std::vector<api::FieldError> errors{api::FieldError::invalid(
                "spec.clusterIPs", ip,
                "failed to allocate IP " + ip +
                    ": the provided network does not match the current range")};
            co_return api::invalid(api::resource_of<core::Service>(), service->metadata().name(),
                                   std::move(errors));
        }
        CO_TRY(const bool got, co_await reserve(registry, ip_key(ip), ip_object(*service, ip)));
        if (!got) {
            std::vector<api::FieldError> errors{api::FieldError::invalid(
                "spec.clusterIPs", ip,
                "failed to allocate IP " + ip + ": provided IP is already allocated")};
            co_return api::invalid(api::resource_of<core::Service>(), service->metadata().name(),
                                   std::move(errors));
        }
        co_return base::Status();
    }
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
        // The first 4096 addresses are left to those who ask for one by name.
        const std::string ip =
            address(static_cast<std::uint32_t>(4096 + base::entropy64() % (kServiceHosts - 4098)));
        CO_TRY(const bool got, co_await reserve(registry, ip_key(ip), ip_object(*service, ip)));
        if (!got) continue;
        spec->set_clusterip(ip);
        co_return base::Status();
    }
    co_return base::Error(base::Code::kResourceExhausted, "no cluster IP is free");
}

base::Task<void> allocate_ports(Registry& registry, core::Service* service) {
    for (auto& port : *service->mutable_spec()->mutable_ports()) {
        if (port.nodeport() != 0) continue;
        for (int attempt = 0; port.nodeport() == 0; ++attempt) {
            if (attempt == kAttempts)
                co_return base::Error(base::Code::kResourceExhausted, "no node port is free");
            const auto candidate =
                static_cast<std::int32_t>(kFirstNodePort + base::entropy64() % kNodePorts);
            CO_TRY(const bool got,
                   co_await reserve(registry, port_key(candidate), owner_of(*service)));
            if (got) port.set_nodeport(candidate);
        }
    }
    co_return base::Status();
}

}  // namespace

base::Task<void> allocate_service(Registry& registry, std::shared_ptr<api::Message> object,
                                  WriteContext context) {
    auto* service = static_cast<core::Service*>(object.get());
    auto* spec = service->mutable_spec();
    const std::string type = spec->type();
    if (type == "ExternalName" || context.dry_run) co_return base::Status();
    if (spec->clusterip() != "None") {
        // On an update it is the address that the service has already.
        const auto held =
            registry.caches()
                .of(api::resource_of<api::networking::IPAddress>())
                .find(spec->clusterip().empty() ? std::string() : ip_key(spec->clusterip()));
        bool mine = false;
        if (held) {
            const auto ip = api::as<api::networking::IPAddress>(held->object());
            mine = ip && ip->spec().parentref().namespace_() == service->metadata().namespace_() &&
                   ip->spec().parentref().name() == service->metadata().name();
        }
        if (!mine) CO_TRY_VOID(co_await allocate_ip(registry, service));
    }
    spec->clear_clusterips();
    spec->add_clusterips(spec->clusterip());
    if (spec->ipfamilies().empty()) spec->add_ipfamilies("IPv4");
    if (!spec->has_ipfamilypolicy()) spec->set_ipfamilypolicy("SingleStack");
    if (type == "NodePort" || type == "LoadBalancer")
        CO_TRY_VOID(co_await allocate_ports(registry, service));
    co_return base::Status();
}

base::Awaitable<void> release_service(Registry& registry, api::ObjectPtr object) {
    const auto& spec = api::as<core::Service>(*object).spec();
    pb::TxnRequest txn;
    if (!spec.clusterip().empty() && spec.clusterip() != "None")
        txn.add_success()->mutable_request_delete_range()->set_key(ip_key(spec.clusterip()));
    for (const auto& port : spec.ports())
        if (port.nodeport() != 0)
            txn.add_success()->mutable_request_delete_range()->set_key(port_key(port.nodeport()));
    if (txn.success().empty()) co_return;
    auto released = co_await registry.store().txn(std::move(txn));
    if (!released)
        LOG_WARN("apiserver", "the addresses of service {} were not released: {}",
                 api::key_of(*object), released.error().message);
}

}  // namespace apiserver
