#include "scheduler/scheduler.h"

#include "api/fake_client.h"
#include "api/proto/core_v1_event.pb.h"
#include "scheduler/framework.h"
#include "scheduler/queue.h"
#include "test/api/on_loop.h"

namespace {

using api::core::Node;
using api::core::Pod;
using std::chrono::milliseconds;

std::shared_ptr<Node> node(const std::string& name, const char* cpu = "4",
                           const char* memory = "8Gi") {
    auto out = std::make_shared<Node>();
    out->mutable_metadata()->set_name(name);
    (*out->mutable_metadata()->mutable_labels())["kubernetes.io/hostname"] = name;
    auto& has = *out->mutable_status()->mutable_allocatable();
    has["cpu"].set_string(cpu);
    has["memory"].set_string(memory);
    has["pods"].set_string("110");
    return out;
}

std::shared_ptr<Pod> pod(const std::string& name, const char* cpu = "", const char* memory = "") {
    auto out = std::make_shared<Pod>();
    out->mutable_metadata()->set_namespace_("default");
    out->mutable_metadata()->set_name(name);
    out->mutable_metadata()->set_uid("uid of " + name);
    auto* container = out->mutable_spec()->add_containers();
    container->set_name("main");
    auto& asks = *container->mutable_resources()->mutable_requests();
    if (*cpu != 0) asks["cpu"].set_string(cpu);
    if (*memory != 0) asks["memory"].set_string(memory);
    return out;
}

void taint(Node* n, const char* key, const char* effect) {
    auto* made = n->mutable_spec()->add_taints();
    made->set_key(key);
    made->set_effect(effect);
}

class FrameworkTest : public ::testing::Test {
  protected:
    scheduler::Framework::Outcome run(const Pod& p) {
        return framework.schedule(p, cache.snapshot(), &random);
    }
    scheduler::Cache cache;
    scheduler::Framework framework;
    base::Random random{7};
};

TEST_F(FrameworkTest, SaysHowManyNodesFailForWhichReason) {
    EXPECT_EQ(run(*pod("p")).message, "no nodes available to schedule pods");
    cache.set_node(node("small-1", "1"));
    cache.set_node(node("small-2", "1"));
    auto kept = node("kept");
    taint(kept.get(), "a", "NoSchedule");
    cache.set_node(kept);
    const auto outcome = run(*pod("p", "2"));
    EXPECT_EQ(outcome.node, "");
    EXPECT_EQ(outcome.message,
              "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu.");
}

TEST_F(FrameworkTest, EachFilterKeepsOut) {
    auto cordoned = node("cordoned");
    cordoned->mutable_spec()->set_unschedulable(true);
    cache.set_node(cordoned);
    const auto why = [&](const Pod& p) { return run(p).message.substr(25); };
    EXPECT_EQ(why(*pod("p")), "1 node(s) were unschedulable.");
    cache.remove_node("cordoned");
    cache.set_node(node("n"));
    auto picky = pod("p");
    (*picky->mutable_spec()->mutable_nodeselector())["disk"] = "ssd";
    EXPECT_EQ(why(*picky), "1 node(s) didn't match Pod's node affinity/selector.");
    auto named = pod("p");
    named->mutable_spec()->set_nodename("other");
    EXPECT_EQ(why(*named), "1 node(s) didn't match the requested node name.");
    auto port = pod("p");
    port->mutable_spec()->mutable_containers(0)->add_ports()->set_hostport(80);
    auto there = api::copy(*port);
    there->mutable_metadata()->set_name("there");
    there->mutable_spec()->set_nodename("n");
    cache.set_pod(there);
    EXPECT_EQ(why(*port), "1 node(s) didn't have free ports for the requested pod ports.");
    EXPECT_EQ(why(*pod("p", "5", "9Gi")), "1 Insufficient cpu, 1 Insufficient memory.");
    auto gpu = pod("p");
    (*gpu->mutable_spec()
          ->mutable_containers(0)
          ->mutable_resources()
          ->mutable_requests())["example.com/gpu"]
        .set_string("1");
    EXPECT_EQ(why(*gpu), "1 Insufficient example.com/gpu.");
    auto full = node("n");
    (*full->mutable_status()->mutable_allocatable())["pods"].set_string("1");
    cache.set_node(full);
    EXPECT_EQ(why(*pod("p")), "1 Too many pods.");
    cache.remove_pod("default/there");
    EXPECT_EQ(run(*pod("p")).node, "n");
}

TEST_F(FrameworkTest, AffinityWithItsOperators) {
    for (int i = 0; i < 3; ++i) {
        auto n = node("n" + std::to_string(i));
        (*n->mutable_metadata()->mutable_labels())["gen"] = std::to_string(i);
        cache.set_node(n);
    }
    const auto place = [&](const char* op, const char* value) {
        auto p = pod("p");
        auto* r = p->mutable_spec()
                      ->mutable_affinity()
                      ->mutable_nodeaffinity()
                      ->mutable_requiredduringschedulingignoredduringexecution()
                      ->add_nodeselectorterms()
                      ->add_matchexpressions();
        r->set_key("gen");
        r->set_operator_(op);
        if (*value != 0) r->add_values(value);
        return run(*p);
    };
    EXPECT_EQ(place("In", "1").node, "n1");
    EXPECT_EQ(place("Gt", "1").node, "n2");
    EXPECT_EQ(place("Lt", "1").node, "n0");
    EXPECT_EQ(place("NotIn", "1").feasible, 2U);
    EXPECT_EQ(place("Exists", "").feasible, 3U);
    EXPECT_EQ(place("DoesNotExist", "").feasible, 0U);
    auto wishes = pod("p");
    auto* wish = wishes->mutable_spec()
                     ->mutable_affinity()
                     ->mutable_nodeaffinity()
                     ->add_preferredduringschedulingignoredduringexecution();
    wish->set_weight(10);
    auto* field = wish->mutable_preference()->add_matchfields();
    field->set_key("metadata.name");
    field->set_operator_("In");
    field->add_values("n2");
    for (int i = 0; i < 5; ++i)
        EXPECT_EQ(run(*wishes).node, "n2");
}

TEST_F(FrameworkTest, PrefersFreeAndUntaintedNodes) {
    cache.set_node(node("busy"));
    cache.set_node(node("idle"));
    auto there = pod("there", "2", "4Gi");
    there->mutable_spec()->set_nodename("busy");
    cache.set_pod(there);
    for (int i = 0; i < 5; ++i)
        EXPECT_EQ(run(*pod("p", "1", "1Gi")).node, "idle");
    auto avoided = node("idle");
    taint(avoided.get(), "a", "PreferNoSchedule");
    cache.set_node(avoided);
    for (int i = 0; i < 5; ++i)
        EXPECT_EQ(run(*pod("p", "1", "1Gi")).node, "busy");
}

TEST_F(FrameworkTest, AssumedPodsTakeRoomUntilForgotten) {
    cache.set_node(node("n", "1"));
    const auto p = pod("p", "1");
    cache.assume(p, "n");
    EXPECT_EQ(run(*pod("q", "1")).node, "");
    cache.set_pod(p);  // an update of the unbound pod does not undo it
    EXPECT_EQ(run(*pod("q", "1")).node, "");
    cache.forget("default/p");
    EXPECT_EQ(run(*pod("q", "1")).node, "n");
    cache.assume(p, "n");
    auto bound = api::copy(*p);
    bound->mutable_spec()->set_nodename("n");
    cache.set_pod(bound);
    cache.forget("default/p");  // confirmed: no longer assumed
    EXPECT_EQ(run(*pod("q", "1")).node, "");
}

TEST(Requests, CountInitContainersSidecarsAndOverhead) {
    auto p = pod("p", "1", "1Gi");
    auto* init = p->mutable_spec()->add_initcontainers();
    (*init->mutable_resources()->mutable_requests())["cpu"].set_string("3");
    EXPECT_EQ(scheduler::requests_of(*p).milli_cpu, 3000);
    auto* sidecar = p->mutable_spec()->add_initcontainers();
    sidecar->set_restartpolicy("Always");
    (*sidecar->mutable_resources()->mutable_requests())["cpu"].set_string("2500m");
    EXPECT_EQ(scheduler::requests_of(*p).milli_cpu, 3500);
    (*p->mutable_spec()->mutable_overhead())["cpu"].set_string("100m");
    EXPECT_EQ(scheduler::requests_of(*p).milli_cpu, 3600);
    EXPECT_EQ(scheduler::scored_requests_of(*pod("q")).milli_cpu, 100);
}

class QueueTest : public ::testing::Test {
  protected:
    std::string next() {
        const auto p = queue.pop(now);
        return p == nullptr ? "" : p->metadata().name();
    }
    scheduler::Queue queue{scheduler::QueueOptions()};
    scheduler::Queue::Time now{};
};

TEST_F(QueueTest, GivesByPriorityThenByArrival) {
    queue.set(pod("a"), now);
    queue.set(pod("b"), now);
    auto important = pod("c");
    important->mutable_spec()->set_priority(5);
    queue.set(important, now);
    EXPECT_EQ(next(), "c");
    EXPECT_EQ(next(), "a");
    EXPECT_EQ(next(), "b");
    EXPECT_EQ(next(), "");
}

TEST_F(QueueTest, BacksOffOneToTenSeconds) {
    queue.set(pod("a"), now);
    for (const int seconds : {1, 2, 4, 8, 10, 10}) {
        EXPECT_EQ(next(), "a");
        queue.failed("default/a", now, true);
        now += milliseconds(seconds * 1000 - 1);
        EXPECT_EQ(next(), "");
        EXPECT_EQ(*queue.next_due(), now + milliseconds(1));
        now += milliseconds(1);
    }
}

TEST_F(QueueTest, TheUnschedulableWaitForAChangeOrFiveMinutes) {
    queue.set(pod("a"), now);
    EXPECT_EQ(next(), "a");
    queue.failed("default/a", now, false);
    now += milliseconds(60 * 1000);
    EXPECT_EQ(next(), "");
    queue.move_all(now);
    EXPECT_EQ(next(), "a");
    queue.failed("default/a", now, false);
    now += milliseconds(100);
    queue.move_all(now);  // still backing off
    EXPECT_EQ(next(), "");
    EXPECT_EQ(queue.backing_off(), 1U);
    now += milliseconds(2000);
    EXPECT_EQ(next(), "a");
    queue.failed("default/a", now, false);
    now += std::chrono::minutes(5);
    EXPECT_EQ(next(), "a");
}

TEST_F(QueueTest, OnlyAChangeThatMattersBringsAPodBack) {
    queue.set(pod("a"), now);
    EXPECT_EQ(next(), "a");
    queue.failed("default/a", now, false);
    now += milliseconds(5000);
    auto told = pod("a");
    told->mutable_metadata()->set_resourceversion("2");
    told->mutable_status()->add_conditions()->set_type("PodScheduled");
    queue.set(told, now);
    EXPECT_EQ(queue.unschedulable(), 1U);
    auto changed = api::copy(*told);
    changed->mutable_metadata()->set_resourceversion("3");
    (*changed->mutable_spec()->mutable_nodeselector())["a"] = "b";
    queue.set(changed, now);
    EXPECT_EQ(next(), "a");
    queue.remove("default/a");
    EXPECT_FALSE(queue.contains("default/a"));
}

class SchedulerTest : public ::testing::Test {
  protected:
    SchedulerTest() { loop.start(); }
    std::unique_ptr<scheduler::Scheduler> make() {
        scheduler::SchedulerOptions options;
        options.identity = "me";
        options.first_backoff = milliseconds(20);
        options.max_backoff = milliseconds(50);
        return std::make_unique<scheduler::Scheduler>(loop, fake, options);
    }
    std::string node_of(const std::string& name) const {
        const auto p = fake->find<Pod>("default/" + name);
        return p == nullptr ? "?" : p->spec().nodename();
    }
    base::Loop loop{"test"};
    std::shared_ptr<api::FakeClient> fake = std::make_shared<api::FakeClient>();
    std::shared_ptr<api::Client> client = fake;
};

TEST_F(SchedulerTest, BindsWhenThereIsRoomAndSaysWhenThereIsNone) {
    test::on_loop(loop, [this]() -> base::Awaitable<void> {
        auto scheduler = make();
        fake->put(node("n1", "1"));
        scheduler->start();
        (void)co_await client->create<Pod>(pod("first", "1"));
        EXPECT_TRUE(co_await test::eventually([this] { return node_of("first") == "n1"; }));
        (void)co_await client->create<Pod>(pod("second", "1"));
        auto refused = [this] {
            const auto p = fake->find<Pod>("default/second");
            return p->status().conditions_size() == 1 &&
                   p->status().conditions(0).reason() == "Unschedulable" &&
                   p->status().conditions(0).message() ==
                       "0/1 nodes are available: 1 Insufficient cpu.";
        };
        EXPECT_TRUE(co_await test::eventually(refused));
        auto events = [this] {
            std::set<std::string> reasons;
            for (const auto& event : fake->all<api::core::Event>())
                reasons.insert(event->reason() + ": " + event->message());
            return reasons.count("Scheduled: Successfully assigned default/first to n1") == 1 &&
                   reasons.count(
                       "FailedScheduling: 0/1 nodes are available: 1 Insufficient "
                       "cpu.") == 1;
        };
        EXPECT_TRUE(co_await test::eventually(events));
        fake->put(node("n2", "1"));
        EXPECT_TRUE(co_await test::eventually([this] { return node_of("second") == "n2"; }));
        (void)co_await client->create<Pod>(pod("third", "1"));
        (void)co_await base::sleep_for(base::Millis(50));
        EXPECT_EQ(node_of("third"), "");
        fake->erase(api::resource_of<Pod>(), "default/first");
        EXPECT_TRUE(co_await test::eventually([this] { return node_of("third") == "n1"; }));
        co_await scheduler->stop();
    });
}

TEST_F(SchedulerTest, NeverOverbooksWhileBindingsAreUnderWayOrFail) {
    test::on_loop(loop, [this]() -> base::Awaitable<void> {
        auto scheduler = make();
        for (int i = 0; i < 10; ++i)
            fake->put(node("n" + std::to_string(i), "2"));
        int failures = 5;
        fake->reactor = [&](const api::FakeClient::Action& a) -> std::optional<base::Error> {
            if (a.subresource == "binding" && failures-- > 0) return base::unavailable("no quorum");
            return std::nullopt;
        };
        scheduler->start();
        for (int i = 0; i < 20; ++i)
            (void)co_await client->create<Pod>(pod("p" + std::to_string(i), "1"));
        auto all_bound = [this] {
            for (int i = 0; i < 20; ++i)
                if (node_of("p" + std::to_string(i)).empty()) return false;
            return true;
        };
        EXPECT_TRUE(co_await test::eventually(all_bound));
        std::map<std::string, int> on_node;
        for (const auto& p : fake->all<Pod>())
            ++on_node[p->spec().nodename()];
        for (const auto& [name, count] : on_node)
            EXPECT_EQ(count, 2) << name;
        co_await scheduler->stop();
    });
}

TEST_F(SchedulerTest, LeavesOthersPodsAndGatedPodsAlone) {
    test::on_loop(loop, [this]() -> base::Awaitable<void> {
        auto scheduler = make();
        fake->put(node("n1"));
        auto others = pod("others");
        others->mutable_spec()->set_schedulername("another");
        auto gated = pod("gated");
        gated->mutable_spec()->add_schedulinggates()->set_name("wait");
        fake->put(others);
        fake->put(gated);
        fake->put(pod("mine"));
        scheduler->start();
        EXPECT_TRUE(co_await test::eventually([this] { return node_of("mine") == "n1"; }));
        EXPECT_EQ(node_of("others"), "");
        EXPECT_EQ(node_of("gated"), "");
        auto open = api::copy(*fake->find<Pod>("default/gated"));
        open->mutable_spec()->clear_schedulinggates();
        fake->put(open);
        EXPECT_TRUE(co_await test::eventually([this] { return node_of("gated") == "n1"; }));
        co_await scheduler->stop();
    });
}

}  // namespace
