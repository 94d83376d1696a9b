#include "kvstore/server/password.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <memory>

#include "base/bytes.h"
#include "base/check.h"

namespace kvstore {

namespace {

// A step takes twice the time: this is etcd's default, and some 50 ms.
constexpr unsigned long kCost = 10;
constexpr std::size_t kSaltBytes = 16;

// "" when crypt() refuses.
std::string bcrypt(std::string_view password, const std::string& setting) {
    auto data = std::make_unique<crypt_data>();
    // Not crypt_r: a sanitizer's own of that name keeps the library from being linked.
    const char* out = ::crypt_rn(std::string(password).c_str(), setting.c_str(), data.get(),
                                 static_cast<int>(sizeof(*data)));
    return out != nullptr ? out : "";
}

std::string random_bytes(std::size_t n) {
    std::string out(n, '\0');
    CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(out.data()), static_cast<int>(n)) == 1,
          "OpenSSL has no randomness");
    return out;
}

}  // namespace

bool can_be_password(std::string_view text) {
    return text.find('\0') == std::string_view::npos;
}

std::string hash_password(std::string_view password) {
    const std::string salt = random_bytes(kSaltBytes);
    char setting[CRYPT_GENSALT_OUTPUT_SIZE] = {};
    CHECK(::crypt_gensalt_rn("$2b$", kCost, salt.data(), static_cast<int>(salt.size()), setting,
                             sizeof setting) != nullptr,
          "crypt() makes no salt for bcrypt");
    std::string out = bcrypt(password, setting);
    CHECK(is_password_record(out), "crypt() does not know bcrypt");
    return out;
}

bool is_password_record(std::string_view record) {
    constexpr std::size_t kBytes = 60;
    constexpr std::string_view kLetters =
        "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    if (record.size() != kBytes || !record.starts_with("$2") || record[3] != '$' ||
        record[6] != '$' || std::string_view("aby").find(record[2]) == std::string_view::npos)
        return false;
    const auto cost = record.substr(4, 2);
    return cost >= "04" && cost <= "15" && cost[1] >= '0' && cost[1] <= '9' &&
           record.find_first_not_of(kLetters, 7) == std::string_view::npos;
}

bool password_matches(std::string_view password, std::string_view record) {
    if (!is_password_record(record) || !can_be_password(password)) return false;
    const std::string got = bcrypt(password, std::string(record));
    return got.size() == record.size() && CRYPTO_memcmp(got.data(), record.data(), got.size()) == 0;
}

const std::string& impossible_password() {
    static const std::string record = "$2b$10$" + std::string(53, '.');
    return record;
}

std::string random_hex(std::size_t bytes) {
    return base::hex_encode(random_bytes(bytes));
}

}  // namespace kvstore
