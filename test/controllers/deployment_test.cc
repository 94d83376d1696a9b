#include "controllers/deployment.h"

#include "api/quantity.h"
#include "controllers/deployment_status.h"
#include "controllers/replicaset.h"
#include "test/controllers/fixture.h"

namespace {

using api::apps::Deployment;
using api::apps::ReplicaSet;

class DeploymentTest : public test::Cluster {
  protected:
    base::Awaitable<void> begin() {
        std::vector<std::unique_ptr<api::Controller>> all;
        all.push_back(controllers::make_replicaset(loop_, client_, *informers_, *events_));
        all.push_back(controllers::make_deployment(loop_, client_, *informers_, *events_));
        co_await start(std::move(all));
        run_kubelet();
    }
    api::Ptr<Deployment> web() const { return fake_->find<Deployment>("default/web"); }
    bool done() const {
        const auto d = web();
        const auto* progress = controllers::condition_of(d->status(), "Progressing");
        return controllers::is_complete(*d, d->status()) && progress != nullptr &&
               progress->reason() == "NewReplicaSetAvailable";
    }
    base::Awaitable<void> complete() {
        EXPECT_TRUE(co_await test::eventually([this] { return done(); }))
            << web()->ShortDebugString();
    }
    base::Awaitable<void> set_image(std::string image) {
        while (true) {
            auto next = api::copy(*web());
            *next->mutable_spec()->mutable_template_() = pod_template("web", image);
            auto written = co_await client_->update<Deployment>(next);
            if (written) co_return;
        }
    }
    bool all_run(const std::string& image) const {
        const auto all = pods("web");
        return std::all_of(all.begin(), all.end(), [&](const auto& pod) {
            return pod->spec().containers(0).image() == image;
        });
    }
};

TEST_F(DeploymentTest, MakesAReplicaSetAndSaysHowItGoes) {
    test::on_loop(loop_, [this]() -> base::Awaitable<void> {
        co_await begin();
        (void)co_await client_->create<Deployment>(deployment("web", 3));
        co_await complete();
        const auto sets = fake_->all<ReplicaSet>();
        EXPECT_EQ(sets.size(), 1U);
        const auto hash = std::string(api::label(*sets[0], "pod-template-hash"));
        EXPECT_EQ(sets[0]->metadata().name(), "web-" + hash);
        EXPECT_EQ(sets[0]->spec().selector().matchlabels().at("pod-template-hash"), hash);
        EXPECT_EQ(api::label(*pods("web")[0], "pod-template-hash"), hash);
        EXPECT_EQ(api::annotation(*web(), controllers::kRevision), "1");
        const auto* available = controllers::condition_of(web()->status(), "Available");
        EXPECT_EQ(available->status(), "True");
        EXPECT_EQ(web()->status().readyreplicas(), 3);
        EXPECT_EQ(web()->status().updatedreplicas(), 3);
        EXPECT_EQ(web()->status().unavailablereplicas(), 0);
        co_await stop();
    });
}

TEST_F(DeploymentTest, RollsKeepingEnoughAvailableAndUndoesByTheOldTemplate) {
    test::on_loop(loop_, [this]() -> base::Awaitable<void> {
        co_await begin();
        (void)co_await client_->create<Deployment>(deployment("web", 8));
        co_await complete();
        std::size_t most = 0;
        std::size_t fewest = 100;
        fake_->reactor = [&](const api::FakeClient::Action& a) -> std::optional<base::Error> {
            if (a.resource != "pods") return std::nullopt;
            std::size_t ready = 0;
            for (const auto& pod : pods("web"))
                ready += controllers::is_ready(*pod) ? 1 : 0;
            most = std::max(most, pods("web").size());
            fewest = std::min(fewest, ready);
            return std::nullopt;
        };
        co_await set_image("v2");
        EXPECT_TRUE(co_await test::eventually(
            [this] { return api::annotation(*web(), controllers::kRevision) == "2"; }));
        co_await complete();
        EXPECT_TRUE(all_run("v2"));
        EXPECT_LE(most, 10U);   // 8 + 25 %
        EXPECT_GE(fewest, 6U);  // 8 - 25 %
        fake_->reactor = nullptr;
        co_await set_image("v1");
        EXPECT_TRUE(co_await test::eventually(
            [this] { return api::annotation(*web(), controllers::kRevision) == "3"; }));
        co_await complete();
        EXPECT_TRUE(all_run("v1"));
        const auto sets = fake_->all<ReplicaSet>();
        EXPECT_EQ(sets.size(), 2U);
        std::set<std::string> revisions;
        for (const auto& rs : sets)
            revisions.insert(std::string(api::annotation(*rs, controllers::kRevision)));
        EXPECT_EQ(revisions, (std::set<std::string>{"2", "3"}));
        co_await stop();
    });
}

TEST_F(DeploymentTest, RecreateEndsAllOldPodsFirst) {
    test::on_loop(loop_, [this]() -> base::Awaitable<void> {
        co_await begin();
        auto d = deployment("web", 3);
        d->mutable_spec()->mutable_strategy()->set_type("Recreate");
        (void)co_await client_->create<Deployment>(d);
        co_await complete();
        bool mixed = false;
        fake_->reactor = [&](const api::FakeClient::Action& a) -> std::optional<base::Error> {
            if (a.verb == "create" && a.resource == "pods")
                for (const auto& pod : pods("web"))
                    mixed = mixed || pod->spec().containers(0).image() == "v1";
            return std::nullopt;
        };
        co_await set_image("v2");
        EXPECT_TRUE(
            co_await test::eventually([this] { return pods("web").size() == 3 && all_run("v2"); }));
        co_await complete();
        EXPECT_FALSE(mixed);
        co_await stop();
    });
}

TEST_F(DeploymentTest, ScalesAndPausesAndKeepsOnlySoManyOldReplicaSets) {
    test::on_loop(loop_, [this]() -> base::Awaitable<void> {
        co_await begin();
        auto d = deployment("web", 2);
        d->mutable_spec()->set_revisionhistorylimit(1);
        (void)co_await client_->create<Deployment>(d);
        co_await complete();
        for (const char* image : {"v2", "v3", "v4"}) {
            co_await set_image(image);
            EXPECT_TRUE(co_await test::eventually(
                [this, image] { return pods("web").size() == 2 && all_run(image); }));
            co_await complete();
        }
        EXPECT_TRUE(
            co_await test::eventually([this] { return fake_->all<ReplicaSet>().size() == 2; }));
        auto bigger = api::copy(*web());
        bigger->mutable_spec()->set_replicas(5);
        (void)co_await client_->update<Deployment>(bigger);
        EXPECT_TRUE(co_await test::eventually([this] { return pods("web").size() == 5; }));
        co_await complete();
        auto paused = api::copy(*web());
        paused->mutable_spec()->set_paused(true);
        *paused->mutable_spec()->mutable_template_() = pod_template("web", "v5");
        (void)co_await client_->update<Deployment>(paused);
        auto said = [this] {
            const auto* c = controllers::condition_of(web()->status(), "Progressing");
            return c != nullptr && c->reason() == "DeploymentPaused";
        };
        EXPECT_TRUE(co_await test::eventually(said));
        EXPECT_TRUE(all_run("v4"));
        co_await stop();
    });
}

TEST_F(DeploymentTest, SaysWhenTheDeadlineHasPassed) {
    auto d = deployment("web", 2);
    d->mutable_metadata()->set_generation(1);
    auto rs = replica_set("web-1", 2);
    rs->mutable_status()->set_replicas(2);
    const auto now = api::wall_now();
    *d->mutable_status() = controllers::deployment_status(*d, {rs}, rs, now);
    EXPECT_EQ(controllers::condition_of(d->status(), "Progressing")->reason(), "ReplicaSetUpdated");
    EXPECT_EQ(controllers::condition_of(d->status(), "Available")->status(), "False");
    const auto late = now + std::chrono::seconds(601);
    *d->mutable_status() = controllers::deployment_status(*d, {rs}, rs, late);
    const auto* progress = controllers::condition_of(d->status(), "Progressing");
    EXPECT_EQ(progress->reason(), "ProgressDeadlineExceeded");
    EXPECT_EQ(progress->status(), "False");
    EXPECT_EQ(progress->message(), "ReplicaSet \"web-1\" has timed out progressing.");
}

TEST_F(DeploymentTest, SpreadsANewSizeOverAllActiveReplicaSets) {
    auto d = deployment("web", 20);
    auto small = replica_set("web-1", 2);
    auto large = replica_set("web-2", 8);
    for (auto& rs : {small, large})
        (*rs->mutable_metadata()->mutable_annotations())[controllers::kMaxReplicas] = "13";
    const auto steps = controllers::scale_in_proportion(*d, {small, large});
    int total = 0;
    for (const auto& step : steps)
        total += step.replicas;
    EXPECT_EQ(total, 25);  // 20 + 25 %
    EXPECT_EQ(steps.size(), 2U);
    EXPECT_EQ(steps[0].set->metadata().name(), "web-2");
    EXPECT_GT(steps[0].replicas, steps[1].replicas);
}

}  // namespace
