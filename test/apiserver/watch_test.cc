#include "apiserver/http/watch.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include "api/codec/envelope.h"
#include "api/object.h"
#include "api/proto/core_v1_config.pb.h"
#include "api/v1.h"
#include "apiserver/cache/object_cache.h"
#include "base/coro.h"
#include "kvstore/mvcc/event.h"
#include "kvstore/mvcc/record.h"

namespace apiserver {
namespace {

class WatchTest : public testing::Test {
  protected:
    const api::ResourceInfo& resource_ = *api::find_kind("v1", "ConfigMap");
    ObjectCache cache_{resource_};
    std::int64_t revision_ = 1;

    void SetUp() override { cache_.loaded(revision_); }

    static std::string key(const std::string& name) { return "/registry/configmaps/n/" + name; }

    void raw_put(const std::string& name, const std::string& value) {
        kvstore::RecordView record;
        const std::string k = key(name);
        record.key = k;
        record.mod_revision = ++revision_;
        record.value = value;
        cache_.apply({.key = k, .record = record.encode()});
    }
    void put(const std::string& name, const std::string& color, std::size_t size = 0) {
        api::core::ConfigMap object;
        object.mutable_metadata()->set_name(name);
        object.mutable_metadata()->set_namespace_("n");
        (*object.mutable_metadata()->mutable_labels())["color"] = color;
        if (size > 0) (*object.mutable_data())["d"] = std::string(size, 'x');
        raw_put(name, api::encode_envelope({"v1", "ConfigMap"}, object));
    }
    void remove(const std::string& name) {
        kvstore::RecordView record;
        const std::string k = key(name);
        record.key = k;
        record.mod_revision = ++revision_;
        cache_.apply({.is_delete = true, .key = k, .record = record.encode()});
    }

    base::Result<std::shared_ptr<CacheWatch>> open(std::int64_t since, std::string_view labels = "",
                                                   bool initial = false) {
        CacheWatch::Options options;
        options.selection = Selection::parse(resource_, "n", "", labels, "").value();
        options.since = since;
        options.initial_events = initial;
        return CacheWatch::open(loop_, cache_, revision_, std::move(options));
    }

    // The next `n` items, as "ADDED a@2"; "over: <why>" for the end.
    std::string read(CacheWatch& watch, int n) {
        std::string out;
        boost::asio::co_spawn(loop_.context(), read_into(watch, n, &out), boost::asio::detached);
        loop_.context().restart();
        loop_.context().poll();
        return out;
    }

    base::Loop loop_{"test"};

  private:
    static base::Awaitable<void> read_into(CacheWatch& watch, int n, std::string* out) {
        static constexpr const char* kNames[] = {"ADDED", "MODIFIED", "DELETED", "BOOKMARK"};
        for (int i = 0; i < n; ++i) {
            auto item = co_await watch.next();
            if (!out->empty()) *out += ", ";
            if (!item) {
                *out += "over: " + watch.ended().error().message;
                co_return;
            }
            *out += kNames[static_cast<int>(item->type)];
            if (item->object)
                *out += fmt::format(" {}@{}", api::meta_of(*item->object->object()).name(),
                                    item->object->revision());
        }
    }
};

TEST_F(WatchTest, BeginsWithTheStateOrAfterAVersion) {
    put("a", "red");
    put("b", "red");
    const auto from_start = open(0).value();
    EXPECT_EQ(read(*from_start, 2), "ADDED a@2, ADDED b@3");
    const auto initial = open(0, "", true).value();
    EXPECT_EQ(read(*initial, 3), "ADDED a@2, ADDED b@3, BOOKMARK");
    const auto later = open(2).value();
    put("a", "blue");
    remove("b");
    EXPECT_EQ(read(*later, 3), "ADDED b@3, MODIFIED a@4, DELETED b@5");
}

TEST_F(WatchTest, AChangeIntoTheSelectionAddsAndOneOutOfItDeletes) {
    const auto watch = open(1, "color=red").value();
    put("a", "blue");
    put("a", "red");
    put("a", "red");
    put("a", "blue");
    put("a", "red");
    remove("a");
    EXPECT_EQ(read(*watch, 5), "ADDED a@3, MODIFIED a@4, DELETED a@5, ADDED a@6, DELETED a@7");
}

TEST_F(WatchTest, BytesThatAreNoObjectDeleteWhatWasThere) {
    const auto watch = open(1).value();
    raw_put("a", "garbage");
    put("a", "red");
    raw_put("a", "garbage");
    EXPECT_EQ(read(*watch, 2), "ADDED a@3, DELETED a@4");
}

TEST_F(WatchTest, AVersionThatIsNoLongerKeptIsExpired) {
    for (int i = 0; i < 20; ++i)
        put("a", "red", 1 << 20);
    const auto watch = open(2);
    ASSERT_FALSE(watch.has_value());
    EXPECT_EQ(watch.error().code, base::Code::kOutOfRange) << watch.error().message;
}

TEST_F(WatchTest, AReaderThatIsTooSlowIsCutOffAndHoldsNothing) {
    const auto watch = open(1).value();
    std::weak_ptr<const Cached> first;
    for (int i = 0; i < 15; ++i) {
        put("a", "red", 1 << 20);
        if (i == 0) first = cache_.find(key("a"));
    }
    EXPECT_FALSE(first.expired()) << "15 MiB are within the bound";
    for (int i = 0; i < 15; ++i)
        put("a", "red", 1 << 20);
    EXPECT_TRUE(first.expired()) << "what was not read is still held";
    EXPECT_EQ(read(*watch, 1), "over: the watch is read too slowly");
}

TEST_F(WatchTest, TheInitialStateMayBeLargerThanTheBound) {
    for (int i = 0; i < 20; ++i)
        put("a" + std::to_string(i), "red", 1 << 20);
    const auto watch = open(0).value();
    put("b", "red", 1 << 20);
    EXPECT_TRUE(read(*watch, 21).ends_with("ADDED b@22"));
}

}  // namespace
}  // namespace apiserver
