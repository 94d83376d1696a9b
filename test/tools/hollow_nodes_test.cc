#include "tools/hollow_nodes.h"

#include "api/fake_client.h"
#include "api/proto/apps_v1.pb.h"
#include "api/proto/coordination_v1.pb.h"
#include "api/proto/core_v1_node.pb.h"
#include "api/proto/core_v1_pod.pb.h"
#include "controllers/manager.h"
#include "scheduler/scheduler.h"
#include "test/api/on_loop.h"

namespace {

using api::apps::Deployment;
using api::coordination::Lease;
using api::core::Node;
using api::core::Pod;

class HollowNodesTest : public ::testing::Test {
  protected:
    HollowNodesTest() { loop.start(); }
    static tools::HollowNodesOptions options(int count) {
        tools::HollowNodesOptions out;
        out.count = count;
        out.start_delay = base::Millis(10);
        out.lease_period = base::Millis(100);
        out.max_grace = base::Millis(50);
        return out;
    }
    base::Loop loop{"test"};
    std::shared_ptr<api::FakeClient> fake = std::make_shared<api::FakeClient>();
    std::shared_ptr<api::Client> client = fake;
};

TEST_F(HollowNodesTest, RegisterRenewAndReportAgainAfterAGap) {
    test::on_loop(loop, [this]() -> base::Awaitable<void> {
        tools::HollowNodes hollow(loop, client, options(20));
        hollow.start();
        EXPECT_TRUE(co_await test::eventually([&hollow] { return hollow.registered() == 20; }));
        const auto n = fake->find<Node>("hollow-node-7");
        EXPECT_EQ(n->status().capacity().at("cpu").string(), "32");
        EXPECT_EQ(n->status().addresses(0).address(), "172.16.0.8");
        const auto first = fake->find<Lease>("kube-node-lease/hollow-node-7");
        EXPECT_EQ(first->metadata().ownerreferences(0).uid(), n->metadata().uid());
        const auto renewed = [this, version = first->metadata().resourceversion()] {
            return fake->find<Lease>("kube-node-lease/hollow-node-7")
                       ->metadata()
                       .resourceversion() != version;
        };
        for (int i = 0; i < 100 && !renewed(); ++i)
            (void)co_await base::sleep_for(base::Millis(10));
        EXPECT_TRUE(renewed());
        // The server is away for longer than two periods, and the node is written off meanwhile.
        fake->reactor = [](const api::FakeClient::Action& a) -> std::optional<base::Error> {
            if (a.resource == "leases") return base::unavailable("away");
            return std::nullopt;
        };
        auto lost = api::copy(*fake->find<Node>("hollow-node-7"));
        for (auto& condition : *lost->mutable_status()->mutable_conditions())
            condition.set_status("Unknown");
        fake->put(lost);
        (void)co_await base::sleep_for(base::Millis(350));
        fake->reactor = nullptr;
        auto back = [this] {
            const auto now = fake->find<Node>("hollow-node-7");
            for (const auto& condition : now->status().conditions())
                if (condition.type() == "Ready") return condition.status() == "True";
            return false;
        };
        EXPECT_TRUE(co_await test::eventually(back));
        co_await hollow.stop();
    });
}

TEST_F(HollowNodesTest, BoundPodsComeToRunAndDeletedOnesGo) {
    test::on_loop(loop, [this]() -> base::Awaitable<void> {
        tools::HollowNodes hollow(loop, client, options(2));
        hollow.start();
        for (const char* where : {"hollow-node-0", "hollow-node-1", "elsewhere"}) {
            auto p = std::make_shared<Pod>();
            p->mutable_metadata()->set_namespace_("default");
            p->mutable_metadata()->set_name(where);
            p->mutable_spec()->set_nodename(where);
            p->mutable_spec()->add_containers()->set_name("main");
            p->mutable_status()->set_phase("Pending");
            fake->put(p);
        }
        auto run = [this] {
            return fake->find<Pod>("default/hollow-node-0")->status().phase() == "Running" &&
                   fake->find<Pod>("default/hollow-node-1")->status().phase() == "Running";
        };
        EXPECT_TRUE(co_await test::eventually(run));
        const auto& a = fake->find<Pod>("default/hollow-node-0")->status();
        const auto& b = fake->find<Pod>("default/hollow-node-1")->status();
        EXPECT_EQ(a.hostip(), "172.16.0.1");
        EXPECT_EQ(a.podip().substr(0, 3), "10.");
        EXPECT_NE(a.podip(), b.podip());
        EXPECT_EQ(a.conditions_size(), 5);
        EXPECT_TRUE(a.has_starttime());
        EXPECT_TRUE(a.containerstatuses(0).ready());
        EXPECT_TRUE(a.containerstatuses(0).started());
        EXPECT_TRUE(a.containerstatuses(0).state().has_running());
        EXPECT_EQ(fake->find<Pod>("default/elsewhere")->status().phase(), "Pending");
        (void)co_await client->remove<Pod>("default", "hollow-node-0");
        (void)co_await client->remove<Pod>("default", "elsewhere");
        auto gone = [this] { return fake->find<Pod>("default/hollow-node-0") == nullptr; };
        EXPECT_TRUE(co_await test::eventually(gone));
        EXPECT_NE(fake->find<Pod>("default/elsewhere"), nullptr);
        co_await hollow.stop();
    });
}

// The whole of it: a Deployment becomes running pods, rolls, and is deleted with all it has.
TEST_F(HollowNodesTest, WithSchedulerAndControllersADeploymentLivesAndDies) {
    test::on_loop(loop, [this]() -> base::Awaitable<void> {
        controllers::ManagerOptions m;
        m.identity = "me";
        controllers::Manager manager(loop, client, m);
        scheduler::SchedulerOptions s;
        s.identity = "me";
        s.first_backoff = base::Millis(20);
        scheduler::Scheduler scheduler(loop, client, s);
        tools::HollowNodes hollow(loop, client, options(3));
        manager.start();
        scheduler.start();
        hollow.start();
        auto d = std::make_shared<Deployment>();
        d->mutable_metadata()->set_namespace_("default");
        d->mutable_metadata()->set_name("web");
        auto* spec = d->mutable_spec();
        spec->set_replicas(30);
        (*spec->mutable_selector()->mutable_matchlabels())["app"] = "web";
        (*spec->mutable_template_()->mutable_metadata()->mutable_labels())["app"] = "web";
        auto* container = spec->mutable_template_()->mutable_spec()->add_containers();
        container->set_name("main");
        container->set_image("v1");
        (void)co_await client->create<Deployment>(d);
        auto available = [this] {
            const auto now = fake->find<Deployment>("default/web");
            return now->status().availablereplicas() == 30 &&
                   now->status().updatedreplicas() == 30 && now->status().replicas() == 30 &&
                   now->status().observedgeneration() == now->metadata().generation();
        };
        EXPECT_TRUE(co_await test::eventually(available));
        std::map<std::string, int> on_node;
        for (const auto& pod : fake->all<Pod>())
            ++on_node[pod->spec().nodename()];
        EXPECT_EQ(on_node.size(), 3U);
        for (const auto& [name, count] : on_node)
            EXPECT_GE(count, 5) << name;
        bool rolled = false;
        while (!rolled) {
            auto next = api::copy(*fake->find<Deployment>("default/web"));
            next->mutable_spec()
                ->mutable_template_()
                ->mutable_spec()
                ->mutable_containers(0)
                ->set_image("v2");
            auto written = co_await client->update<Deployment>(next);
            rolled = written.has_value();
        }
        auto updated = [this] {
            const auto all = fake->all<Pod>();
            return all.size() == 30 && std::all_of(all.begin(), all.end(), [](const auto& pod) {
                       return pod->spec().containers(0).image() == "v2" &&
                              pod->status().phase() == "Running";
                   });
        };
        EXPECT_TRUE(co_await test::eventually(updated));
        EXPECT_TRUE(co_await test::eventually(available));
        (void)co_await client->remove<Deployment>("default", "web");
        auto nothing = [this] {
            return fake->all<Pod>().empty() && fake->all<api::apps::ReplicaSet>().empty();
        };
        EXPECT_TRUE(co_await test::eventually(nothing));
        co_await hollow.stop();
        co_await scheduler.stop();
        co_await manager.stop();
    });
}

}  // namespace
