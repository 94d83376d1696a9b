// Rows of the kinds that are listed less often.

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <map>
#include <unordered_map>

#include "api/codec/json.h"
#include "api/proto/admissionregistration_v1.pb.h"
#include "api/proto/apiextensions_v1.pb.h"
#include "api/proto/apiregistration_v1.pb.h"
#include "api/proto/autoscaling_v2.pb.h"
#include "api/proto/certificates_v1.pb.h"
#include "api/proto/core_v1_config.pb.h"
#include "api/proto/core_v1_event.pb.h"
#include "api/proto/core_v1_pod.pb.h"
#include "api/proto/core_v1_podspec.pb.h"
#include "api/proto/flowcontrol_v1.pb.h"
#include "api/proto/networking_v1.pb.h"
#include "api/proto/node_v1.pb.h"
#include "api/proto/resource_v1.pb.h"
#include "api/proto/scheduling_v1.pb.h"
#include "api/proto/storage_v1.pb.h"
#include "api/selector.h"
#include "api/table.h"
#include "api/table_cells.h"

namespace api {
namespace {

namespace json = boost::json;
namespace crd = ::k8s::io::apiextensions_apiserver::pkg::apis::apiextensions::v1;
namespace aggregator = ::k8s::io::kube_aggregator::pkg::apis::apiregistration::v1;
namespace dra = ::k8s::io::api::resource::v1;

constexpr std::size_t kShownHosts = 3;

std::string or_else(const std::string& text, const char* otherwise) {
    return text.empty() ? otherwise : text;
}

std::string lower(std::string s) {
    std::transform(s.begin(), s.end(), s.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    return s;
}

template <class List>
std::string joined(const List& list, const char* separator = ",") {
    std::string out;
    for (const auto& item : list)
        out += (out.empty() ? "" : separator) + item;
    return out;
}

std::string age(const Message& object, const CellContext& c) {
    return c.age(meta_of(object).creationtimestamp());
}

const std::string& name(const Message& object) {
    return meta_of(object).name();
}

// The status of a condition; "" when it is not there.
template <class Conditions>
std::string condition(const Conditions& all, std::string_view type) {
    for (const auto& c : all)
        if (c.type() == type) return c.status();
    return {};
}

json::array pod_template_cells(const Message& object, const CellContext&) {
    const auto& t = as<core::PodTemplate>(object).template_();
    std::vector<std::string> names;
    std::vector<std::string> images;
    for (const auto& c : t.spec().containers()) {
        names.push_back(c.name());
        images.push_back(c.image());
    }
    return {name(object), joined(names), joined(images),
            or_else(LabelSelector::from_set(t.metadata().labels()).to_string(), "<none>")};
}

json::array resource_quota_cells(const Message& object, const CellContext& c) {
    const auto& q = as<core::ResourceQuota>(object);
    const std::map<std::string, resource::Quantity> hard(q.status().hard().begin(),
                                                         q.status().hard().end());
    std::string requests;
    std::string limits;
    for (const auto& [key, most] : hard) {
        const auto used = q.status().used().find(key);
        std::string& out = key.starts_with("limits") ? limits : requests;
        out += fmt::format("{}{}: {}/{}", out.empty() ? "" : ", ", key,
                           used == q.status().used().end() ? "0" : used->second.string(),
                           most.string());
    }
    return {name(object), requests, limits, age(object, c)};
}

json::array component_cells(const Message& object, const CellContext&) {
    std::string status = "Unknown";
    std::string message;
    std::string error;
    for (const auto& c : as<core::ComponentStatus>(object).conditions()) {
        if (c.type() != "Healthy") continue;
        status = c.status() == "True" ? "Healthy" : "Unhealthy";
        message = c.message();
        error = c.error();
    }
    return {name(object), status, message, error};
}

json::array ingress_cells(const Message& object, const CellContext& c) {
    const auto& i = as<networking::Ingress>(object);
    std::vector<std::string> hosts;
    std::size_t more = 0;
    for (const auto& rule : i.spec().rules()) {
        if (rule.host().empty()) continue;
        if (hosts.size() == kShownHosts)
            ++more;
        else
            hosts.push_back(rule.host());
    }
    std::string shown = or_else(joined(hosts), "*");
    if (more > 0) shown += fmt::format(" + {} more...", more);
    std::vector<std::string> addresses;
    for (const auto& a : i.status().loadbalancer().ingress())
        addresses.push_back(a.ip().empty() ? a.hostname() : a.ip());
    return {name(object),
            i.spec().has_ingressclassname() ? i.spec().ingressclassname() : "<none>",
            shown,
            joined(addresses),
            i.spec().tls().empty() ? "80" : "80, 443",
            age(object, c)};
}

json::array ingress_class_cells(const Message& object, const CellContext& c) {
    const auto& spec = as<networking::IngressClass>(object).spec();
    std::string parameters = "<none>";
    if (spec.has_parameters()) {
        const auto& p = spec.parameters();
        parameters = p.kind() + (p.apigroup().empty() ? "" : "." + p.apigroup()) + "/" + p.name();
    }
    return {name(object), spec.controller(), parameters, age(object, c)};
}

json::array network_policy_cells(const Message& object, const CellContext& c) {
    const auto selector =
        LabelSelector::from(as<networking::NetworkPolicy>(object).spec().podselector());
    return {name(object), selector ? or_else(selector->to_string(), "<none>") : "<error>",
            age(object, c)};
}

json::array service_cidr_cells(const Message& object, const CellContext& c) {
    return {name(object), joined(as<networking::ServiceCIDR>(object).spec().cidrs()),
            age(object, c)};
}

json::array ip_address_cells(const Message& object, const CellContext&) {
    const auto& parent = as<networking::IPAddress>(object).spec().parentref();
    std::string text = lower(parent.resource());
    if (!parent.group().empty()) text += "." + lower(parent.group());
    if (!parent.namespace_().empty()) text += "/" + parent.namespace_();
    return {name(object), text + "/" + parent.name()};
}

json::array signing_request_cells(const Message& object, const CellContext& c) {
    const auto& r = as<certificates::CertificateSigningRequest>(object);
    bool approved = false;
    bool denied = false;
    bool failed = false;
    for (const auto& condition : r.status().conditions()) {
        approved = approved || condition.type() == "Approved";
        denied = denied || condition.type() == "Denied";
        failed = failed || condition.type() == "Failed";
    }
    std::string state = denied ? "Denied" : approved ? "Approved" : "Pending";
    if (failed) state += ",Failed";
    if (!r.status().certificate().empty()) state += ",Issued";
    return {name(object),
            age(object, c),
            r.spec().signername(),
            r.spec().username(),
            r.spec().has_expirationseconds()
                ? human_duration(std::chrono::seconds(r.spec().expirationseconds()))
                : "<none>",
            state};
}

json::array attributes_class_cells(const Message& object, const CellContext& c) {
    return {name(object), as<storage::VolumeAttributesClass>(object).drivername(), age(object, c)};
}

json::array attachment_cells(const Message& object, const CellContext& c) {
    const auto& a = as<storage::VolumeAttachment>(object);
    return {name(object),        a.spec().attacher(),   a.spec().source().persistentvolumename(),
            a.spec().nodename(), a.status().attached(), age(object, c)};
}

json::array csi_node_cells(const Message& object, const CellContext& c) {
    return {name(object), as<storage::CSINode>(object).spec().drivers_size(), age(object, c)};
}

json::array csi_driver_cells(const Message& object, const CellContext& c) {
    const auto& spec = as<storage::CSIDriver>(object).spec();
    std::vector<std::string> audiences;
    for (const auto& t : spec.tokenrequests())
        audiences.push_back(t.audience());
    return {name(object),
            !spec.has_attachrequired() || spec.attachrequired(),
            spec.podinfoonmount(),
            spec.storagecapacity(),
            or_else(joined(audiences), "<unset>"),
            spec.requiresrepublish(),
            or_else(joined(spec.volumelifecyclemodes()), "<none>"),
            age(object, c)};
}

json::array capacity_cells(const Message& object, const CellContext&) {
    const auto& s = as<storage::CSIStorageCapacity>(object);
    return {name(object), s.storageclassname(),
            s.has_capacity() ? s.capacity().string() : "<unset>"};
}

template <class Configuration>
json::array webhook_cells(const Message& object, const CellContext& c) {
    return {name(object), as<Configuration>(object).webhooks_size(), age(object, c)};
}

template <class Policy>
json::array policy_cells(const Message& object, const CellContext& c) {
    const auto& spec = as<Policy>(object).spec();
    int rules = 0;
    if constexpr (requires { spec.validations_size(); })
        rules = spec.validations_size();
    else
        rules = spec.mutations_size();
    return {name(object), rules,
            spec.has_paramkind() ? spec.paramkind().apiversion() + "/" + spec.paramkind().kind()
                                 : "<unset>",
            age(object, c)};
}

template <class Binding>
json::array policy_binding_cells(const Message& object, const CellContext& c) {
    const auto& spec = as<Binding>(object).spec();
    std::string parameters = "<unset>";
    if (spec.has_paramref()) {
        const auto& p = spec.paramref();
        parameters = or_else(p.namespace_(), "*") + "/" + p.name();
        if (p.has_selector()) {
            const auto selector = LabelSelector::from(p.selector());
            parameters = selector ? selector->to_string() : "<error>";
        }
    }
    return {name(object), spec.policyname(), parameters, age(object, c)};
}

json::array flow_schema_cells(const Message& object, const CellContext& c) {
    const auto& f = as<flowcontrol::FlowSchema>(object);
    const auto& spec = f.spec();
    return {name(object),
            or_else(spec.prioritylevelconfiguration().name(), "<none>"),
            spec.matchingprecedence(),
            spec.has_distinguishermethod() ? spec.distinguishermethod().type() : "<none>",
            age(object, c),
            or_else(condition(f.status().conditions(), "Dangling"), "?")};
}

json::array priority_level_cells(const Message& object, const CellContext& c) {
    const auto& spec = as<flowcontrol::PriorityLevelConfiguration>(object).spec();
    json::array out{name(object), spec.type()};
    if (spec.has_limited())
        out.push_back(spec.limited().nominalconcurrencyshares());
    else if (spec.has_exempt())
        out.push_back(spec.exempt().nominalconcurrencyshares());
    else
        out.push_back("<none>");
    if (spec.limited().limitresponse().has_queuing()) {
        const auto& q = spec.limited().limitresponse().queuing();
        for (const std::int32_t v : {q.queues(), q.handsize(), q.queuelengthlimit()})
            out.push_back(v);
    } else {
        for (int i = 0; i < 3; ++i)
            out.push_back("<none>");
    }
    out.push_back(json::string(age(object, c)));
    return out;
}

json::array priority_class_cells(const Message& object, const CellContext& c) {
    const auto& p = as<scheduling::PriorityClass>(object);
    return {name(object), p.value(), p.globaldefault(), age(object, c), p.preemptionpolicy()};
}

json::array runtime_class_cells(const Message& object, const CellContext& c) {
    return {name(object), as<node::RuntimeClass>(object).handler(), age(object, c)};
}

json::array plain_cells(const Message& object, const CellContext& c) {
    return {name(object), age(object, c)};
}

json::array claim_cells(const Message& object, const CellContext& c) {
    const auto& claim = as<dra::ResourceClaim>(object);
    std::vector<std::string> states;
    if (is_deleting(object)) states.emplace_back("deleted");
    if (claim.status().has_allocation()) {
        states.emplace_back("allocated");
        if (!claim.status().reservedfor().empty()) states.emplace_back("reserved");
    } else if (states.empty()) {
        states.emplace_back("pending");
    }
    return {name(object), joined(states), age(object, c)};
}

json::array slice_cells(const Message& object, const CellContext& c) {
    const auto& spec = as<dra::ResourceSlice>(object).spec();
    return {name(object), or_else(spec.nodename(), "<unset>"), spec.driver(), spec.pool().name(),
            age(object, c)};
}

json::array api_service_cells(const Message& object, const CellContext& c) {
    const auto& a = as<aggregator::APIService>(object);
    std::string available = "Unknown";
    for (const auto& condition : a.status().conditions()) {
        if (condition.type() != "Available") continue;
        available = condition.status();
        if (available != "True" && !condition.reason().empty())
            available += " (" + condition.reason() + ")";
    }
    const auto& service = a.spec().service();
    return {name(object),
            a.spec().has_service() ? service.namespace_() + "/" + service.name() : "Local",
            available, age(object, c)};
}

json::array definition_cells(const Message& object, const CellContext&) {
    const auto& d = as<crd::CustomResourceDefinition>(object);
    std::vector<std::string> versions;
    for (const auto& v : d.spec().versions())
        if (v.served()) versions.push_back(v.name());
    json::array out{name(object), d.spec().scope(), joined(versions)};
    out.push_back(to_value(d.metadata().creationtimestamp()));
    for (const auto& text :
         {d.spec().group(), d.spec().names().kind(), joined(d.spec().names().shortnames())})
        out.push_back(json::string(text));
    out.push_back(condition(d.status().conditions(), "Established") == "True");
    return out;
}

json::array status_cells(const Message& object, const CellContext&) {
    const auto& s = as<meta::Status>(object);
    return {s.status(), s.reason(), s.message()};
}

}  // namespace

Cells other_cells(const google::protobuf::Descriptor* type) {
    namespace admission = admissionregistration;
    static const std::unordered_map<const google::protobuf::Descriptor*, Cells> kCells = {
        {core::PodTemplate::descriptor(), pod_template_cells},
        {core::ResourceQuota::descriptor(), resource_quota_cells},
        {core::ComponentStatus::descriptor(), component_cells},
        {autoscalingv2::HorizontalPodAutoscaler::descriptor(), autoscaler_cells},
        {networking::Ingress::descriptor(), ingress_cells},
        {networking::IngressClass::descriptor(), ingress_class_cells},
        {networking::NetworkPolicy::descriptor(), network_policy_cells},
        {networking::ServiceCIDR::descriptor(), service_cidr_cells},
        {networking::IPAddress::descriptor(), ip_address_cells},
        {certificates::CertificateSigningRequest::descriptor(), signing_request_cells},
        {storage::VolumeAttributesClass::descriptor(), attributes_class_cells},
        {storage::VolumeAttachment::descriptor(), attachment_cells},
        {storage::CSINode::descriptor(), csi_node_cells},
        {storage::CSIDriver::descriptor(), csi_driver_cells},
        {storage::CSIStorageCapacity::descriptor(), capacity_cells},
        {admission::ValidatingWebhookConfiguration::descriptor(),
         webhook_cells<admission::ValidatingWebhookConfiguration>},
        {admission::MutatingWebhookConfiguration::descriptor(),
         webhook_cells<admission::MutatingWebhookConfiguration>},
        {admission::ValidatingAdmissionPolicy::descriptor(),
         policy_cells<admission::ValidatingAdmissionPolicy>},
        {admission::MutatingAdmissionPolicy::descriptor(),
         policy_cells<admission::MutatingAdmissionPolicy>},
        {admission::ValidatingAdmissionPolicyBinding::descriptor(),
         policy_binding_cells<admission::ValidatingAdmissionPolicyBinding>},
        {admission::MutatingAdmissionPolicyBinding::descriptor(),
         policy_binding_cells<admission::MutatingAdmissionPolicyBinding>},
        {flowcontrol::FlowSchema::descriptor(), flow_schema_cells},
        {flowcontrol::PriorityLevelConfiguration::descriptor(), priority_level_cells},
        {scheduling::PriorityClass::descriptor(), priority_class_cells},
        {node::RuntimeClass::descriptor(), runtime_class_cells},
        {dra::DeviceClass::descriptor(), plain_cells},
        {dra::ResourceClaim::descriptor(), claim_cells},
        {dra::ResourceClaimTemplate::descriptor(), plain_cells},
        {dra::ResourceSlice::descriptor(), slice_cells},
        {aggregator::APIService::descriptor(), api_service_cells},
        {crd::CustomResourceDefinition::descriptor(), definition_cells},
        {meta::Status::descriptor(), status_cells},
    };
    const auto it = kCells.find(type);
    return it == kCells.end() ? nullptr : it->second;
}

}  // namespace api
