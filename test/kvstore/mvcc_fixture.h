#pragma once
// A store on LevelDB in a directory of its own, with short ways to say what a test does.

#include <gtest/gtest.h>

#include <filesystem>

#include "base/random.h"
#include "kvstore/mvcc/store.h"
#include "kvstore/proto/rpc.pb.h"

namespace kvstore {

class MvccTest : public testing::Test {
  protected:
    MvccTest()
        : directory_(std::filesystem::temp_directory_path() / ("mvcc-" + base::random_uuid())) {
        open();
    }
    ~MvccTest() override {
        store_.reset();
        db_.reset();
        std::filesystem::remove_all(directory_);
    }

    void open() {
        store_.reset();
        db_.reset();
        Database::Options options;
        options.directory = directory_;
        options.slice_bytes = 200;
        auto db = Database::open(options);
        ASSERT_TRUE(db) << db.error().message;
        db_ = std::move(*db);
        store_ = std::make_unique<MvccStore>(*db_);
        store_->on_events = [this](RevisionEventsPtr e) { events_.push_back(std::move(e)); };
    }

    std::int64_t put(const std::string& key, const std::string& value, std::int64_t lease = 0) {
        etcdserverpb::PutRequest r;
        r.set_key(key);
        r.set_value(value);
        r.set_lease(lease);
        auto out = store_->put(r);
        EXPECT_TRUE(out) << out.error().message;
        return store_->revision();
    }
    std::int64_t del(const std::string& key, const std::string& end = "") {
        etcdserverpb::DeleteRangeRequest r;
        r.set_key(key);
        r.set_range_end(end);
        return store_->delete_range(r)->deleted();
    }
    static etcdserverpb::RangeRequest range_request(const std::string& key,
                                                    const std::string& end = "",
                                                    std::int64_t revision = 0) {
        etcdserverpb::RangeRequest r;
        r.set_key(key);
        r.set_range_end(end);
        r.set_revision(revision);
        return r;
    }
    // "k=v@mod k=v@mod …"
    std::string show(const std::string& key, const std::string& end = "",
                     std::int64_t revision = 0) {
        auto out = store_->range(range_request(key, end, revision));
        if (!out) return out.error().message;
        std::string text;
        for (const auto& kv : out->kvs())
            text += (text.empty() ? "" : " ") + kv.key() + "=" + kv.value() + "@" +
                    std::to_string(kv.mod_revision());
        return text;
    }

    std::filesystem::path directory_;
    std::shared_ptr<Database> db_;
    std::unique_ptr<MvccStore> store_;
    std::vector<RevisionEventsPtr> events_;
};

}  // namespace kvstore
