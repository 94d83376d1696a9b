// Defaults by type: the walk over an object calls the function of each message that it meets, children first, so that a
// container's defaults are the same in a pod, a template and an ephemeral container. Which kinds have which defaults:
// tools/gen/facts/kube-defaults.tsv.

#include "api/defaults.h"

#include <map>

#include "api/proto/apps_v1.pb.h"
#include "api/proto/autoscaling_v2.pb.h"
#include "api/proto/batch_v1.pb.h"
#include "api/proto/core_v1_config.pb.h"
#include "api/proto/core_v1_node.pb.h"
#include "api/proto/core_v1_persistentvolume.pb.h"
#include "api/proto/core_v1_pod.pb.h"
#include "api/proto/core_v1_replicationcontroller.pb.h"
#include "api/proto/core_v1_service.pb.h"
#include "api/proto/networking_v1.pb.h"
#include "api/proto/rbac_v1.pb.h"
#include "api/proto/storage_v1.pb.h"
#include "api/quantity.h"
#include "api/v1.h"

namespace api {

using google::protobuf::Descriptor;
using google::protobuf::Message;

namespace {

using Apply = void (*)(Message*);

// Sets a string field that is empty, a scalar that is absent.
#define SET_TEXT(object, field, value) \
    if ((object)->field().empty()) (object)->set_##field(value)
#define SET_ABSENT(object, field, value) \
    if (!(object)->has_##field()) (object)->set_##field(value)

// "Always" for what moves under its name, "IfNotPresent" for what is pinned.
std::string pull_policy(const std::string& image) {
    if (image.find('@') != std::string::npos) return "IfNotPresent";
    const auto slash = image.rfind('/');
    const auto colon = image.find(':', slash == std::string::npos ? 0 : slash);
    return colon == std::string::npos || image.substr(colon + 1) == "latest" ? "Always" : "IfNotPresent";
}

template <class C>
void container(C* c) {
    SET_TEXT(c, imagepullpolicy, pull_policy(c->image()));
    SET_TEXT(c, terminationmessagepath, "/dev/termination-log");
    SET_TEXT(c, terminationmessagepolicy, "File");
}

void probe(core::Probe* p) {
    if (p->timeoutseconds() == 0) p->set_timeoutseconds(1);
    if (p->periodseconds() == 0) p->set_periodseconds(10);
    if (p->successthreshold() == 0) p->set_successthreshold(1);
    if (p->failurethreshold() == 0) p->set_failurethreshold(3);
    if (p->has_handler() && p->handler().has_grpc()) SET_ABSENT(p->mutable_handler()->mutable_grpc(), service, "");
}

void http_get(core::HTTPGetAction* a) {
    SET_TEXT(a, path, "/");
    SET_TEXT(a, scheme, "HTTP");
}

void pod_spec(core::PodSpec* s) {
    SET_TEXT(s, dnspolicy, "ClusterFirst");
    SET_TEXT(s, restartpolicy, "Always");
    if (!s->has_securitycontext()) s->mutable_securitycontext();
    SET_ABSENT(s, terminationgraceperiodseconds, 30);
    SET_TEXT(s, schedulername, "default-scheduler");
    // The two spellings of the service account say the same.
    if (s->serviceaccountname().empty()) {
        if (!s->serviceaccount().empty()) s->set_serviceaccountname(s->serviceaccount());
    } else {
        s->set_serviceaccount(s->serviceaccountname());
    }
    if (!s->hostnetwork()) return;
    for (auto* containers : {s->mutable_containers(), s->mutable_initcontainers()})
        for (auto& c : *containers)
            for (auto& p : *c.mutable_ports())
                if (p.hostport() == 0) p.set_hostport(p.containerport());
}

void pod(core::Pod* p) {
    for (auto* containers : {p->mutable_spec()->mutable_containers(), p->mutable_spec()->mutable_initcontainers()}) {
        for (auto& c : *containers) {
            if (c.resources().limits().empty()) continue;
            auto* requests = c.mutable_resources()->mutable_requests();
            for (const auto& [name, limit] : c.resources().limits())
                if (!requests->contains(name)) (*requests)[name] = limit;
        }
    }
    SET_ABSENT(p->mutable_spec(), enableservicelinks, true);
}

void volume(core::Volume* v) {
    if (v->volumesource().ByteSizeLong() == 0) v->mutable_volumesource()->mutable_emptydir();
}

template <class V>
void file_mode(V* v) {
    SET_ABSENT(v, defaultmode, 0644);
}

void replication_controller(core::ReplicationController* rc) {
    auto* spec = rc->mutable_spec();
    SET_ABSENT(spec, replicas, 1);
    const auto& labels = spec->template_().metadata().labels();
    if (labels.empty()) return;
    if (spec->selector().empty()) *spec->mutable_selector() = labels;
    if (rc->metadata().labels().empty()) *rc->mutable_metadata()->mutable_labels() = labels;
}

void service(core::Service* s) {
    auto* spec = s->mutable_spec();
    SET_TEXT(spec, sessionaffinity, "None");
    if (spec->sessionaffinity() == "None") spec->clear_sessionaffinityconfig();
    if (spec->sessionaffinity() == "ClientIP") SET_ABSENT(spec->mutable_sessionaffinityconfig()->mutable_clientip(), timeoutseconds, 10800);
    SET_TEXT(spec, type, "ClusterIP");
    for (auto& port : *spec->mutable_ports()) {
        SET_TEXT(&port, protocol, "TCP");
        const auto& target = port.targetport();
        if (target.intval() == 0 && target.strval().empty()) *port.mutable_targetport() = int_or_string(port.port());
    }
    const bool balanced = spec->type() == "NodePort" || spec->type() == "LoadBalancer";
    if (balanced || (spec->type() == "ClusterIP" && !spec->externalips().empty())) SET_TEXT(spec, externaltrafficpolicy, "Cluster");
    if (balanced || spec->type() == "ClusterIP") SET_TEXT(spec, internaltrafficpolicy, "Cluster");
    if (spec->type() == "LoadBalancer") SET_ABSENT(spec, allocateloadbalancernodeports, true);
}

void endpoint_port(core::EndpointPort* p) { SET_TEXT(p, protocol, "TCP"); }
void container_port(core::ContainerPort* p) { SET_TEXT(p, protocol, "TCP"); }
void secret(core::Secret* s) { SET_TEXT(s, type, "Opaque"); }
void token_projection(core::ServiceAccountTokenProjection* p) { SET_ABSENT(p, expirationseconds, 3600); }
void object_field(core::ObjectFieldSelector* f) { SET_TEXT(f, apiversion, "v1"); }
void host_path(core::HostPathVolumeSource* v) { SET_ABSENT(v, type, ""); }

void persistent_volume(core::PersistentVolume* v) {
    SET_TEXT(v->mutable_spec(), persistentvolumereclaimpolicy, "Retain");
    SET_ABSENT(v->mutable_spec(), volumemode, "Filesystem");
    SET_TEXT(v->mutable_status(), phase, "Pending");
}
void claim_spec(core::PersistentVolumeClaimSpec* s) { SET_ABSENT(s, volumemode, "Filesystem"); }
void claim(core::PersistentVolumeClaim* c) { SET_TEXT(c->mutable_status(), phase, "Pending"); }

void node(core::Node* n) {
    if (n->status().allocatable().empty() && !n->status().capacity().empty())
        *n->mutable_status()->mutable_allocatable() = n->status().capacity();
}

void limit_range_item(core::LimitRangeItem* item) {
    if (item->type() != "Container") return;
    auto fill = [](auto* to, const auto& from) {
        for (const auto& [name, quantity] : from)
            if (!to->contains(name)) (*to)[name] = quantity;
    };
    fill(item->mutable_default_(), item->max());
    fill(item->mutable_defaultrequest(), item->default_());
    fill(item->mutable_defaultrequest(), item->min());
}

void deployment(apps::Deployment* d) {
    auto* spec = d->mutable_spec();
    SET_ABSENT(spec, replicas, 1);
    SET_ABSENT(spec, revisionhistorylimit, 10);
    SET_ABSENT(spec, progressdeadlineseconds, 600);
    SET_TEXT(spec->mutable_strategy(), type, "RollingUpdate");
    if (spec->strategy().type() != "RollingUpdate") return;
    auto* rolling = spec->mutable_strategy()->mutable_rollingupdate();
    if (!rolling->has_maxunavailable()) *rolling->mutable_maxunavailable() = int_or_string("25%");
    if (!rolling->has_maxsurge()) *rolling->mutable_maxsurge() = int_or_string("25%");
}

void replica_set(apps::ReplicaSet* r) { SET_ABSENT(r->mutable_spec(), replicas, 1); }

void daemon_set(apps::DaemonSet* d) {
    auto* spec = d->mutable_spec();
    SET_ABSENT(spec, revisionhistorylimit, 10);
    SET_TEXT(spec->mutable_updatestrategy(), type, "RollingUpdate");
    if (spec->updatestrategy().type() != "RollingUpdate") return;
    auto* rolling = spec->mutable_updatestrategy()->mutable_rollingupdate();
    if (!rolling->has_maxunavailable()) *rolling->mutable_maxunavailable() = int_or_string(1);
    if (!rolling->has_maxsurge()) *rolling->mutable_maxsurge() = int_or_string(0);
}

void stateful_set(apps::StatefulSet* s) {
    auto* spec = s->mutable_spec();
    SET_ABSENT(spec, replicas, 1);
    SET_ABSENT(spec, revisionhistorylimit, 10);
    SET_TEXT(spec, podmanagementpolicy, "OrderedReady");
    auto* strategy = spec->mutable_updatestrategy();
    if (strategy->type().empty()) {
        strategy->set_type("RollingUpdate");
        strategy->mutable_rollingupdate();
    }
    if (strategy->type() == "RollingUpdate" && strategy->has_rollingupdate()) SET_ABSENT(strategy->mutable_rollingupdate(), partition, 0);
    auto* retention = spec->mutable_persistentvolumeclaimretentionpolicy();
    SET_TEXT(retention, whendeleted, "Retain");
    SET_TEXT(retention, whenscaled, "Retain");
}

void job_spec(batch::JobSpec* spec) {
    if (!spec->has_completions() && !spec->has_parallelism()) spec->set_completions(1);
    SET_ABSENT(spec, parallelism, 1);
    SET_ABSENT(spec, backofflimit, spec->has_backofflimitperindex() ? 2147483647 : 6);
    SET_ABSENT(spec, completionmode, "NonIndexed");
    SET_ABSENT(spec, suspend, false);
    SET_ABSENT(spec, podreplacementpolicy, spec->has_podfailurepolicy() ? "Failed" : "TerminatingOrFailed");
    SET_ABSENT(spec, manualselector, false);
}

void job(batch::Job* j) {
    const auto& labels = j->spec().template_().metadata().labels();
    if (j->metadata().labels().empty() && !labels.empty()) *j->mutable_metadata()->mutable_labels() = labels;
}

void cron_job(batch::CronJob* c) {
    auto* spec = c->mutable_spec();
    SET_TEXT(spec, concurrencypolicy, "Allow");
    SET_ABSENT(spec, suspend, false);
    SET_ABSENT(spec, successfuljobshistorylimit, 3);
    SET_ABSENT(spec, failedjobshistorylimit, 1);
}

void autoscaler(autoscalingv2::HorizontalPodAutoscaler* h) {
    auto* spec = h->mutable_spec();
    SET_ABSENT(spec, minreplicas, 1);
    if (spec->metrics().empty()) {
        auto* metric = spec->add_metrics();
        metric->set_type("Resource");
        metric->mutable_resource()->set_name("cpu");
        metric->mutable_resource()->mutable_target()->set_type("Utilization");
        metric->mutable_resource()->mutable_target()->set_averageutilization(80);
    }
    if (!spec->has_behavior()) return;
    auto policy = [](autoscalingv2::HPAScalingRules* rules, const char* type, std::int32_t value) {
        auto* p = rules->add_policies();
        p->set_type(type);
        p->set_value(value);
        p->set_periodseconds(15);
    };
    auto* up = spec->mutable_behavior()->mutable_scaleup();
    SET_ABSENT(up, stabilizationwindowseconds, 0);
    SET_ABSENT(up, selectpolicy, "Max");
    if (up->policies().empty()) {
        policy(up, "Pods", 4);
        policy(up, "Percent", 100);
    }
    auto* down = spec->mutable_behavior()->mutable_scaledown();
    SET_ABSENT(down, selectpolicy, "Max");
    if (down->policies().empty()) policy(down, "Percent", 100);
}

void network_policy_port(networking::NetworkPolicyPort* p) { SET_ABSENT(p, protocol, "TCP"); }
void network_policy(networking::NetworkPolicy* n) {
    auto* spec = n->mutable_spec();
    if (!spec->policytypes().empty()) return;
    spec->add_policytypes("Ingress");
    if (!spec->egress().empty()) spec->add_policytypes("Egress");
}

constexpr const char* kRbac = "rbac.authorization.k8s.io";
void role_ref(rbac::RoleRef* r) { SET_TEXT(r, apigroup, kRbac); }
void subject(rbac::Subject* s) {
    if (s->kind() == "User" || s->kind() == "Group") SET_TEXT(s, apigroup, kRbac);
}

void storage_class(storage::StorageClass* s) {
    SET_ABSENT(s, reclaimpolicy, "Delete");
    SET_ABSENT(s, volumebindingmode, "Immediate");
}

template <class T, void (*F)(T*)>
std::pair<const Descriptor* const, Apply> row() {
    return {T::descriptor(), [](Message* m) { F(static_cast<T*>(m)); }};
}

const std::map<const Descriptor*, Apply>& table() {
    static const auto* rows = new std::map<const Descriptor*, Apply>{
        row<core::Container, container<core::Container>>(),
        row<core::EphemeralContainerCommon, container<core::EphemeralContainerCommon>>(),
        row<core::Probe, probe>(),
        row<core::HTTPGetAction, http_get>(),
        row<core::PodSpec, pod_spec>(),
        row<core::Pod, pod>(),
        row<core::Volume, volume>(),
        row<core::SecretVolumeSource, file_mode<core::SecretVolumeSource>>(),
        row<core::ConfigMapVolumeSource, file_mode<core::ConfigMapVolumeSource>>(),
        row<core::DownwardAPIVolumeSource, file_mode<core::DownwardAPIVolumeSource>>(),
        row<core::ProjectedVolumeSource, file_mode<core::ProjectedVolumeSource>>(),
        row<core::ReplicationController, replication_controller>(),
        row<core::Service, service>(),
        row<core::EndpointPort, endpoint_port>(),
        row<core::ContainerPort, container_port>(),
        row<core::Secret, secret>(),
        row<core::ServiceAccountTokenProjection, token_projection>(),
        row<core::ObjectFieldSelector, object_field>(),
        row<core::HostPathVolumeSource, host_path>(),
        row<core::PersistentVolume, persistent_volume>(),
        row<core::PersistentVolumeClaimSpec, claim_spec>(),
        row<core::PersistentVolumeClaim, claim>(),
        row<core::Node, node>(),
        row<core::LimitRangeItem, limit_range_item>(),
        row<apps::Deployment, deployment>(),
        row<apps::ReplicaSet, replica_set>(),
        row<apps::DaemonSet, daemon_set>(),
        row<apps::StatefulSet, stateful_set>(),
        row<batch::JobSpec, job_spec>(),
        row<batch::Job, job>(),
        row<batch::CronJob, cron_job>(),
        row<autoscalingv2::HorizontalPodAutoscaler, autoscaler>(),
        row<networking::NetworkPolicyPort, network_policy_port>(),
        row<networking::NetworkPolicy, network_policy>(),
        row<rbac::RoleRef, role_ref>(),
        row<rbac::Subject, subject>(),
        row<storage::StorageClass, storage_class>(),
    };
    return *rows;
}

#undef SET_TEXT
#undef SET_ABSENT

void walk(Message* message) {
    const auto* reflection = message->GetReflection();
    std::vector<const google::protobuf::FieldDescriptor*> set;
    reflection->ListFields(*message, &set);
    for (const auto* f : set) {
        if (f->message_type() == nullptr || f->is_map()) continue;
        if (f->is_repeated()) {
            for (int i = 0; i < reflection->FieldSize(*message, f); ++i) walk(reflection->MutableRepeatedMessage(message, f, i));
        } else {
            walk(reflection->MutableMessage(message, f));
        }
    }
    const auto it = table().find(message->GetDescriptor());
    if (it != table().end()) it->second(message);
}

}  // namespace

void set_defaults(Message* object) { walk(object); }

}  // namespace api
