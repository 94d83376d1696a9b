// What is particular to pods, and to the pod templates of workloads.

#include <google/protobuf/util/message_differencer.h>

#include <set>

#include "api/names.h"
#include "api/proto/core_v1_pod.pb.h"
#include "api/quantity.h"
#include "apiserver/registry/strategy.h"

namespace apiserver {

namespace core = api::core;

namespace {

bool one_of(std::string_view value, std::initializer_list<std::string_view> allowed) {
    return std::find(allowed.begin(), allowed.end(), value) != allowed.end();
}

void validate_resources(const core::ResourceRequirements& resources, const std::string& path,
                        FieldErrors* errors) {
    for (const auto& [name, quantity] : resources.requests()) {
        const auto request = api::Quantity::parse(quantity.string());
        if (!request || request->sign() < 0)
            errors->push_back(api::FieldError::invalid(path + ".requests[" + name + "]",
                                                       quantity.string(),
                                                       "must be greater than or equal to 0"));
        const auto limit = resources.limits().find(name);
        if (!request || limit == resources.limits().end()) continue;
        const auto most = api::Quantity::parse(limit->second.string());
        if (most && *most < *request)
            errors->push_back(api::FieldError::invalid(
                path + ".requests", quantity.string(),
                "must be less than or equal to " + name + " limit of " + limit->second.string()));
    }
}

void validate_container(const core::Container& c, const std::string& path,
                        std::set<std::string>* names, FieldErrors* errors) {
    if (c.name().empty())
        errors->push_back(api::FieldError::required(path + ".name", ""));
    else if (auto wrong = api::bad_dns1123_label(c.name()); !wrong.empty())
        errors->push_back(api::FieldError::invalid(path + ".name", c.name(), wrong));
    else if (!names->insert(c.name()).second)
        errors->push_back(api::FieldError::duplicate(path + ".name", c.name()));
    if (c.image().empty()) errors->push_back(api::FieldError::required(path + ".image", ""));
    if (!c.imagepullpolicy().empty() &&
        !one_of(c.imagepullpolicy(), {"Always", "IfNotPresent", "Never"}))
        errors->push_back(api::FieldError::not_supported(
            path + ".imagePullPolicy", c.imagepullpolicy(), {"Always", "IfNotPresent", "Never"}));
    for (int i = 0; i < c.ports_size(); ++i) {
        const auto& port = c.ports(i);
        const std::string at = path + ".ports[" + std::to_string(i) + "]";
        if (port.containerport() < 1 || port.containerport() > 65535)
            errors->push_back(api::FieldError::invalid(at + ".containerPort",
                                                       std::to_string(port.containerport()),
                                                       "must be between 1 and 65535, inclusive"));
        if (!one_of(port.protocol(), {"TCP", "UDP", "SCTP"}))
            errors->push_back(api::FieldError::not_supported(at + ".protocol", port.protocol(),
                                                             {"SCTP", "TCP", "UDP"}));
    }
    validate_resources(c.resources(), path + ".resources", errors);
}

}  // namespace

void validate_pod_spec(const core::PodSpec& spec, const std::string& path, FieldErrors* errors) {
    if (spec.containers().empty())
        errors->push_back(api::FieldError::required(path + ".containers", ""));
    std::set<std::string> names;
    for (int i = 0; i < spec.initcontainers_size(); ++i)
        validate_container(spec.initcontainers(i),
                           path + ".initContainers[" + std::to_string(i) + "]", &names, errors);
    for (int i = 0; i < spec.containers_size(); ++i)
        validate_container(spec.containers(i), path + ".containers[" + std::to_string(i) + "]",
                           &names, errors);
    if (!one_of(spec.restartpolicy(), {"Always", "OnFailure", "Never"}))
        errors->push_back(api::FieldError::not_supported(
            path + ".restartPolicy", spec.restartpolicy(), {"Always", "OnFailure", "Never"}));
    if (!one_of(spec.dnspolicy(), {"ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"}))
        errors->push_back(api::FieldError::not_supported(
            path + ".dnsPolicy", spec.dnspolicy(),
            {"ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"}));
    std::set<std::string> volumes;
    for (int i = 0; i < spec.volumes_size(); ++i) {
        const auto& name = spec.volumes(i).name();
        const std::string at = path + ".volumes[" + std::to_string(i) + "].name";
        if (name.empty())
            errors->push_back(api::FieldError::required(at, ""));
        else if (!volumes.insert(name).second)
            errors->push_back(api::FieldError::duplicate(at, name));
    }
    auto check_mounts = [&](const auto& containers, const std::string& which) {
        for (int i = 0; i < containers.size(); ++i)
            for (int k = 0; k < containers[i].volumemounts_size(); ++k)
                if (!volumes.contains(containers[i].volumemounts(k).name()))
                    errors->push_back(api::FieldError::not_found(
                        path + "." + which + "[" + std::to_string(i) + "].volumeMounts[" +
                            std::to_string(k) + "].name",
                        containers[i].volumemounts(k).name()));
    };
    check_mounts(spec.initcontainers(), "initContainers");
    check_mounts(spec.containers(), "containers");
}

void validate_pod(const api::Message& object, FieldErrors* errors) {
    validate_pod_spec(api::as<core::Pod>(object).spec(), "spec", errors);
}

void prepare_pod(api::Message* object) {
    auto* pod = static_cast<core::Pod*>(object);
    pod->mutable_status()->set_phase("Pending");
    // Quality of service, from what its containers ask for and may use at most.
    bool any = false;
    bool guaranteed = true;
    auto look = [&](const auto& containers) {
        for (const auto& c : containers) {
            any = any || !c.resources().requests().empty() || !c.resources().limits().empty();
            for (const char* name : {"cpu", "memory"}) {
                const auto limit = c.resources().limits().find(name);
                const auto request = c.resources().requests().find(name);
                guaranteed = guaranteed && limit != c.resources().limits().end() &&
                             (request == c.resources().requests().end() ||
                              request->second.string() == limit->second.string());
            }
        }
    };
    look(pod->spec().initcontainers());
    look(pod->spec().containers());
    pod->mutable_status()->set_qosclass(!any         ? "BestEffort"
                                        : guaranteed ? "Guaranteed"
                                                     : "Burstable");
}

void prepare_pod_update(api::Message* object, const api::Message& old,
                        std::string_view subresource) {
    if (subresource != "status") return;
    // What the API server itself decided stays.
    auto* pod = static_cast<core::Pod*>(object);
    pod->mutable_status()->set_qosclass(api::as<core::Pod>(old).status().qosclass());
}

// A pod's spec stands once it is made, but for images, the active deadline (shorter), more
// tolerations, and what gates release.
void validate_pod_update(const api::Message& object, const api::Message& old,
                         std::string_view subresource, FieldErrors* errors) {
    if (!subresource.empty()) return;
    core::PodSpec now = api::as<core::Pod>(object).spec();
    const core::PodSpec& before = api::as<core::Pod>(old).spec();
    auto take_images = [](auto* to, const auto& from) {
        for (int i = 0; i < to->size() && i < from.size(); ++i)
            (*to)[i].set_image(from[i].image());
    };
    take_images(now.mutable_containers(), before.containers());
    take_images(now.mutable_initcontainers(), before.initcontainers());
    if (before.has_activedeadlineseconds())
        now.set_activedeadlineseconds(before.activedeadlineseconds());
    else
        now.clear_activedeadlineseconds();
    const bool only_added = [&] {
        return std::all_of(
            before.tolerations().begin(), before.tolerations().end(), [&](const auto& t) {
                return std::any_of(
                    now.tolerations().begin(), now.tolerations().end(), [&](const auto& u) {
                        return google::protobuf::util::MessageDifferencer::Equals(t, u);
                    });
            });
    }();
    if (only_added) *now.mutable_tolerations() = before.tolerations();
    if (now.schedulinggates_size() <= before.schedulinggates_size())
        *now.mutable_schedulinggates() = before.schedulinggates();
    if (before.terminationgraceperiodseconds() < 0)
        now.set_terminationgraceperiodseconds(before.terminationgraceperiodseconds());
    if (!google::protobuf::util::MessageDifferencer::Equals(now, before))
        errors->push_back(
            api::FieldError::forbidden("spec",
                                       "pod updates may not change fields other than "
                                       "`spec.containers[*].image`,`spec.initContainers[*].image`,"
                                       "`spec.activeDeadlineSeconds`,`spec.tolerations` (only "
                                       "additions to existing tolerations),"
                                       "`spec.terminationGracePeriodSeconds` (allow it to be set "
                                       "to 1 if it was previously negative)"));
}

}  // namespace apiserver
