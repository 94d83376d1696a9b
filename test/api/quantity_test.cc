#include "api/quantity.h"

#include <gtest/gtest.h>

#include "api/proto/intstr.pb.h"
#include "base/random.h"

namespace {

using api::Quantity;

std::string canonical(const char* text) {
    auto q = api::canonical_quantity(text);
    return q ? *q : "! " + q.error().message;
}

TEST(Quantity, HasOneCanonicalText) {
    const std::pair<const char*, const char*> kCases[] = {
        {"0", "0"},
        {"0.0", "0"},
        {"-0", "0"},
        {"1", "1"},
        {"1000", "1k"},
        {"1500", "1500"},
        {"1e3", "1e3"},
        {"1E3", "1e3"},
        {"1500e-3", "1500e-3"},
        {"12e6", "12e6"},
        {"1e2", "100"},
        {"0.5", "500m"},
        {"1.5", "1500m"},
        {"100m", "100m"},
        {"1000m", "1"},
        {"0.1", "100m"},
        {"1u", "1u"},
        {"1000n", "1u"},
        {"0.1n", "1n"},
        {"0.0000000001", "1n"},
        {"1Ki", "1Ki"},
        {"1024", "1024"},
        {"1024Ki", "1Mi"},
        {"1.5Gi", "1536Mi"},
        {"0.5Ki", "512"},
        {"0.1Ki", "102400m"},
        {"1023", "1023"},
        {"1.1Mi", "1153434"},
        {"2Ei", "2Ei"},
        {"7Ei", "7Ei"},
        {"8Ei", "9223372036854775807"},
        {"-1.5", "-1500m"},
        {"-2Ki", "-2Ki"},
        {"+5", "5"},
        {"1E", "1E"},
        {"9E", "9E"},
        {"10E", "9223372036854775807"},
        {"1e100", "9223372036854775807"},
        {"1e-100", "1e-9"},
        {"1000000k", "1G"},
        {"0001", "1"},
        {"1.", "1"},
        {".5", "500m"},
        {"Mi", "0"},
        {"1000Mi", "1000Mi"},
        {"123456789.123456789", "123456789123456789n"},
        {"1000000", "1M"},
    };
    for (const auto& [in, out] : kCases) {
        EXPECT_EQ(canonical(in), out) << in;
    }
    for (const char* bad :
         {"", "x", "1x", "1.2.3", "1 ", " 1", "1kk", "1Kii", "--1", "1e", "1e1.5", "0x1", "1m5x"})
        EXPECT_EQ(canonical(bad).substr(0, 1), "!") << bad;
    EXPECT_EQ(canonical("1kk"), "! unable to parse quantity's suffix");
    EXPECT_EQ(canonical("abc"),
              "! quantities must match the regular expression "
              "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
}

TEST(Quantity, CanonicalTextReadsBackTheSame) {
    base::Random random(3);
    const char* kSuffixes[] = {"",  "n",  "u",  "m",  "k",  "M",  "G",  "T",  "P",
                               "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "e3", "e-6"};
    for (int i = 0; i < 20000; ++i) {
        std::string text = std::to_string(random.below(100'000));
        if (random.chance(1, 2)) text += "." + std::to_string(random.below(1'000'000));
        text += kSuffixes[random.below(std::size(kSuffixes))];
        auto first = Quantity::parse(text);
        ASSERT_TRUE(first.has_value()) << text;
        auto second = Quantity::parse(first->to_string());
        ASSERT_TRUE(second.has_value()) << text;
        // Binary amounts are written as whole numbers, and may lose their suffix.
        if (first->format() == Quantity::Format::kBinarySi)
            EXPECT_EQ(second->value(), first->value()) << text;
        else
            EXPECT_EQ(second->to_string(), first->to_string()) << text;
    }
}

TEST(Quantity, ValuesRoundAwayFromZero) {
    EXPECT_EQ(Quantity::parse("1100m")->value(), 2);
    EXPECT_EQ(Quantity::parse("-1100m")->value(), -2);
    EXPECT_EQ(Quantity::parse("100u")->milli_value(), 1);
    EXPECT_EQ(Quantity::parse("2Gi")->value(), 2147483648);
    EXPECT_EQ(Quantity::parse("1")->milli_value(), 1000);
    EXPECT_EQ(Quantity::parse("9E")->milli_value(), INT64_MAX);
    EXPECT_EQ(Quantity::parse("100u")->rounded_up_to_milli().to_string(), "1m");
    EXPECT_DOUBLE_EQ(Quantity::parse("1500m")->as_double(), 1.5);
}

TEST(Quantity, Arithmetic) {
    auto q = [](const char* t) { return Quantity::parse(t).value(); };
    EXPECT_EQ((q("1") + q("500m")).to_string(), "1500m");
    EXPECT_EQ((q("1Gi") - q("512Mi")).to_string(), "512Mi");
    EXPECT_EQ((Quantity() + q("1Gi")).to_string(), "1Gi");
    EXPECT_EQ((q("100m") + q("1Ki")).to_string(), "1024100m");
    EXPECT_EQ((-q("1k")).to_string(), "-1k");
    EXPECT_LT(q("999m"), q("1"));
    EXPECT_EQ(q("1024"), q("1Ki"));
    EXPECT_GT(q("1G"), q("900Mi"));
    EXPECT_EQ((q("9E") + q("9E")).to_string(), "9223372036854775807");
    EXPECT_EQ(Quantity::of_milli(250).to_string(), "250m");
    EXPECT_EQ(Quantity::of(2048, Quantity::Format::kBinarySi).to_string(), "2Ki");
}

TEST(IntOrString, PercentsRoundAsAsked) {
    EXPECT_EQ(api::scaled_value(api::int_or_string(3), 10, true).value(), 3);
    EXPECT_EQ(api::scaled_value(api::int_or_string("25%"), 10, true).value(), 3);
    EXPECT_EQ(api::scaled_value(api::int_or_string("25%"), 10, false).value(), 2);
    EXPECT_EQ(api::scaled_value(api::int_or_string("100%"), 7, false).value(), 7);
    EXPECT_FALSE(api::scaled_value(api::int_or_string("25"), 10, true).has_value());
    EXPECT_FALSE(api::scaled_value(api::int_or_string("x%"), 10, true).has_value());
    EXPECT_EQ(api::to_string(api::int_or_string("25%")), "25%");
    EXPECT_EQ(api::to_string(api::int_or_string(8080)), "8080");
}

}  // namespace
