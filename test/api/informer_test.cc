#include "api/informer.h"

#include "api/fake_client.h"
#include "api/proto/core_v1_config.pb.h"
#include "api/status.h"
#include "test/api/on_loop.h"

namespace {

using api::core::ConfigMap;

std::shared_ptr<ConfigMap> config(std::string ns, std::string name, std::string value = "1") {
    auto out = std::make_shared<ConfigMap>();
    out->mutable_metadata()->set_namespace_(std::move(ns));
    out->mutable_metadata()->set_name(std::move(name));
    (*out->mutable_data())["v"] = std::move(value);
    return out;
}

struct Seen {
    std::vector<std::string> lines;
    void operator()(const api::ObjectPtr& before, const api::ObjectPtr& now) {
        const char* what = before == nullptr ? "+" : now == nullptr ? "-" : "~";
        lines.push_back(what + api::key_of(now != nullptr ? *now : *before));
    }
};

class InformerTest : public ::testing::Test {
  protected:
    InformerTest() {
        loop.start();
        api::InformerOptions options;
        options.first_backoff = base::Millis(10);
        informer =
            std::make_unique<api::Informer>(loop, client, api::resource_of<ConfigMap>(), options);
        informer->on_change([this](const auto& before, const auto& now) { seen(before, now); });
    }
    base::Awaitable<void> synced() {
        informer->start();
        EXPECT_TRUE(co_await test::eventually([this] { return informer->has_synced(); }));
    }
    base::Awaitable<void> saw(std::string line) {
        auto there = [this, &line] {
            return std::find(seen.lines.begin(), seen.lines.end(), line) != seen.lines.end();
        };
        EXPECT_TRUE(co_await test::eventually(there)) << line;
    }
    base::Loop loop{"test"};
    std::shared_ptr<api::FakeClient> client = std::make_shared<api::FakeClient>();
    std::unique_ptr<api::Informer> informer;
    Seen seen;
};

TEST_F(InformerTest, ListsThenFollowsTheWatch) {
    test::on_loop(loop, [this]() -> base::Awaitable<void> {
        client->put(config("a", "one"));
        client->put(config("b", "two"));
        co_await synced();
        EXPECT_EQ(seen.lines, (std::vector<std::string>{"+a/one", "+b/two"}));
        client->put(config("a", "three"));
        co_await saw("+a/three");
        client->put(config("a", "one", "2"));
        co_await saw("~a/one");
        EXPECT_EQ(informer->get_as<ConfigMap>("a/one")->data().at("v"), "2");
        client->erase(api::resource_of<ConfigMap>(), "b/two");
        co_await saw("-b/two");
        EXPECT_EQ(informer->get("b/two"), nullptr);
        EXPECT_EQ(informer->in_namespace("a").size(), 2U);
        EXPECT_EQ(informer->in_namespace("b").size(), 0U);
        EXPECT_EQ(informer->lists(), 1);
        co_await informer->stop();
    });
}

TEST_F(InformerTest, ResumesAClosedWatchFromTheLastVersionWithoutAList) {
    test::on_loop(loop, [this]() -> base::Awaitable<void> {
        co_await synced();
        client->send_bookmarks();
        client->close_watches();
        client->put(config("a", "meanwhile"));
        co_await saw("+a/meanwhile");
        EXPECT_EQ(informer->lists(), 1);
        co_await informer->stop();
    });
}

TEST_F(InformerTest, ListsAgainWhenItsVersionHasExpired) {
    test::on_loop(loop, [this]() -> base::Awaitable<void> {
        client->put(config("a", "kept"));
        client->put(config("a", "lost"));
        co_await synced();
        client->erase(api::resource_of<ConfigMap>(), "a/lost");
        client->put(config("a", "fresh"));
        client->expire_history();
        client->close_watches();
        co_await saw("-a/lost");
        co_await saw("+a/fresh");
        co_await informer->stop();
    });
}

TEST_F(InformerTest, KeepsTryingWhileTheServerFails) {
    test::on_loop(loop, [this]() -> base::Awaitable<void> {
        int failures = 3;
        client->reactor =
            [&failures](const api::FakeClient::Action&) -> std::optional<base::Error> {
            if (failures-- > 0) return base::unavailable("not now");
            return std::nullopt;
        };
        client->put(config("a", "one"));
        co_await synced();
        EXPECT_EQ(informer->size(), 1U);
        co_await informer->stop();
    });
}

TEST_F(InformerTest, FindsByControllerAndByOwnIndexes) {
    test::on_loop(loop, [this]() -> base::Awaitable<void> {
        informer->index_by_controller();
        informer->add_index("value", [](const api::Message& object) {
            return std::vector<std::string>{api::as<ConfigMap>(object).data().at("v")};
        });
        auto owned = config("a", "owned", "x");
        auto* owner = owned->mutable_metadata()->add_ownerreferences();
        owner->set_uid("u1");
        owner->set_controller(true);
        client->put(owned);
        client->put(config("a", "free", "x"));
        co_await synced();
        EXPECT_EQ(informer->by_index(api::Informer::kByController, "u1").size(), 1U);
        EXPECT_EQ(informer->by_index("value", "x").size(), 2U);
        client->put(config("a", "free", "y"));
        co_await saw("~a/free");
        EXPECT_EQ(informer->by_index("value", "x").size(), 1U);
        EXPECT_EQ(informer->by_index("value", "y").size(), 1U);
        EXPECT_EQ(informer->by_index("value", "z").size(), 0U);
        co_await informer->stop();
    });
}

}  // namespace
