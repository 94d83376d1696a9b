// What is particular to services. Their addresses are allocated in service_ips.cc.

#include <set>

#include "api/names.h"
#include "api/proto/core_v1_service.pb.h"
#include "apiserver/registry/strategy.h"

namespace apiserver {

void validate_service(const api::Message& object, FieldErrors* errors) {
    const auto& spec = api::as<api::core::Service>(object).spec();
    const std::set<std::string> kTypes{"ClusterIP", "ExternalName", "LoadBalancer", "NodePort"};
    if (!kTypes.contains(spec.type()))
        errors->push_back(api::FieldError::not_supported("spec.type", spec.type(),
                                                         {kTypes.begin(), kTypes.end()}));
    if (spec.type() == "ExternalName") {
        if (spec.externalname().empty())
            errors->push_back(api::FieldError::required("spec.externalName", ""));
        return;
    }
    if (spec.ports().empty() && spec.clusterip() != "None")
        errors->push_back(api::FieldError::required("spec.ports", ""));
    std::set<std::string> names;
    for (int i = 0; i < spec.ports_size(); ++i) {
        const auto& port = spec.ports(i);
        const std::string at = "spec.ports[" + std::to_string(i) + "]";
        if (port.port() < 1 || port.port() > 65535)
            errors->push_back(api::FieldError::invalid(at + ".port", port.port(),
                                                       "must be between 1 and 65535, inclusive"));
        if (spec.ports_size() > 1 && port.name().empty())
            errors->push_back(api::FieldError::required(at + ".name", ""));
        if (!port.name().empty()) {
            if (auto wrong = api::bad_dns1123_label(port.name()); !wrong.empty())
                errors->push_back(api::FieldError::invalid(at + ".name", port.name(), wrong));
            if (!names.insert(port.name()).second)
                errors->push_back(api::FieldError::duplicate(at + ".name", port.name()));
        }
        if (port.protocol() != "TCP" && port.protocol() != "UDP" && port.protocol() != "SCTP")
            errors->push_back(api::FieldError::not_supported(at + ".protocol", port.protocol(),
                                                             {"SCTP", "TCP", "UDP"}));
    }
}

void validate_service_update(const api::Message& object, const api::Message& old,
                             std::string_view subresource, FieldErrors* errors) {
    if (!subresource.empty()) return;
    const auto& now = api::as<api::core::Service>(object).spec();
    const auto& before = api::as<api::core::Service>(old).spec();
    // An address stands while both are services that have one.
    if (before.type() != "ExternalName" && now.type() != "ExternalName" &&
        !before.clusterip().empty() && now.clusterip() != before.clusterip())
        errors->push_back(
            api::FieldError::invalid("spec.clusterIPs[0]", now.clusterip(), "field is immutable"));
}

}  // namespace apiserver
