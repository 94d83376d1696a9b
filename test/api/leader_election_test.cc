#include "api/leader_election.h"

#include "api/events.h"
#include "api/fake_client.h"
#include "api/proto/core_v1_config.pb.h"
#include "test/api/on_loop.h"

namespace {

using api::coordination::Lease;

struct Candidate {
    Candidate(base::Loop& loop, std::shared_ptr<api::Client> client, std::string identity,
              base::Millis lease = base::Millis(1000))
        : elector(
              loop, std::move(client), options(std::move(identity), lease), [this] { ++started; },
              [this] { return on_stopped(this); }) {}
    static api::LeaderElectionOptions options(std::string identity, base::Millis lease) {
        api::LeaderElectionOptions out;
        out.name = "test";
        out.identity = std::move(identity);
        out.lease = lease;
        out.renew_deadline = base::Millis(300);
        out.retry = base::Millis(20);
        return out;
    }
    static base::Awaitable<void> on_stopped(Candidate* self) {
        (void)co_await base::sleep_for(base::Millis(5));
        ++self->stopped;
    }
    int started = 0;
    int stopped = 0;
    api::LeaderElector elector;
};

class LeaderElectionTest : public ::testing::Test {
  protected:
    LeaderElectionTest() { loop.start(); }
    base::Loop loop{"test"};
    std::shared_ptr<api::FakeClient> client = std::make_shared<api::FakeClient>();
};

TEST_F(LeaderElectionTest, OneLeadsAndHandsOverWhenItStops) {
    test::on_loop(loop, [this]() -> base::Awaitable<void> {
        // Nobody here waits for a lease of an hour to run out.
        Candidate a(loop, client, "a", std::chrono::hours(1));
        Candidate b(loop, client, "b", std::chrono::hours(1));
        a.elector.start();
        EXPECT_TRUE(co_await test::eventually([&a] { return a.elector.leading(); }));
        b.elector.start();
        (void)co_await base::sleep_for(base::Millis(150));
        EXPECT_FALSE(b.elector.leading());
        EXPECT_EQ(b.elector.holder(), "a");
        co_await a.elector.stop();
        EXPECT_EQ(a.stopped, 1);
        EXPECT_EQ(client->find<Lease>("kube-system/test")->spec().holderidentity(), "");
        EXPECT_TRUE(co_await test::eventually([&b] { return b.elector.leading(); }));
        EXPECT_EQ(client->find<Lease>("kube-system/test")->spec().leasetransitions(), 1);
        co_await b.elector.stop();
    });
}

TEST_F(LeaderElectionTest, ALeaseThatNobodyRenewsIsTakenAfterItsDurationAsSeenHere) {
    test::on_loop(loop, [this]() -> base::Awaitable<void> {
        auto lease = std::make_shared<Lease>();
        lease->mutable_metadata()->set_namespace_("kube-system");
        lease->mutable_metadata()->set_name("test");
        lease->mutable_spec()->set_holderidentity("dead");
        lease->mutable_spec()->set_leasedurationseconds(1);
        // What the dead one's clock said does not matter.
        lease->mutable_spec()->mutable_renewtime()->set_seconds(1);
        client->put(lease);
        Candidate b(loop, client, "b");
        const auto began = std::chrono::steady_clock::now();
        b.elector.start();
        EXPECT_TRUE(co_await test::eventually([&b] { return b.elector.leading(); }));
        EXPECT_GE(std::chrono::steady_clock::now() - began, base::Millis(990));
        co_await b.elector.stop();
    });
}

TEST_F(LeaderElectionTest, WhoCannotRenewStopsLeadingAndComesBack) {
    test::on_loop(loop, [this]() -> base::Awaitable<void> {
        Candidate a(loop, client, "a");
        a.elector.start();
        EXPECT_TRUE(co_await test::eventually([&a] { return a.elector.leading(); }));
        client->reactor = [](const api::FakeClient::Action&) -> std::optional<base::Error> {
            return base::unavailable("no quorum");
        };
        EXPECT_TRUE(co_await test::eventually([&a] { return a.stopped == 1; }));
        EXPECT_FALSE(a.elector.leading());
        client->reactor = nullptr;
        EXPECT_TRUE(co_await test::eventually([&a] { return a.elector.leading(); }));
        EXPECT_EQ(a.started, 2);
        co_await a.elector.stop();
        EXPECT_EQ(a.stopped, 2);
    });
}

TEST_F(LeaderElectionTest, WhoseLeaseWasTakenStopsAtOnce) {
    test::on_loop(loop, [this]() -> base::Awaitable<void> {
        Candidate a(loop, client, "a");
        a.elector.start();
        EXPECT_TRUE(co_await test::eventually([&a] { return a.elector.leading(); }));
        auto stolen = api::copy(*client->find<Lease>("kube-system/test"));
        stolen->mutable_spec()->set_holderidentity("thief");
        client->put(stolen);
        EXPECT_TRUE(co_await test::eventually([&a] { return a.stopped == 1; }));
        EXPECT_EQ(a.elector.holder(), "thief");
        co_await a.elector.stop();
        EXPECT_EQ(a.stopped, 1);
    });
}

TEST_F(LeaderElectionTest, EventsThatRepeatCountUpInOne) {
    test::on_loop(loop, [this]() -> base::Awaitable<void> {
        api::EventRecorderOptions options;
        options.component = "tester";
        api::EventRecorder events(loop, client, options);
        events.start();
        auto map = std::make_shared<api::core::ConfigMap>();
        map->mutable_metadata()->set_namespace_("a");
        map->mutable_metadata()->set_name("m");
        const auto about = client->put(map);
        for (int i = 0; i < 3; ++i)
            events.normal(*about, "Done", "all is done");
        events.warning(*about, "Failed", "it failed");
        auto written = [this] {
            const auto all = client->all<api::core::Event>();
            return all.size() == 2 && std::any_of(all.begin(), all.end(), [](const auto& e) {
                       return e->count() == 3 && e->reason() == "Done" && e->type() == "Normal" &&
                              e->involvedobject().kind() == "ConfigMap" &&
                              e->source().component() == "tester";
                   });
        };
        EXPECT_TRUE(co_await test::eventually(written));
        // It expired: the next one begins again.
        for (const auto& event : client->all<api::core::Event>())
            client->erase(api::resource_of<api::core::Event>(), api::key_of(*event));
        events.normal(*about, "Done", "all is done");
        auto again = [this] {
            const auto all = client->all<api::core::Event>();
            return all.size() == 1 && all[0]->count() == 1;
        };
        EXPECT_TRUE(co_await test::eventually(again));
        co_await events.stop();
    });
}

}  // namespace
