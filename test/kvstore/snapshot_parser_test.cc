#include "kvstore/mvcc/snapshot_parser.h"

#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/random.h"
#include "kvstore/mvcc/schema.h"
#include "kvstore/mvcc/snapshot.h"
#include "test/kvstore/mvcc_fixture.h"

namespace kvstore {
namespace {

using Entries = std::vector<std::pair<std::string, std::string>>;

class SnapshotParserTest : public MvccTest {
  protected:
    // What SnapshotSource writes of a small store.
    std::string stream() {
        put("a", "1");
        put("b", std::string(300, 'x'));
        put("empty", "");
        del("a");
        db_->commit();
        SnapshotSource source(*db_);
        std::string out;
        for (;;) {
            const std::string chunk = source.next_chunk(64);
            if (chunk.empty()) return out;
            out += chunk;
        }
    }
    static base::Status parse(std::string_view bytes, std::size_t piece, Entries* out = nullptr) {
        SnapshotParser parser([&](std::string_view key, std::string_view value) {
            if (out != nullptr) out->emplace_back(key, value);
        });
        for (std::size_t at = 0; at < bytes.size(); at += piece)
            TRY_VOID(parser.add(bytes.substr(at, piece)));
        if (!parser.complete()) return base::data_loss("not complete");
        return {};
    }
};

TEST_F(SnapshotParserTest, TheEntriesComeHoweverTheStreamIsCut) {
    const std::string bytes = stream();
    Entries whole;
    ASSERT_TRUE(parse(bytes, bytes.size(), &whole));
    EXPECT_GT(whole.size(), 5u);
    for (std::size_t piece = 1; piece < 40; ++piece) {
        Entries cut;
        ASSERT_TRUE(parse(bytes, piece, &cut)) << piece;
        EXPECT_EQ(cut, whole) << piece;
    }
}

TEST_F(SnapshotParserTest, OneOfAnotherVersionIsRefused) {
    std::string bytes = stream();
    for (const char version : {'1', '2', '3', '5'}) {
        bytes[snapshot_format::kMagic.size() - 2] = version;
        bytes.resize(bytes.size() - sizeof(std::uint32_t));
        base::append_le(&bytes, base::crc32c(bytes));
        for (const std::size_t piece : {1U, 100U}) {
            const base::Status status = parse(bytes, piece);
            ASSERT_FALSE(status);
            EXPECT_TRUE(status.error().message.starts_with("not a snapshot of Coxswain"));
        }
    }
}

TEST_F(SnapshotParserTest, NoPrefixIsComplete) {
    const std::string bytes = stream();
    for (std::size_t size = 0; size < bytes.size(); ++size)
        EXPECT_FALSE(parse(std::string_view(bytes).substr(0, size), 7)) << size;
}

TEST_F(SnapshotParserTest, EveryFlippedBitIsFound) {
    const std::string bytes = stream();
    for (std::size_t at = 0; at < bytes.size(); ++at) {
        for (int bit = 0; bit < 8; ++bit) {
            std::string bad = bytes;
            bad[at] = static_cast<char>(bad[at] ^ (1 << bit));
            ASSERT_FALSE(parse(bad, 100)) << "byte " << at << " bit " << bit;
        }
    }
}

TEST_F(SnapshotParserTest, NothingMayStandBehindTheEnd) {
    const std::string bytes = stream();
    EXPECT_FALSE(parse(bytes + std::string(1, '\0'), 50));
    EXPECT_FALSE(parse(bytes + "x", bytes.size()));
}

// Found out when it is put in use it would end the member.
TEST_F(SnapshotParserTest, WholeButWithWhatCannotBeReadItIsNotInstalled) {
    DatabaseDirectory to(directory_ / "to", {});
    ASSERT_TRUE(to.open());
    const auto install = [&] {
        auto installer = to.install().value();
        EXPECT_TRUE(installer->add(stream()));
        return installer->seal();
    };
    const auto refused = [&] {
        const base::Status status = install();
        return status ? std::string() : status.error().message;
    };
    EXPECT_EQ(refused(), "the snapshot does not say that it is of this format");
    db_->put(schema::kMetaFormat, schema::encode_number(schema::kFormat));
    EXPECT_EQ(refused(), "");
    db_->put(schema::lease_key(7), "\xff");
    EXPECT_EQ(refused(), "the snapshot has a lease that cannot be read");
    db_->erase(schema::lease_key(7));
    db_->put(schema::kMetaScrubbed, "none");
    EXPECT_EQ(refused(), "the snapshot has mscrubbed that cannot be read");
    db_->put(schema::kMetaScrubbed, schema::encode_number(1));
    EXPECT_EQ(refused(), "");
    db_->put(schema::revision_key(1000), schema::encode_change({true, 1, "k"}));
    EXPECT_EQ(refused(), "the snapshot has changes behind its revision");
}

TEST_F(SnapshotParserTest, RandomBytesAreRefused) {
    base::Random random(7);
    for (int i = 0; i < 2000; ++i) {
        std::string bytes = i % 2 == 0 ? std::string(snapshot_format::kMagic) : std::string();
        for (int j = 0; j < 200; ++j)
            bytes.push_back(static_cast<char>(random.below(i % 3 == 0 ? 256 : 4) + 'b'));
        EXPECT_FALSE(parse(bytes, 13));
    }
}

TEST_F(MvccTest, TheNumberOfKeysIsKeptAndOutlivesARestart) {
    EXPECT_EQ(store_->keys(), 0);
    put("a", "1");
    put("a", "2");
    put("b", "1");
    EXPECT_EQ(store_->keys(), 2);
    EXPECT_EQ(del("a", "z"), 2);
    EXPECT_EQ(store_->keys(), 0);
    put("c", "1");
    del("missing");
    db_->commit();
    ASSERT_TRUE(db_->sync());
    open();
    EXPECT_EQ(store_->keys(), 1);
}

}  // namespace
}  // namespace kvstore
