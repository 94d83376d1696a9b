// Passwords and signed tokens.

#include <gtest/gtest.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <filesystem>
#include <fstream>

#include "base/random.h"
#include "kvstore/server/jwt.h"
#include "kvstore/server/password.h"

namespace kvstore {
namespace {

TEST(Password, OnlyTheSameOneMatches) {
    const std::string record = hash_password("secret");
    EXPECT_EQ(record.find("secret"), std::string::npos);
    EXPECT_TRUE(record.starts_with("$2b$10$"));
    EXPECT_NE(record, hash_password("secret")) << "each has a salt of its own";
    EXPECT_TRUE(password_matches("secret", record));
    EXPECT_FALSE(password_matches("Secret", record));
    EXPECT_FALSE(password_matches("", record));
    EXPECT_FALSE(password_matches("", impossible_password()));
    EXPECT_FALSE(can_be_password(std::string_view("a\0b", 3)));
    EXPECT_FALSE(password_matches(std::string_view("secret\0", 7), record));
}

TEST(Password, EtcdsRecordsAreChecked) {
    // Of bcrypt at cost 10, as etcd writes it.
    const std::string record = "$2a$10$N9qo8uLOickgx2ZMRZoMyecBPBZPbMY9K9Iy/VaK.7YTHTLYF41De";
    EXPECT_TRUE(is_password_record(record));
    EXPECT_TRUE(password_matches("secret", record));
    EXPECT_FALSE(password_matches("Secret", record));
    EXPECT_FALSE(password_matches("", record));
    EXPECT_FALSE(password_matches(std::string_view("secret\0", 7), record));
    std::string other = record;
    other[10] = other[10] == 'a' ? 'b' : 'a';
    EXPECT_TRUE(is_password_record(other));
    EXPECT_FALSE(password_matches("secret", other));
}

TEST(Password, WhatIsARecordIsToldWithoutCheckingAPassword) {
    const std::string bcrypt = "$2a$10$N9qo8uLOickgx2ZMRZoMyecBPBZPbMY9K9Iy/VaK.7YTHTLYF41De";
    auto changed = [&](std::size_t at, std::string_view with) {
        return std::string(bcrypt).replace(at, with.size(), with);
    };
    EXPECT_TRUE(is_password_record(hash_password("")));
    EXPECT_TRUE(is_password_record(impossible_password()));
    EXPECT_TRUE(is_password_record(changed(2, "y")));
    for (const auto& record :
         {std::string(), std::string("secret"), bcrypt.substr(1), bcrypt + "a", changed(2, "c"),
          changed(4, "03"), changed(4, "16"), changed(4, "1x"), changed(4, "0:"), changed(20, "$")})
        EXPECT_FALSE(is_password_record(record)) << record;
}

TEST(Password, ADamagedRecordMatchesNothing) {
    const std::string record = hash_password("secret");
    for (const std::string& bad : {std::string(), std::string("secret"), record.substr(1),
                                   record.substr(0, 59), record + ".", "$2x" + record.substr(3)})
        EXPECT_FALSE(password_matches("secret", bad)) << bad;
}

class JwtTest : public testing::Test {
  protected:
    JwtTest()
        : directory_(std::filesystem::temp_directory_path() / ("jwt-" + base::random_uuid())) {
        std::filesystem::create_directories(directory_);
    }
    ~JwtTest() override { std::filesystem::remove_all(directory_); }

    // Writes NAME.key and NAME.pub and answers the options for them.
    std::string keys(const std::string& name, const std::string& method, EVP_PKEY* key) {
        const std::string base = directory_ / name;
        FILE* f = std::fopen((base + ".key").c_str(), "w");
        PEM_write_PrivateKey(f, key, nullptr, nullptr, 0, nullptr, nullptr);
        std::fclose(f);
        f = std::fopen((base + ".pub").c_str(), "w");
        PEM_write_PUBKEY(f, key);
        std::fclose(f);
        EVP_PKEY_free(key);
        return "pub-key=" + base + ".pub,priv-key=" + base + ".key,sign-method=" + method +
               ",ttl=5m";
    }

    std::filesystem::path directory_;
};

TEST_F(JwtTest, EveryMethodSignsAndVerifies) {
    const std::string options[] = {
        keys("rs", "RS256", EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", std::size_t{2048})),
        keys("ps", "PS384", EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", std::size_t{2048})),
        keys("es", "ES256", EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256")),
        keys("e5", "ES512", EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-521")),
        keys("ed", "EdDSA", EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519")),
        keys("hs", "HS256", EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519")),
    };
    std::vector<std::string> tokens;
    for (const auto& option : options) {
        auto jwt = Jwt::open(option);
        ASSERT_TRUE(jwt) << jwt.error().message;
        auto token = (*jwt)->sign("ann", 7, 1000);
        ASSERT_TRUE(token) << token.error().message;
        const auto claims = (*jwt)->verify(*token, 1001);
        ASSERT_TRUE(claims) << option;
        EXPECT_EQ(claims->user, "ann");
        EXPECT_EQ(claims->auth_revision, 7U);
        EXPECT_EQ(claims->expires, 1300);
        EXPECT_FALSE((*jwt)->verify(*token, 1300)) << "expired";
        std::string changed = *token;
        changed[changed.size() / 2] = changed[changed.size() / 2] == 'A' ? 'B' : 'A';
        EXPECT_FALSE((*jwt)->verify(changed, 1001));
        for (const auto& other : tokens)
            EXPECT_FALSE((*jwt)->verify(other, 1001)) << "signed by another key";
        tokens.push_back(*token);
        for (const auto* text : {"", ".", "..", "a.b.c", "e30.e30.e30"})
            EXPECT_FALSE((*jwt)->verify(text, 1001)) << text;
    }
}

TEST_F(JwtTest, WhatIsWrongWithTheOptionsIsNamed) {
    const std::string good =
        keys("es", "ES256", EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"));
    auto error = [](const std::string& options) {
        auto jwt = Jwt::open(options);
        return jwt ? std::string() : jwt.error().message;
    };
    EXPECT_EQ(error(good), "");
    EXPECT_NE(error(good + ",colour=red").find("colour=red"), std::string::npos);
    EXPECT_NE(error(good + ",ttl=soon").find("ttl=soon"), std::string::npos);
    EXPECT_NE(error(good + ",sign-method=none").find("sign-method=none"), std::string::npos);
    EXPECT_NE(error(good + ",sign-method=RS256").find("key for RS256"), std::string::npos);
    EXPECT_NE(error(good + ",sign-method=ES384").find("key for ES384"), std::string::npos);
    EXPECT_NE(error(good + ",pub-key=/nowhere").find("/nowhere"), std::string::npos);
    EXPECT_NE(error("sign-method=RS256").find("pub-key="), std::string::npos);
}

}  // namespace
}  // namespace kvstore
