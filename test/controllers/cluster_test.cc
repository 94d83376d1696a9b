// Endpoints, namespaces, garbage collection, nodes, and all of them under the manager.

#include "api/proto/coordination_v1.pb.h"
#include "api/quantity.h"
#include "api/status.h"
#include "controllers/endpoints.h"
#include "controllers/garbage_collector.h"
#include "controllers/manager.h"
#include "controllers/namespace.h"
#include "controllers/node_lifecycle.h"
#include "controllers/pod_gc.h"
#include "controllers/replicaset.h"
#include "controllers/service_account.h"
#include "test/controllers/fixture.h"

namespace {

using api::apps::ReplicaSet;
using api::coordination::Lease;
using api::core::ConfigMap;
using api::core::Endpoints;
using api::core::Namespace;
using api::core::Node;
using api::core::Pod;
using api::core::Service;
using api::discovery::EndpointSlice;

class ClusterTest : public test::Cluster {
  protected:
    std::shared_ptr<Pod> pod(const std::string& name, const std::string& node = "") const {
        auto out = std::make_shared<Pod>();
        out->mutable_metadata()->set_namespace_("default");
        out->mutable_metadata()->set_name(name);
        (*out->mutable_metadata()->mutable_labels())["app"] = "web";
        auto* container = out->mutable_spec()->add_containers();
        container->set_name("main");
        auto* port = container->add_ports();
        port->set_name("http");
        port->set_containerport(8080);
        out->mutable_spec()->set_nodename(node);
        out->mutable_status()->set_phase("Pending");
        return out;
    }
    std::shared_ptr<Service> service() const {
        auto out = std::make_shared<Service>();
        out->mutable_metadata()->set_namespace_("default");
        out->mutable_metadata()->set_name("web");
        (*out->mutable_spec()->mutable_selector())["app"] = "web";
        auto* port = out->mutable_spec()->add_ports();
        port->set_name("web");
        port->set_port(80);
        *port->mutable_targetport() = api::IntOrString();
        port->mutable_targetport()->set_type(1);
        port->mutable_targetport()->set_strval("http");
        return out;
    }
    std::shared_ptr<ConfigMap> config(const std::string& name,
                                      const api::ObjectPtr& owner = nullptr,
                                      bool blocks = true) const {
        auto out = std::make_shared<ConfigMap>();
        out->mutable_metadata()->set_namespace_("default");
        out->mutable_metadata()->set_name(name);
        if (owner != nullptr) {
            auto ref = api::controller_ref(*owner);
            ref.set_blockownerdeletion(blocks);
            *out->mutable_metadata()->add_ownerreferences() = ref;
        }
        return out;
    }
    api::ObjectPtr map(const std::string& name) const {
        return fake_->find<ConfigMap>("default/" + name);
    }
    base::Awaitable<void> begin_one(std::unique_ptr<api::Controller> controller) {
        std::vector<std::unique_ptr<api::Controller>> all;
        all.push_back(std::move(controller));
        co_await start(std::move(all));
    }
};

TEST_F(ClusterTest, EndpointsFollowThePodsOfAService) {
    test::on_loop(loop_, [this]() -> base::Awaitable<void> {
        std::vector<std::unique_ptr<api::Controller>> all;
        all.push_back(controllers::make_endpoints(loop_, client_, *informers_));
        all.push_back(controllers::make_endpointslice(loop_, client_, *informers_));
        co_await start(std::move(all));
        fake_->put(service());
        auto slice_made = [this] { return fake_->all<EndpointSlice>().size() == 1; };
        EXPECT_TRUE(co_await test::eventually(slice_made));
        fake_->put(pod("a"));
        fake_->put(pod("b"));
        set_ready(*fake_->find<Pod>("default/a"));
        set_ready(*fake_->find<Pod>("default/b"), false);
        auto there = [this] {
            const auto e = fake_->find<Endpoints>("default/web");
            return e != nullptr && e->subsets_size() == 1 && e->subsets(0).addresses_size() == 1 &&
                   e->subsets(0).notreadyaddresses_size() == 1 &&
                   e->subsets(0).ports(0).port() == 8080 && e->subsets(0).ports(0).name() == "web";
        };
        EXPECT_TRUE(co_await test::eventually(there));
        auto sliced = [this] {
            const auto slices = fake_->all<EndpointSlice>();
            return slices.size() == 1 && slices[0]->endpoints_size() == 2 &&
                   slices[0]->endpoints(0).conditions().ready() &&
                   !slices[0]->endpoints(1).conditions().ready() &&
                   slices[0]->ports(0).port() == 8080 &&
                   api::label(*slices[0], "kubernetes.io/service-name") == "web";
        };
        EXPECT_TRUE(co_await test::eventually(sliced));
        fake_->erase(api::resource_of<Pod>(), "default/a");
        auto fewer = [this] {
            return fake_->find<Endpoints>("default/web")->subsets(0).addresses().empty() &&
                   fake_->all<EndpointSlice>()[0]->endpoints_size() == 1;
        };
        EXPECT_TRUE(co_await test::eventually(fewer));
        fake_->erase(api::resource_of<Service>(), "default/web");
        auto gone = [this] {
            return fake_->all<Endpoints>().empty() && fake_->all<EndpointSlice>().empty();
        };
        EXPECT_TRUE(co_await test::eventually(gone));
        co_await stop();
    });
}

TEST_F(ClusterTest, SlicesHoldAHundredEach) {
    controllers::PodList pods;
    for (int i = 0; i < 250; ++i) {
        auto one = pod("p" + std::to_string(i));
        one->mutable_status()->set_podip("10.0.0.1");
        pods.push_back(one);
    }
    const auto slices = controllers::slices_of(*service(), pods);
    EXPECT_EQ(slices.size(), 3U);
    EXPECT_EQ(slices[2].endpoints_size(), 50);
}

TEST_F(ClusterTest, ADeletedNamespaceIsEmptiedThenGoes) {
    test::on_loop(loop_, [this]() -> base::Awaitable<void> {
        std::vector<std::unique_ptr<api::Controller>> all;
        all.push_back(controllers::make_namespace(loop_, client_, *informers_));
        all.push_back(controllers::make_service_account(loop_, client_, *informers_));
        co_await start(std::move(all));
        auto ns = std::make_shared<Namespace>();
        ns->mutable_metadata()->set_name("default");
        (void)co_await client_->create<Namespace>(ns);
        auto account = [this] {
            return fake_->find<api::core::ServiceAccount>("default/default") != nullptr;
        };
        EXPECT_TRUE(co_await test::eventually(account));
        auto held = config("held");
        held->mutable_metadata()->add_finalizers("example.com/hold");
        fake_->put(held);
        fake_->put(config("free"));
        fake_->put(pod("p"));
        (void)co_await client_->remove<Namespace>("", "default");
        auto says = [this] {
            const auto now = fake_->find<Namespace>("default");
            for (const auto& c : now->status().conditions())
                if (c.type() == "NamespaceFinalizersRemaining" && c.status() == "True") return true;
            return false;
        };
        EXPECT_TRUE(co_await test::eventually(says));
        EXPECT_EQ(map("free"), nullptr);
        EXPECT_TRUE(pods().empty());
        auto released = api::copy(*fake_->find<ConfigMap>("default/held"));
        released->mutable_metadata()->clear_finalizers();
        (void)co_await client_->update<ConfigMap>(released);
        auto gone = [this] { return fake_->find<Namespace>("default") == nullptr; };
        EXPECT_TRUE(co_await test::eventually(gone));
        EXPECT_FALSE(account());
        co_await stop();
    });
}

TEST_F(ClusterTest, WhatHasNoOwnerLeftIsCollected) {
    test::on_loop(loop_, [this]() -> base::Awaitable<void> {
        const auto owner = fake_->put(config("owner"));
        const auto child = fake_->put(config("child", owner));
        fake_->put(config("grandchild", child));
        fake_->put(config("other"));
        auto ghost = config("ghost");
        auto* ref = ghost->mutable_metadata()->add_ownerreferences();
        ref->set_apiversion("v1");
        ref->set_kind("ConfigMap");
        ref->set_name("never-was");
        ref->set_uid("none");
        fake_->put(ghost);
        co_await begin_one(controllers::make_garbage_collector(loop_, client_, *informers_));
        EXPECT_TRUE(co_await test::eventually([this] { return map("ghost") == nullptr; }));
        EXPECT_NE(map("child"), nullptr);
        (void)co_await client_->remove<ConfigMap>("default", "owner");
        EXPECT_TRUE(co_await test::eventually([this] { return map("grandchild") == nullptr; }));
        EXPECT_EQ(map("child"), nullptr);
        EXPECT_NE(map("other"), nullptr);
        co_await stop();
    });
}

TEST_F(ClusterTest, ForegroundDeletionWaitsForDependentsAndOrphansKeepThem) {
    test::on_loop(loop_, [this]() -> base::Awaitable<void> {
        const auto owner = fake_->put(config("owner"));
        auto child = config("child", owner);
        child->mutable_metadata()->add_finalizers("example.com/hold");
        fake_->put(child);
        const auto other = fake_->put(config("other"));
        fake_->put(config("orphan", other));
        co_await begin_one(controllers::make_garbage_collector(loop_, client_, *informers_));
        api::DeleteOptions foreground;
        foreground.propagation_policy = "Foreground";
        (void)co_await client_->remove<ConfigMap>("default", "owner", foreground);
        auto marked = [this] { return api::is_deleting(*map("child")); };
        EXPECT_TRUE(co_await test::eventually(marked));
        EXPECT_NE(map("owner"), nullptr);
        auto released = api::copy(*fake_->find<ConfigMap>("default/child"));
        released->mutable_metadata()->clear_finalizers();
        (void)co_await client_->update<ConfigMap>(released);
        EXPECT_TRUE(co_await test::eventually([this] { return map("owner") == nullptr; }));
        api::DeleteOptions orphan;
        orphan.propagation_policy = "Orphan";
        (void)co_await client_->remove<ConfigMap>("default", "other", orphan);
        EXPECT_TRUE(co_await test::eventually([this] { return map("other") == nullptr; }));
        (void)co_await base::sleep_for(base::Millis(30));
        EXPECT_NE(map("orphan"), nullptr);
        EXPECT_TRUE(api::meta_of(*map("orphan")).ownerreferences().empty());
        co_await stop();
    });
}

bool tainted(const Node& node, const std::string& key) {
    for (const auto& taint : node.spec().taints())
        if (taint.key() == key) return true;
    return false;
}

TEST_F(ClusterTest, ASilentNodeIsTaintedItsPodsGoAndItComesBack) {
    test::on_loop(loop_, [this]() -> base::Awaitable<void> {
        fake_->put(node("n1"));
        auto lease = std::make_shared<Lease>();
        lease->mutable_metadata()->set_namespace_("kube-node-lease");
        lease->mutable_metadata()->set_name("n1");
        fake_->put(lease);
        auto patient = pod("patient", "n1");
        auto* toleration = patient->mutable_spec()->add_tolerations();
        toleration->set_operator_("Exists");
        toleration->set_tolerationseconds(3600);
        fake_->put(patient);
        fake_->put(pod("plain", "n1"));
        set_ready(*fake_->find<Pod>("default/patient"));
        std::vector<std::unique_ptr<api::Controller>> all;
        all.push_back(controllers::make_node_lifecycle(loop_, client_, *informers_, *events_,
                                                       base::Millis(400)));
        all.push_back(controllers::make_taint_eviction(loop_, client_, *informers_, *events_));
        co_await start(std::move(all));
        for (int i = 0; i < 8; ++i) {  // it reports: nothing happens
            auto renewed = api::copy(*fake_->find<Lease>("kube-node-lease/n1"));
            renewed->mutable_spec()->set_leasetransitions(i);
            fake_->put(renewed);
            (void)co_await base::sleep_for(base::Millis(100));
            EXPECT_FALSE(tainted(*fake_->find<Node>("n1"), "node.kubernetes.io/unreachable"));
        }
        auto lost = [this] {
            const auto n = fake_->find<Node>("n1");
            return n->status().conditions(0).status() == "Unknown" &&
                   tainted(*n, "node.kubernetes.io/unreachable");
        };
        EXPECT_TRUE(co_await test::eventually(lost));
        auto evicted = [this] {
            return api::is_deleting(*fake_->find<Pod>("default/plain")) &&
                   !controllers::is_ready(*fake_->find<Pod>("default/patient"));
        };
        EXPECT_TRUE(co_await test::eventually(evicted));
        EXPECT_FALSE(api::is_deleting(*fake_->find<Pod>("default/patient")));
        auto back = api::copy(*fake_->find<Node>("n1"));
        back->mutable_status()->mutable_conditions(0)->set_status("True");
        back->mutable_status()->mutable_conditions(0)->mutable_lastheartbeattime()->set_seconds(9);
        fake_->put(back);
        auto clean = [this] { return fake_->find<Node>("n1")->spec().taints().empty(); };
        EXPECT_TRUE(co_await test::eventually(clean));
        co_await stop();
    });
}

TEST_F(ClusterTest, PodsOfANodeThatIsGoneAreFailedAndDeleted) {
    test::on_loop(loop_, [this]() -> base::Awaitable<void> {
        fake_->put(node("stays"));
        fake_->put(node("goes"));
        fake_->put(node("comes-back"));
        fake_->put(pod("a", "stays"));
        fake_->put(pod("b", "goes"));
        fake_->put(pod("c", "comes-back"));
        fake_->put(pod("d", "never-was"));
        fake_->put(pod("unbound"));
        bool failed_first = false;
        auto on_pod = [&failed_first](const api::ObjectPtr& before, const api::ObjectPtr& now) {
            if (now == nullptr && api::meta_of(*before).name() == "b")
                failed_first = api::as<Pod>(*before).status().phase() == "Failed";
        };
        informers_->of<Pod>().on_change(on_pod);
        co_await begin_one(
            controllers::make_pod_gc(loop_, client_, *informers_, base::Millis(300)));
        fake_->erase(api::resource_of<Node>(), "goes");
        fake_->erase(api::resource_of<Node>(), "comes-back");
        (void)co_await base::sleep_for(base::Millis(100));
        fake_->put(node("comes-back"));
        auto gone = [this] {
            return fake_->find<Pod>("default/b") == nullptr &&
                   fake_->find<Pod>("default/d") == nullptr;
        };
        EXPECT_TRUE(co_await test::eventually(gone));
        EXPECT_TRUE(co_await test::eventually([&] { return failed_first; }));
        (void)co_await base::sleep_for(base::Millis(300));
        for (const char* name : {"default/a", "default/c", "default/unbound"})
            EXPECT_NE(fake_->find<Pod>(name), nullptr) << name;
        co_await stop();
    });
}

TEST_F(ClusterTest, EvictionTimesFollowTheTolerations) {
    const auto now = api::wall_now();
    Node n = *node("n1", false);
    EXPECT_TRUE(controllers::set_condition_taints(&n, now));
    EXPECT_FALSE(controllers::set_condition_taints(&n, now));
    EXPECT_TRUE(tainted(n, "node.kubernetes.io/not-ready"));
    auto p = pod("p", "n1");
    EXPECT_EQ(controllers::eviction_time(*p, n, now), now);
    auto* toleration = p->mutable_spec()->add_tolerations();
    toleration->set_key("node.kubernetes.io/not-ready");
    toleration->set_operator_("Exists");
    EXPECT_EQ(controllers::eviction_time(*p, n, now), std::nullopt);
    toleration->set_tolerationseconds(300);
    EXPECT_GE(*controllers::eviction_time(*p, n, now), now + std::chrono::seconds(299));
}

TEST_F(ClusterTest, OneOfTwoManagersRunsTheControllersAndTheOtherTakesOver) {
    test::on_loop(loop_, [this]() -> base::Awaitable<void> {
        controllers::ManagerOptions options;
        options.lease = base::Millis(1000);
        options.renew_deadline = base::Millis(500);
        options.retry = base::Millis(50);
        options.identity = "a";
        controllers::Manager a(loop_, client_, options);
        options.identity = "b";
        controllers::Manager b(loop_, client_, options);
        a.start();
        EXPECT_TRUE(co_await test::eventually([&a] { return a.leading(); }));
        b.start();
        run_kubelet();
        (void)co_await client_->create<ReplicaSet>(replica_set("web", 3));
        EXPECT_TRUE(co_await test::eventually([this] { return pods("web").size() == 3; }));
        EXPECT_FALSE(b.leading());
        co_await a.stop();
        EXPECT_TRUE(co_await test::eventually([&b] { return b.leading(); }));
        EXPECT_EQ(b.leader(), "b");
        // Deleted in the background, with all its pods.
        (void)co_await client_->remove<ReplicaSet>("default", "web");
        EXPECT_TRUE(co_await test::eventually([this] { return pods("web").empty(); }));
        co_await b.stop();
        co_await stop();
    });
}

}  // namespace
