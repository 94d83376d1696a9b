// What a machine does with data that another version of the program wrote.

#include <gtest/gtest.h>

#include <filesystem>

#include "base/random.h"
#include "kvstore/machine.h"
#include "kvstore/mvcc/schema.h"

namespace kvstore {
namespace {

TEST(MachineFormat, ADatabaseOfAnotherVersionIsRefusedAndStaysAsItIs) {
    const auto root = std::filesystem::temp_directory_path() / ("machine-" + base::random_uuid());
    std::filesystem::create_directories(root);
    const auto open = [&] {
        Machine::Options options;
        options.directory = root;
        options.now_ms = [] { return 0; };
        return Machine::open(std::move(options));
    };
    ASSERT_TRUE(open());  // and marks it
    ASSERT_TRUE(open());
    for (const std::string& format : {std::string(), schema::encode_number(2)}) {
        {
            auto machine = open();
            ASSERT_TRUE(machine);
            Database& db = (*machine)->database();
            db.put("ca", "a record of then");
            if (format.empty())
                db.erase(schema::kMetaFormat);
            else
                db.put(schema::kMetaFormat, format);
            db.commit();
            ASSERT_TRUE(db.sync());
        }
        for (int i = 0; i < 2; ++i) {
            const auto machine = open();
            ASSERT_FALSE(machine);
            EXPECT_EQ(machine.error().code, base::Code::kFailedPrecondition);
            EXPECT_TRUE(machine.error().message.starts_with(root.string()));
        }
        EXPECT_FALSE(std::filesystem::exists(root.string() + ".damaged"));
        Database::Options options;
        options.directory = root / "0";
        const auto db = Database::open(options);
        ASSERT_TRUE(db);
        EXPECT_EQ((*db)->get("ca"), "a record of then");
        (*db)->put(schema::kMetaFormat, schema::encode_number(schema::kFormat));
        (*db)->commit();
        ASSERT_TRUE((*db)->sync());
    }
    std::filesystem::remove_all(root);
}

}  // namespace
}  // namespace kvstore
