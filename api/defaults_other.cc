// Defaults of the other groups that depend on more than one field.

#include <algorithm>
#include <unordered_map>

#include "api/defaults_internal.h"
#include "api/proto/apiextensions_v1.pb.h"
#include "api/proto/networking_v1.pb.h"
#include "api/proto/rbac_v1.pb.h"
#include "api/proto/resource_v1.pb.h"
#include "api/v1.h"

namespace api::defaults {
namespace {

namespace crd = ::k8s::io::apiextensions_apiserver::pkg::apis::apiextensions::v1;
namespace dra = ::k8s::io::api::resource::v1;
using google::protobuf::Message;

template <class T>
T* as(Message* m) {
    return static_cast<T*>(m);
}

void network_policy(Message* m) {
    auto* spec = as<networking::NetworkPolicy>(m)->mutable_spec();
    if (!spec->policytypes().empty()) return;
    spec->add_policytypes("Ingress");
    if (!spec->egress().empty()) spec->add_policytypes("Egress");
}

void subject(Message* m) {
    auto* s = as<rbac::Subject>(m);
    if (s->apigroup().empty() && (s->kind() == "User" || s->kind() == "Group"))
        s->set_apigroup("rbac.authorization.k8s.io");
}

template <class Request>
void device_request(Message* m) {
    auto* r = as<Request>(m);
    if (r->allocationmode().empty()) r->set_allocationmode("ExactCount");
    if (r->allocationmode() == "ExactCount" && r->count() == 0) r->set_count(1);
}

std::string lower(std::string s) {
    std::transform(s.begin(), s.end(), s.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    return s;
}

void definition(Message* m) {
    auto* object = as<crd::CustomResourceDefinition>(m);
    auto* spec = object->mutable_spec();
    auto* names = spec->mutable_names();
    if (names->singular().empty()) names->set_singular(lower(names->kind()));
    if (names->listkind().empty() && !names->kind().empty())
        names->set_listkind(names->kind() + "List");
    if (!spec->has_conversion()) spec->mutable_conversion()->set_strategy("None");
    if (!object->status().storedversions().empty()) return;
    for (const auto& version : spec->versions())
        if (version.storage()) {
            object->mutable_status()->add_storedversions(version.name());
            return;
        }
}

}  // namespace

Hook other_hook(std::string_view type) {
    static const std::unordered_map<std::string_view, Hook> kHooks = {
        {"networking.v1.NetworkPolicy", network_policy},
        {"rbac.v1.Subject", subject},
        {"resource.v1.ExactDeviceRequest", device_request<dra::ExactDeviceRequest>},
        {"resource.v1.DeviceSubRequest", device_request<dra::DeviceSubRequest>},
        {"k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
         definition},
    };
    const auto it = kHooks.find(type);
    return it == kHooks.end() ? nullptr : it->second;
}

}  // namespace api::defaults
