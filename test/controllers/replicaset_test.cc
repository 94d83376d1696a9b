#include "controllers/replicaset.h"

#include "api/proto/core_v1_replicationcontroller.pb.h"
#include "controllers/pods_to_delete.h"
#include "test/controllers/fixture.h"

namespace {

using api::apps::ReplicaSet;
using api::core::Pod;

class ReplicaSetTest : public test::Cluster {
  protected:
    base::Awaitable<void> begin() {
        std::vector<std::unique_ptr<api::Controller>> all;
        all.push_back(controllers::make_replicaset(loop_, client_, *informers_, *events_));
        all.push_back(
            controllers::make_replicationcontroller(loop_, client_, *informers_, *events_));
        co_await start(std::move(all));
    }
    base::Awaitable<void> has_pods(std::size_t n) {
        EXPECT_TRUE(co_await test::eventually([this, n] { return pods("web").size() == n; }))
            << pods("web").size();
    }
    api::Ptr<ReplicaSet> web() const { return fake_->find<ReplicaSet>("default/web"); }
};

TEST_F(ReplicaSetTest, MakesPodsAndReportsThem) {
    test::on_loop(loop_, [this]() -> base::Awaitable<void> {
        co_await begin();
        run_kubelet();
        (void)co_await client_->create<ReplicaSet>(replica_set("web", 7));
        co_await has_pods(7);
        auto reported = [this] {
            const auto& s = web()->status();
            return s.replicas() == 7 && s.readyreplicas() == 7 && s.availablereplicas() == 7 &&
                   s.fullylabeledreplicas() == 7 && s.observedgeneration() == 1;
        };
        EXPECT_TRUE(co_await test::eventually(reported));
        // Exactly so many: expectations kept it from creating twice.
        EXPECT_EQ(fake_->count("create", "pods"), 7);
        const auto pod = pods("web")[0];
        EXPECT_TRUE(api::is_controlled_by(*pod, web()->metadata().uid()));
        EXPECT_EQ(pod->metadata().name().substr(0, 4), "web-");
        co_await stop();
    });
}

TEST_F(ReplicaSetTest, ScalesDownAndReplacesLostPods) {
    test::on_loop(loop_, [this]() -> base::Awaitable<void> {
        co_await begin();
        run_kubelet();
        (void)co_await client_->create<ReplicaSet>(replica_set("web", 4));
        co_await has_pods(4);
        auto lost = pods("web")[0];
        fake_->erase(api::resource_of<Pod>(), api::key_of(*lost));
        EXPECT_TRUE(
            co_await test::eventually([this] { return fake_->count("create", "pods") == 5; }));
        co_await has_pods(4);
        auto smaller = api::copy(*web());
        smaller->mutable_spec()->set_replicas(1);
        smaller->mutable_metadata()->set_generation(2);
        fake_->put(smaller);
        co_await has_pods(1);
        EXPECT_EQ(fake_->count("delete", "pods"), 3);
        EXPECT_TRUE(co_await test::eventually([this] { return web()->status().replicas() == 1; }));
        co_await stop();
    });
}

TEST_F(ReplicaSetTest, AdoptsWhatMatchesAndReleasesWhatDoesNot) {
    test::on_loop(loop_, [this]() -> base::Awaitable<void> {
        auto stray = std::make_shared<Pod>();
        stray->mutable_metadata()->set_namespace_("default");
        stray->mutable_metadata()->set_name("stray");
        (*stray->mutable_metadata()->mutable_labels())["app"] = "web";
        stray->mutable_status()->set_phase("Running");
        fake_->put(stray);
        co_await begin();
        (void)co_await client_->create<ReplicaSet>(replica_set("web", 2));
        co_await has_pods(2);
        auto adopted = [this] {
            return api::is_controlled_by(*fake_->find<Pod>("default/stray"),
                                         web()->metadata().uid());
        };
        EXPECT_TRUE(co_await test::eventually(adopted));
        auto relabeled = api::copy(*fake_->find<Pod>("default/stray"));
        (*relabeled->mutable_metadata()->mutable_labels())["app"] = "other";
        fake_->put(relabeled);
        auto released = [this] {
            return fake_->find<Pod>("default/stray")->metadata().ownerreferences().empty();
        };
        EXPECT_TRUE(co_await test::eventually(released));
        co_await has_pods(2);
        co_await stop();
    });
}

TEST_F(ReplicaSetTest, SlowStartTriesFewWhenCreatingFails) {
    test::on_loop(loop_, [this]() -> base::Awaitable<void> {
        co_await begin();
        int refused = 0;
        fake_->reactor =
            [&refused](const api::FakeClient::Action& a) -> std::optional<base::Error> {
            if (a.verb != "create" || a.resource != "pods") return std::nullopt;
            ++refused;
            return base::Error(base::Code::kPermissionDenied, "exceeded quota");
        };
        (void)co_await client_->create<ReplicaSet>(replica_set("web", 400));
        auto failed = [this] {
            const auto rs = web();
            return rs->status().conditions_size() == 1 &&
                   rs->status().conditions(0).reason() == "FailedCreate";
        };
        EXPECT_TRUE(co_await test::eventually(failed));
        EXPECT_LT(refused, 20);
        fake_->reactor = nullptr;
        co_await has_pods(400);
        EXPECT_TRUE(
            co_await test::eventually([this] { return web()->status().conditions().empty(); }));
        co_await stop();
    });
}

TEST_F(ReplicaSetTest, AReplicationControllerDoesTheSame) {
    test::on_loop(loop_, [this]() -> base::Awaitable<void> {
        using api::core::ReplicationController;
        co_await begin();
        run_kubelet();
        auto rc = std::make_shared<ReplicationController>();
        rc->mutable_metadata()->set_namespace_("default");
        rc->mutable_metadata()->set_name("web");
        rc->mutable_spec()->set_replicas(3);
        (*rc->mutable_spec()->mutable_selector())["app"] = "web";
        *rc->mutable_spec()->mutable_template_() = pod_template("web");
        (void)co_await client_->create<ReplicationController>(rc);
        auto reported = [this] {
            return fake_->find<ReplicationController>("default/web")
                       ->status()
                       .availablereplicas() == 3;
        };
        EXPECT_TRUE(co_await test::eventually(reported));
        EXPECT_EQ(api::controller_of(*pods("web")[0])->kind(), "ReplicationController");
        co_await stop();
    });
}

controllers::RankedPod ranked(std::string name, std::string node, bool is_ready, int age_seconds,
                              int neighbours = 0) {
    auto pod = std::make_shared<Pod>();
    const auto now = api::wall_now();
    pod->mutable_metadata()->set_name(std::move(name));
    *pod->mutable_metadata()->mutable_creationtimestamp() =
        api::to_time(now - std::chrono::seconds(age_seconds));
    pod->mutable_spec()->set_nodename(std::move(node));
    pod->mutable_status()->set_phase("Running");
    auto* condition = pod->mutable_status()->add_conditions();
    condition->set_type("Ready");
    condition->set_status(is_ready ? "True" : "False");
    *condition->mutable_lasttransitiontime() = pod->metadata().creationtimestamp();
    return {pod, neighbours};
}

TEST(PodsToDelete, TakesThoseThatMatterLeast) {
    auto cheap = ranked("cheap", "n1", true, 5000);
    auto priced = api::copy(*cheap.pod);
    (*priced->mutable_metadata()
          ->mutable_annotations())["controller.kubernetes.io/pod-deletion-cost"] = "-5";
    cheap.pod = priced;
    auto pending = ranked("pending", "n1", false, 5000);
    auto waiting = api::copy(*pending.pod);
    waiting->mutable_status()->set_phase("Pending");
    pending.pod = waiting;
    const auto order = controllers::pods_to_delete(
        {ranked("old", "n1", true, 5000), ranked("crowded", "n2", true, 5000, 3),
         ranked("young", "n1", true, 5), ranked("unready", "n1", false, 5000), cheap, pending,
         ranked("unbound", "", false, 5000)},
        7, api::wall_now());
    std::vector<std::string> names;
    for (const auto& pod : order)
        names.push_back(pod->metadata().name());
    EXPECT_EQ(names, (std::vector<std::string>{"unbound", "pending", "unready", "cheap", "crowded",
                                               "young", "old"}));
}

}  // namespace
