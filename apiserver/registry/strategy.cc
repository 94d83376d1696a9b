#include "apiserver/registry/strategy.h"

#include <google/protobuf/util/message_differencer.h>

#include <map>

#include "api/names.h"
#include "api/proto/core_v1_config.pb.h"
#include "api/proto/core_v1_persistentvolume.pb.h"
#include "api/proto/core_v1_pod.pb.h"
#include "api/selector.h"

namespace apiserver {

using google::protobuf::FieldDescriptor;

namespace {

const FieldDescriptor* field(const api::Message& m, const char* name) {
    return m.GetDescriptor()->FindFieldByName(name);
}

// Makes field `name` of `object` what it is in `from`.
void take_field(api::Message* object, const api::Message& from, const char* name) {
    const auto* f = field(*object, name);
    if (f == nullptr || f->is_repeated() || f->message_type() == nullptr) return;
    const auto* reflection = object->GetReflection();
    if (reflection->HasField(from, f))
        reflection->MutableMessage(object, f)->CopyFrom(reflection->GetMessage(from, f));
    else
        reflection->ClearField(object, f);
}

bool same_field(const api::Message& a, const api::Message& b, const char* name) {
    const auto* f = field(a, name);
    if (f == nullptr || f->message_type() == nullptr || f->is_repeated()) return true;
    const auto* reflection = a.GetReflection();
    return google::protobuf::util::MessageDifferencer::Equals(reflection->GetMessage(a, f),
                                                              reflection->GetMessage(b, f));
}

std::string path_segment(std::string_view name) {
    return api::bad_path_segment(name);
}
std::string subdomain(std::string_view name) {
    return api::bad_dns1123_subdomain(name);
}
std::string label(std::string_view name) {
    return api::bad_dns1123_label(name);
}
std::string label_1035(std::string_view name) {
    return api::bad_dns1035_label(name);
}

void prepare_namespace(api::Message* object) {
    auto* ns = static_cast<api::core::Namespace*>(object);
    ns->mutable_status()->set_phase("Active");
    // Its deletion waits for the namespace controller to empty it.
    auto* finalizers = ns->mutable_spec()->mutable_finalizers();
    if (std::find(finalizers->begin(), finalizers->end(), "kubernetes") == finalizers->end())
        *finalizers->Add() = "kubernetes";
    (*ns->mutable_metadata()->mutable_labels())["kubernetes.io/metadata.name"] =
        ns->metadata().name();
}

void prepare_namespace_update(api::Message* object, const api::Message& old,
                              std::string_view subresource) {
    auto* ns = static_cast<api::core::Namespace*>(object);
    const auto& before = api::as<api::core::Namespace>(old);
    // Only /finalize takes a finalizer of the spec away.
    if (subresource == "finalize")
        *ns->mutable_status() = before.status();
    else
        *ns->mutable_spec() = before.spec();
    (*ns->mutable_metadata()->mutable_labels())["kubernetes.io/metadata.name"] =
        ns->metadata().name();
}

void prepare_claim(api::Message* object) {
    static_cast<api::core::PersistentVolumeClaim*>(object)->mutable_status()->set_phase("Pending");
}
void prepare_volume(api::Message* object) {
    static_cast<api::core::PersistentVolume*>(object)->mutable_status()->set_phase("Pending");
}

// By "plural.group". What is not here has the defaults: DNS subdomain names and nothing else.
const std::map<std::string, Strategy, std::less<>>& table() {
    constexpr auto kWorkload = [] {
        Strategy s;
        s.generation = true;
        s.validate = validate_workload;
        s.validate_update = validate_workload_update;
        return s;
    }();
    constexpr auto kGeneration = [] {
        Strategy s;
        s.generation = true;
        return s;
    }();
    constexpr auto kPathNames = [] {
        Strategy s;
        s.bad_name = path_segment;
        return s;
    }();
    constexpr auto kUpsert = [] {
        Strategy s;
        s.create_on_update = true;
        return s;
    }();
    static const auto* rows = new std::map<std::string, Strategy, std::less<>>{
        {"pods",
         {.generation = true,
          .prepare_create = prepare_pod,
          .prepare_update = prepare_pod_update,
          .validate = validate_pod,
          .validate_update = validate_pod_update}},
        {"nodes", {.keep_status_on_create = true}},
        {"namespaces",
         {.bad_name = label,
          .prepare_create = prepare_namespace,
          .prepare_update = prepare_namespace_update}},
        {"services",
         {.bad_name = label_1035,
          .validate = validate_service,
          .validate_update = validate_service_update}},
        {"persistentvolumeclaims", {.prepare_create = prepare_claim}},
        {"persistentvolumes", {.prepare_create = prepare_volume}},
        {"replicationcontrollers", kWorkload},
        {"replicasets.apps", kWorkload},
        {"deployments.apps", kWorkload},
        {"daemonsets.apps", kWorkload},
        {"statefulsets.apps", kWorkload},
        {"jobs.batch", kGeneration},
        {"cronjobs.batch", kGeneration},
        {"ingresses.networking.k8s.io", kGeneration},
        {"networkpolicies.networking.k8s.io", kGeneration},
        {"poddisruptionbudgets.policy", kGeneration},
        {"customresourcedefinitions.apiextensions.k8s.io", kGeneration},
        {"validatingwebhookconfigurations.admissionregistration.k8s.io", kGeneration},
        {"mutatingwebhookconfigurations.admissionregistration.k8s.io", kGeneration},
        {"flowschemas.flowcontrol.apiserver.k8s.io", kGeneration},
        {"prioritylevelconfigurations.flowcontrol.apiserver.k8s.io", kGeneration},
        {"roles.rbac.authorization.k8s.io", kPathNames},
        {"rolebindings.rbac.authorization.k8s.io", kPathNames},
        {"clusterroles.rbac.authorization.k8s.io", kPathNames},
        {"clusterrolebindings.rbac.authorization.k8s.io", kPathNames},
        {"leases.coordination.k8s.io", kUpsert},
        {"endpoints", kUpsert},
        {"events", kUpsert},
        {"limitranges", kUpsert},
    };
    return *rows;
}

void validate_meta(const api::ResourceInfo& resource, const api::Message& object,
                   FieldErrors* errors) {
    const auto& m = api::meta_of(object);
    const auto bad_name = strategy_of(resource).bad_name;
    if (m.name().empty())
        errors->push_back(
            api::FieldError::required("metadata.name", "name or generateName is required"));
    else if (auto wrong = (bad_name != nullptr ? bad_name : subdomain)(m.name()); !wrong.empty())
        errors->push_back(api::FieldError::invalid("metadata.name", m.name(), wrong));
    for (const auto& [key, value] : m.labels()) {
        if (auto wrong = api::bad_qualified_name(key); !wrong.empty())
            errors->push_back(api::FieldError::invalid("metadata.labels", key, wrong));
        if (auto wrong = api::bad_label_value(value); !wrong.empty())
            errors->push_back(api::FieldError::invalid("metadata.labels", value, wrong));
    }
    constexpr std::size_t kMaxAnnotations = 256 << 10;
    std::size_t annotations = 0;
    for (const auto& [key, value] : m.annotations()) {
        annotations += key.size() + value.size();
        if (auto wrong = api::bad_qualified_name(key); !wrong.empty())
            errors->push_back(api::FieldError::invalid("metadata.annotations", key, wrong));
    }
    if (annotations > kMaxAnnotations)
        errors->push_back(api::FieldError::too_long("metadata.annotations", kMaxAnnotations));
    int controllers = 0;
    for (int i = 0; i < m.ownerreferences_size(); ++i) {
        const auto& owner = m.ownerreferences(i);
        const std::string path = "metadata.ownerReferences[" + std::to_string(i) + "]";
        if (owner.apiversion().empty())
            errors->push_back(api::FieldError::required(path + ".apiVersion", ""));
        if (owner.kind().empty()) errors->push_back(api::FieldError::required(path + ".kind", ""));
        if (owner.name().empty()) errors->push_back(api::FieldError::required(path + ".name", ""));
        if (owner.uid().empty()) errors->push_back(api::FieldError::required(path + ".uid", ""));
        controllers += owner.controller() ? 1 : 0;
    }
    if (controllers > 1)
        errors->push_back(
            api::FieldError::invalid("metadata.ownerReferences", std::to_string(controllers),
                                     "Only one reference can have Controller set to true"));
}

}  // namespace

const Strategy& strategy_of(const api::ResourceInfo& resource) {
    static const Strategy kDefault;
    const auto it = table().find(resource.qualified());
    return it == table().end() ? kDefault : it->second;
}

void prepare_create(const api::ResourceInfo& resource, api::Message* object) {
    const Strategy& strategy = strategy_of(resource);
    if (resource.subresource("status") != nullptr && !strategy.keep_status_on_create)
        if (const auto* f = field(*object, "status"))
            object->GetReflection()->ClearField(object, f);
    auto* m = api::mutable_meta(object);
    m->clear_generation();
    if (strategy.generation) m->set_generation(1);
    if (strategy.prepare_create != nullptr) strategy.prepare_create(object);
}

void prepare_update(const api::ResourceInfo& resource, api::Message* object,
                    const api::Message& old, std::string_view subresource) {
    const Strategy& strategy = strategy_of(resource);
    auto* m = api::mutable_meta(object);
    const auto& before = api::meta_of(old);
    // What only the server sets.
    m->set_name(before.name());
    m->set_namespace_(before.namespace_());
    m->set_uid(before.uid());
    *m->mutable_creationtimestamp() = before.creationtimestamp();
    if (before.has_deletiontimestamp()) {
        *m->mutable_deletiontimestamp() = before.deletiontimestamp();
    } else {
        m->clear_deletiontimestamp();
    }
    if (before.has_deletiongraceperiodseconds())
        m->set_deletiongraceperiodseconds(before.deletiongraceperiodseconds());
    else
        m->clear_deletiongraceperiodseconds();
    if (before.generatename().empty())
        m->clear_generatename();
    else
        m->set_generatename(before.generatename());
    m->set_generation(before.generation());
    if (before.generation() == 0) m->clear_generation();
    m->clear_selflink();

    if (subresource == "status") {
        take_field(object, old, "spec");
        m->mutable_labels()->clear();
        m->mutable_labels()->insert(before.labels().begin(), before.labels().end());
        *m->mutable_finalizers() = before.finalizers();
        *m->mutable_ownerreferences() = before.ownerreferences();
    } else if (resource.subresource("status") != nullptr) {
        take_field(object, old, "status");
    }
    if (strategy.prepare_update != nullptr) strategy.prepare_update(object, old, subresource);
    if (strategy.generation && subresource != "status" && !same_field(*object, old, "spec"))
        m->set_generation(before.generation() + 1);
}

FieldErrors validate_create(const api::ResourceInfo& resource, const api::Message& object) {
    FieldErrors errors;
    validate_meta(resource, object, &errors);
    if (strategy_of(resource).validate != nullptr) strategy_of(resource).validate(object, &errors);
    return errors;
}

FieldErrors validate_update(const api::ResourceInfo& resource, const api::Message& object,
                            const api::Message& old, std::string_view subresource) {
    FieldErrors errors;
    const Strategy& strategy = strategy_of(resource);
    if (subresource.empty()) {
        validate_meta(resource, object, &errors);
        if (strategy.validate != nullptr) strategy.validate(object, &errors);
        // New finalizers on an object that is being deleted would hold it back for ever.
        if (api::is_deleting(old))
            for (const auto& f : api::meta_of(object).finalizers())
                if (!api::has_finalizer(old, f))
                    errors.push_back(
                        api::FieldError::forbidden("metadata.finalizers",
                                                   "no new finalizers can be added if the object "
                                                   "is being deleted, found new finalizers "
                                                   "[]string{\"" +
                                                       f + "\"}"));
    }
    if (strategy.validate_update != nullptr)
        strategy.validate_update(object, old, subresource, &errors);
    return errors;
}

}  // namespace apiserver
