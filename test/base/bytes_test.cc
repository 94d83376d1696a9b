#include "base/bytes.h"

#include <gtest/gtest.h>

#include "base/crc32c.h"
#include "base/random.h"

namespace base {
namespace {

TEST(Varint, RoundTripsAndRejectsTruncation) {
    for (std::uint64_t v : {0ULL, 1ULL, 127ULL, 128ULL, 300ULL, 1ULL << 35, ~0ULL}) {
        std::string bytes;
        append_varint(&bytes, v);
        std::string_view in = bytes;
        std::uint64_t got = 0;
        ASSERT_TRUE(take_varint(&in, &got));
        EXPECT_EQ(got, v);
        EXPECT_TRUE(in.empty());
        std::string_view cut = std::string_view(bytes).substr(0, bytes.size() - 1);
        EXPECT_FALSE(take_varint(&cut, &got));
    }
}

TEST(BigEndian, SortsAsNumbers) {
    std::string a, b;
    append_be<std::int64_t>(&a, 255);
    append_be<std::int64_t>(&b, 256);
    EXPECT_LT(a, b);
    EXPECT_EQ(load_be<std::int64_t>(b.data()), 256);
}

TEST(Base64, MatchesRfc4648AndRejectsGarbage) {
    const std::pair<std::string, std::string> kCases[] = {
        {"", ""},        {"f", "Zg=="},        {"fo", "Zm8="},
        {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"foobar", "Zm9vYmFy"}};
    for (const auto& [plain, text] : kCases) {
        EXPECT_EQ(base64_encode(plain), text);
        EXPECT_EQ(base64_decode(text).value(), plain);
    }
    for (const char* bad : {"Zg=", "Z===", "Zm9$", "Zg==Zg==", "Zm 9"})
        EXPECT_FALSE(base64_decode(bad)) << bad;
}

TEST(Crc32c, MatchesTheStandardCheckValueAndBothWaysAgree) {
    EXPECT_EQ(crc32c("123456789"), 0xE3069283U);
    Random random(1);
    std::string data;
    for (int i = 0; i < 300; ++i) {
        data.push_back(static_cast<char>(random.next()));
        EXPECT_EQ(crc32c(data), crc32c_portable(data));
    }
    EXPECT_EQ(crc32c("6789", crc32c("12345")), crc32c("123456789"));
}

}  // namespace
}  // namespace base
