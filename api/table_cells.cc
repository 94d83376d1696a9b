#include "api/table_cells.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <map>
#include <set>

#include "api/proto/apps_v1.pb.h"
#include "api/proto/batch_v1.pb.h"
#include "api/proto/coordination_v1.pb.h"
#include "api/proto/core_v1_config.pb.h"
#include "api/proto/core_v1_event.pb.h"
#include "api/proto/core_v1_node.pb.h"
#include "api/proto/core_v1_persistentvolume.pb.h"
#include "api/proto/core_v1_pod.pb.h"
#include "api/proto/core_v1_replicationcontroller.pb.h"
#include "api/proto/core_v1_service.pb.h"
#include "api/proto/discovery_v1.pb.h"
#include "api/proto/policy_v1.pb.h"
#include "api/proto/rbac_v1.pb.h"
#include "api/proto/storage_v1.pb.h"
#include "api/quantity.h"
#include "api/selector.h"
#include "api/table.h"

namespace api {

namespace json = boost::json;

namespace {

std::string or_none(const std::string& t) {
    return t.empty() ? "<none>" : t;
}

template <class List, class Text>
std::string joined(const List& list, Text text, const char* separator = ",") {
    std::string out;
    for (const auto& item : list)
        out += (out.empty() ? "" : separator) + text(item);
    return out;
}

std::string containers(const core::PodSpec& spec) {
    return joined(spec.containers(), [](const auto& c) { return c.name(); });
}
std::string images(const core::PodSpec& spec) {
    return joined(spec.containers(), [](const auto& c) { return c.image(); });
}
std::string selector(const meta::LabelSelector& s) {
    const auto parsed = LabelSelector::from(s);
    return parsed ? or_none(parsed->to_string()) : "<error>";
}
std::string age(const Message& object, const CellContext& c) {
    return c.age(meta_of(object).creationtimestamp());
}

json::array node_cells(const Message& object, const CellContext& c) {
    const auto& node = as<core::Node>(object);
    std::string status = "Unknown";
    for (const auto& condition : node.status().conditions())
        if (condition.type() == "Ready")
            status = condition.status() == "True" ? "Ready" : "NotReady";
    if (node.spec().unschedulable()) status += ",SchedulingDisabled";
    std::set<std::string> roles;
    constexpr std::string_view kRole = "node-role.kubernetes.io/";
    for (const auto& [key, value] : node.metadata().labels()) {
        if (key.starts_with(kRole) && key.size() > kRole.size())
            roles.insert(key.substr(kRole.size()));
        if (key == "kubernetes.io/role" && !value.empty()) roles.insert(value);
    }
    auto address = [&](std::string_view type) {
        for (const auto& a : node.status().addresses())
            if (a.type() == type) return a.address();
        return std::string("<none>");
    };
    auto unknown = [](const std::string& t) { return t.empty() ? std::string("<unknown>") : t; };
    const auto& info = node.status().nodeinfo();
    return {node.metadata().name(),
            status,
            or_none(joined(roles, [](const auto& r) { return r; })),
            age(object, c),
            info.kubeletversion(),
            address("InternalIP"),
            address("ExternalIP"),
            unknown(info.osimage()),
            unknown(info.kernelversion()),
            unknown(info.containerruntimeversion())};
}

json::array controller_cells(const Message& object, const CellContext& c) {
    const auto& rc = as<core::ReplicationController>(object);
    std::map<std::string, std::string> labels(rc.spec().selector().begin(),
                                              rc.spec().selector().end());
    return {rc.metadata().name(),
            rc.spec().replicas(),
            rc.status().replicas(),
            rc.status().readyreplicas(),
            age(object, c),
            containers(rc.spec().template_().spec()),
            images(rc.spec().template_().spec()),
            or_none(joined(labels, [](const auto& l) { return l.first + "=" + l.second; }))};
}

json::array replica_set_cells(const Message& object, const CellContext& c) {
    const auto& rs = as<apps::ReplicaSet>(object);
    return {rs.metadata().name(),
            rs.spec().replicas(),
            rs.status().replicas(),
            rs.status().readyreplicas(),
            age(object, c),
            containers(rs.spec().template_().spec()),
            images(rs.spec().template_().spec()),
            selector(rs.spec().selector())};
}

json::array deployment_cells(const Message& object, const CellContext& c) {
    const auto& d = as<apps::Deployment>(object);
    return {d.metadata().name(),
            fmt::format("{}/{}", d.status().readyreplicas(), d.spec().replicas()),
            d.status().updatedreplicas(),
            d.status().availablereplicas(),
            age(object, c),
            containers(d.spec().template_().spec()),
            images(d.spec().template_().spec()),
            selector(d.spec().selector())};
}

json::array daemon_set_cells(const Message& object, const CellContext& c) {
    const auto& d = as<apps::DaemonSet>(object);
    std::map<std::string, std::string> where(d.spec().template_().spec().nodeselector().begin(),
                                             d.spec().template_().spec().nodeselector().end());
    const auto& s = d.status();
    return {d.metadata().name(),
            s.desirednumberscheduled(),
            s.currentnumberscheduled(),
            s.numberready(),
            s.updatednumberscheduled(),
            s.numberavailable(),
            or_none(joined(where, [](const auto& l) { return l.first + "=" + l.second; })),
            age(object, c),
            containers(d.spec().template_().spec()),
            images(d.spec().template_().spec()),
            selector(d.spec().selector())};
}

json::array stateful_set_cells(const Message& object, const CellContext& c) {
    const auto& s = as<apps::StatefulSet>(object);
    return {s.metadata().name(),
            fmt::format("{}/{}", s.status().readyreplicas(), s.spec().replicas()), age(object, c),
            containers(s.spec().template_().spec()), images(s.spec().template_().spec())};
}

json::array controller_revision_cells(const Message& object, const CellContext& c) {
    const auto& r = as<apps::ControllerRevision>(object);
    const auto* owner = controller_of(object);
    std::string name = "<none>";
    if (owner != nullptr) {
        const auto slash = owner->apiversion().find('/');
        const std::string group =
            slash == std::string::npos ? "" : "." + owner->apiversion().substr(0, slash);
        std::string kind = owner->kind();
        for (auto& ch : kind)
            ch = static_cast<char>(std::tolower(ch));
        name = kind + group + "/" + owner->name();
    }
    return {r.metadata().name(), name, r.revision(), age(object, c)};
}

json::array job_cells(const Message& object, const CellContext& c) {
    const auto& j = as<batch::Job>(object);
    std::string status = "Running";
    for (const auto& condition : j.status().conditions()) {
        if (condition.status() != "True") continue;
        if (condition.type() == "Complete" || condition.type() == "Failed" ||
            condition.type() == "Suspended")
            status = condition.type();
    }
    if (is_deleting(j) && status == "Running") status = "Terminating";
    const std::string completions =
        j.spec().has_completions()
            ? fmt::format("{}/{}", j.status().succeeded(), j.spec().completions())
        : j.spec().parallelism() > 1
            ? fmt::format("{}/1 of {}", j.status().succeeded(), j.spec().parallelism())
            : fmt::format("{}/1", j.status().succeeded());
    std::string duration;
    if (j.status().has_starttime()) {
        const auto end =
            j.status().has_completiontime() ? from_time(j.status().completiontime()) : c.now;
        duration = human_duration(std::chrono::duration_cast<std::chrono::seconds>(
            end - from_time(j.status().starttime())));
    }
    return {j.metadata().name(),
            status,
            completions,
            duration,
            age(object, c),
            containers(j.spec().template_().spec()),
            images(j.spec().template_().spec()),
            selector(j.spec().selector())};
}

json::array cron_job_cells(const Message& object, const CellContext& c) {
    const auto& j = as<batch::CronJob>(object);
    const auto& spec = j.spec().jobtemplate().spec().template_().spec();
    return {j.metadata().name(),
            j.spec().schedule(),
            or_none(j.spec().timezone()),
            j.spec().suspend() ? "True" : "False",
            j.status().active_size(),
            j.status().has_lastscheduletime() ? c.age(j.status().lastscheduletime()) : "<none>",
            age(object, c),
            containers(spec),
            images(spec),
            selector(j.spec().jobtemplate().spec().selector())};
}

std::string external_ip(const core::Service& s) {
    const auto external = joined(s.spec().externalips(), [](const auto& ip) { return ip; });
    if (s.spec().type() == "ExternalName") return or_none(s.spec().externalname());
    if (s.spec().type() != "LoadBalancer") return or_none(external);
    auto out = joined(s.status().loadbalancer().ingress(),
                      [](const auto& i) { return i.ip().empty() ? i.hostname() : i.ip(); });
    if (!external.empty()) out += (out.empty() ? "" : ",") + external;
    return out.empty() ? "<pending>" : out;
}

json::array service_cells(const Message& object, const CellContext& c) {
    const auto& s = as<core::Service>(object);
    const auto ports = joined(s.spec().ports(), [](const auto& p) {
        return p.nodeport() > 0 ? fmt::format("{}:{}/{}", p.port(), p.nodeport(), p.protocol())
                                : fmt::format("{}/{}", p.port(), p.protocol());
    });
    std::map<std::string, std::string> labels(s.spec().selector().begin(),
                                              s.spec().selector().end());
    return {s.metadata().name(),
            s.spec().type(),
            or_none(s.spec().clusterip()),
            external_ip(s),
            or_none(ports),
            age(object, c),
            or_none(joined(labels, [](const auto& l) { return l.first + "=" + l.second; }))};
}

// The first few, and how many more there are.
std::string shortened(const std::vector<std::string>& items) {
    constexpr std::size_t kShown = 3;
    std::string out;
    for (std::size_t i = 0; i < items.size() && i < kShown; ++i)
        out += (out.empty() ? "" : ",") + items[i];
    if (items.size() > kShown) out += fmt::format(" + {} more...", items.size() - kShown);
    return or_none(out);
}

json::array endpoints_cells(const Message& object, const CellContext& c) {
    const auto& e = as<core::Endpoints>(object);
    std::vector<std::string> items;
    for (const auto& subset : e.subsets())
        for (const auto& address : subset.addresses()) {
            if (subset.ports().empty()) items.push_back(address.ip());
            for (const auto& port : subset.ports())
                items.push_back(fmt::format("{}:{}", address.ip(), port.port()));
        }
    return {e.metadata().name(), shortened(items), age(object, c)};
}

json::array endpoint_slice_cells(const Message& object, const CellContext& c) {
    const auto& e = as<discovery::EndpointSlice>(object);
    std::vector<std::string> ports, addresses;
    for (const auto& p : e.ports())
        ports.push_back(p.has_port() ? std::to_string(p.port()) : "*");
    for (const auto& endpoint : e.endpoints())
        for (const auto& a : endpoint.addresses())
            addresses.push_back(a);
    return {e.metadata().name(), e.addresstype(), ports.empty() ? "<unset>" : shortened(ports),
            addresses.empty() ? "<unset>" : shortened(addresses), age(object, c)};
}

json::array namespace_cells(const Message& object, const CellContext& c) {
    return {meta_of(object).name(), as<core::Namespace>(object).status().phase(), age(object, c)};
}
json::array config_map_cells(const Message& object, const CellContext& c) {
    const auto& m = as<core::ConfigMap>(object);
    return {m.metadata().name(), m.data().size() + m.binarydata().size(), age(object, c)};
}
json::array secret_cells(const Message& object, const CellContext& c) {
    const auto& s = as<core::Secret>(object);
    return {s.metadata().name(), s.type(), s.data().size(), age(object, c)};
}
json::array service_account_cells(const Message& object, const CellContext& c) {
    return {meta_of(object).name(), as<core::ServiceAccount>(object).secrets_size(),
            age(object, c)};
}
json::array lease_cells(const Message& object, const CellContext& c) {
    return {meta_of(object).name(), as<coordination::Lease>(object).spec().holderidentity(),
            age(object, c)};
}

json::array event_cells(const Message& object, const CellContext& c) {
    const auto& e = as<core::Event>(object);
    auto since = [&](const meta::Time& t) {
        return t.seconds() != 0 ? c.age(t)
               : e.has_eventtime() && e.eventtime().seconds() != 0
                   ? c.age(to_time(from_time(e.eventtime())))
                   : "<unknown>";
    };
    std::string kind = e.involvedobject().kind();
    for (auto& ch : kind)
        ch = static_cast<char>(std::tolower(ch));
    std::string source =
        e.source().component().empty() ? e.reportingcomponent() : e.source().component();
    if (!e.source().host().empty()) source += ", " + e.source().host();
    std::string message = e.message();
    while (!message.empty() && std::isspace(static_cast<unsigned char>(message.back())))
        message.pop_back();
    const std::int32_t count = e.count() > 0 ? e.count() : e.has_series() ? e.series().count() : 1;
    std::string last = since(e.lasttimestamp());
    if (e.has_series()) last = c.age(to_time(from_time(e.series().lastobservedtime())));
    return {last,
            e.type(),
            e.reason(),
            kind + "/" + e.involvedobject().name(),
            e.involvedobject().fieldpath(),
            source,
            message,
            since(e.firsttimestamp()),
            count,
            e.metadata().name()};
}

// "RWO", "ROX", "RWX", "RWOP".
template <class Modes>
std::string access_modes(const Modes& modes) {
    return joined(modes, [](const std::string& m) {
        return m == "ReadWriteOnce"      ? "RWO"
               : m == "ReadOnlyMany"     ? "ROX"
               : m == "ReadWriteMany"    ? "RWX"
               : m == "ReadWriteOncePod" ? "RWOP"
                                         : m;
    });
}

template <class Map>
std::string storage_of(const Map& quantities) {
    const auto it = quantities.find("storage");
    return it == quantities.end() ? "" : it->second.string();
}

json::array volume_cells(const Message& object, const CellContext& c) {
    const auto& v = as<core::PersistentVolume>(object);
    std::string phase = v.status().phase();
    if (is_deleting(v)) phase = "Terminating";
    const auto& claim = v.spec().claimref();
    return {
        v.metadata().name(),
        storage_of(v.spec().capacity()),
        access_modes(v.spec().accessmodes()),
        v.spec().persistentvolumereclaimpolicy(),
        phase,
        v.spec().has_claimref() ? claim.namespace_() + "/" + claim.name() : "",
        v.spec().storageclassname(),
        v.spec().has_volumeattributesclassname() ? v.spec().volumeattributesclassname() : "<unset>",
        v.status().reason(),
        age(object, c),
        v.spec().has_volumemode() ? v.spec().volumemode() : "<unset>"};
}

json::array claim_cells(const Message& object, const CellContext& c) {
    const auto& p = as<core::PersistentVolumeClaim>(object);
    std::string phase = p.status().phase();
    if (is_deleting(p)) phase = "Terminating";
    const bool bound = !p.spec().volumename().empty();
    return {
        p.metadata().name(),
        phase,
        p.spec().volumename(),
        bound ? storage_of(p.status().capacity()) : "",
        bound ? access_modes(p.status().accessmodes()) : "",
        p.spec().storageclassname(),
        p.spec().has_volumeattributesclassname() ? p.spec().volumeattributesclassname() : "<unset>",
        age(object, c),
        p.spec().has_volumemode() ? p.spec().volumemode() : "<unset>"};
}

json::array storage_class_cells(const Message& object, const CellContext& c) {
    const auto& s = as<storage::StorageClass>(object);
    std::string name = s.metadata().name();
    if (annotation(s, "storageclass.kubernetes.io/is-default-class") == "true")
        name += " (default)";
    return {name,
            s.provisioner(),
            s.reclaimpolicy(),
            s.volumebindingmode(),
            s.allowvolumeexpansion(),
            age(object, c)};
}

json::array budget_cells(const Message& object, const CellContext& c) {
    const auto& p = as<policy::PodDisruptionBudget>(object);
    return {p.metadata().name(),
            p.spec().has_minavailable() ? to_string(p.spec().minavailable()) : "N/A",
            p.spec().has_maxunavailable() ? to_string(p.spec().maxunavailable()) : "N/A",
            p.status().disruptionsallowed(), age(object, c)};
}

template <class Binding>
json::array binding_cells(const Message& object, const CellContext& c) {
    const auto& b = as<Binding>(object);
    auto named = [&](std::string_view kind) {
        std::string out;
        for (const auto& s : b.subjects()) {
            if (s.kind() != kind) continue;
            out += (out.empty() ? "" : ", ") +
                   (kind == "ServiceAccount" ? s.namespace_() + "/" + s.name() : s.name());
        }
        return out;
    };
    return {b.metadata().name(), b.roleref().kind() + "/" + b.roleref().name(),
            age(object, c),      named("User"),
            named("Group"),      named("ServiceAccount")};
}

}  // namespace

Cells cells_of(const google::protobuf::Descriptor* type) {
    static const auto* table = new std::map<const google::protobuf::Descriptor*, Cells>{
        {core::Pod::descriptor(), pod_cells},
        {core::Node::descriptor(), node_cells},
        {core::ReplicationController::descriptor(), controller_cells},
        {apps::ReplicaSet::descriptor(), replica_set_cells},
        {apps::Deployment::descriptor(), deployment_cells},
        {apps::DaemonSet::descriptor(), daemon_set_cells},
        {apps::StatefulSet::descriptor(), stateful_set_cells},
        {apps::ControllerRevision::descriptor(), controller_revision_cells},
        {batch::Job::descriptor(), job_cells},
        {batch::CronJob::descriptor(), cron_job_cells},
        {core::Service::descriptor(), service_cells},
        {core::Endpoints::descriptor(), endpoints_cells},
        {discovery::EndpointSlice::descriptor(), endpoint_slice_cells},
        {core::Namespace::descriptor(), namespace_cells},
        {core::ConfigMap::descriptor(), config_map_cells},
        {core::Secret::descriptor(), secret_cells},
        {core::ServiceAccount::descriptor(), service_account_cells},
        {coordination::Lease::descriptor(), lease_cells},
        {core::Event::descriptor(), event_cells},
        {core::PersistentVolume::descriptor(), volume_cells},
        {core::PersistentVolumeClaim::descriptor(), claim_cells},
        {storage::StorageClass::descriptor(), storage_class_cells},
        {policy::PodDisruptionBudget::descriptor(), budget_cells},
        {rbac::ClusterRoleBinding::descriptor(), binding_cells<rbac::ClusterRoleBinding>},
        {rbac::RoleBinding::descriptor(), binding_cells<rbac::RoleBinding>},
    };
    const auto it = table->find(type);
    return it == table->end() ? nullptr : it->second;
}

}  // namespace api
