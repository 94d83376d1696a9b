#include "kvstore/server/password.h"

#include <crypt.h>
#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <charconv>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "base/check.h"

namespace kvstore {

namespace {

// What a check costs: 16 MiB and about 50 ms.
constexpr std::uint64_t kCost = 1 << 14;
constexpr std::uint64_t kBlock = 8;
constexpr std::uint64_t kParallel = 1;
constexpr std::size_t kSaltBytes = 16;
constexpr std::size_t kHashBytes = 32;
constexpr std::uint64_t kMaxMemory = 64 << 20;
constexpr std::uint64_t kMaxParallel = 16;

struct Record {
    std::uint64_t cost = 0, block = 0, parallel = 0;
    std::string salt, hash;
};

std::string to_hex(std::string_view bytes) {
    std::string out;
    for (const char c : bytes)
        fmt::format_to(std::back_inserter(out), "{:02x}", static_cast<unsigned char>(c));
    return out;
}

std::optional<std::string> from_hex(std::string_view text) {
    if (text.size() % 2 != 0) return std::nullopt;
    std::string out;
    for (std::size_t i = 0; i < text.size(); i += 2) {
        unsigned value = 0;
        const char* end = text.data() + i + 2;
        const auto [at, error] = std::from_chars(text.data() + i, end, value, 16);
        if (error != std::errc() || at != end) return std::nullopt;
        out.push_back(static_cast<char>(value));
    }
    return out;
}

std::optional<Record> parse(std::string_view text) {
    std::vector<std::string_view> parts;
    for (std::size_t from = 0;;) {
        const auto to = text.find('$', from);
        parts.push_back(text.substr(from, to - from));
        if (to == text.npos) break;
        from = to + 1;
    }
    if (parts.size() != 6 || parts[0] != "scrypt") return std::nullopt;
    Record out;
    std::uint64_t* numbers[] = {&out.cost, &out.block, &out.parallel};
    for (std::size_t i = 0; i < 3; ++i) {
        const auto part = parts[i + 1];
        const auto [at, error] =
            std::from_chars(part.data(), part.data() + part.size(), *numbers[i]);
        if (error != std::errc() || at != part.data() + part.size()) return std::nullopt;
    }
    const auto salt = from_hex(parts[4]);
    const auto hash = from_hex(parts[5]);
    if (!salt || !hash || hash->empty()) return std::nullopt;
    out.salt = *salt;
    out.hash = *hash;
    return out;
}

// False when OpenSSL refuses the parameters, which is all that it looks at when `out` is null.
bool scrypt(std::string_view password, const Record& r, char* out) {
    return EVP_PBE_scrypt(password.data(), password.size(),
                          reinterpret_cast<const unsigned char*>(r.salt.data()), r.salt.size(),
                          r.cost, r.block, r.parallel, kMaxMemory,
                          reinterpret_cast<unsigned char*>(out), r.hash.size()) == 1;
}

std::optional<std::string> derive(std::string_view password, const Record& r) {
    std::string out(r.hash.size(), '\0');
    if (!scrypt(password, r, out.data())) return std::nullopt;
    return out;
}

// "$2a$10$" and 53 characters, of which the first 22 are the salt. A step of the cost takes twice
// the time: 10 is etcd's default and some 50 ms.
bool is_bcrypt(std::string_view record) {
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

bool bcrypt_matches(std::string_view password, std::string_view record) {
    // crypt() ends a password at a zero byte, bcrypt hashes it.
    if (password.find('\0') != std::string_view::npos) return false;
    auto data = std::make_unique<crypt_data>();
    const std::string wanted(record);
    // Not crypt_r: a sanitizer's own of that name keeps the library from being linked.
    const char* got = ::crypt_rn(std::string(password).c_str(), wanted.c_str(), data.get(),
                                 static_cast<int>(sizeof(*data)));
    return got != nullptr && wanted.size() == std::strlen(got) &&
           CRYPTO_memcmp(got, wanted.data(), wanted.size()) == 0;
}

std::string random_bytes(std::size_t n) {
    std::string out(n, '\0');
    CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(out.data()), static_cast<int>(n)) == 1,
          "OpenSSL has no randomness");
    return out;
}

}  // namespace

std::string hash_password(std::string_view password) {
    Record r{kCost, kBlock, kParallel, random_bytes(kSaltBytes), std::string(kHashBytes, '\0')};
    const auto hash = derive(password, r);
    CHECK(hash.has_value(), "scrypt with the parameters of this file");
    return fmt::format("scrypt${}${}${}${}${}", r.cost, r.block, r.parallel, to_hex(r.salt),
                       to_hex(*hash));
}

bool is_password_record(std::string_view record) {
    if (is_bcrypt(record)) return true;
    const auto r = parse(record);
    return r && r->parallel <= kMaxParallel && scrypt("", *r, nullptr);
}

bool password_matches(std::string_view password, std::string_view record) {
    if (is_bcrypt(record)) return bcrypt_matches(password, record);
    const auto r = parse(record);
    if (!r) return false;
    const auto hash = derive(password, *r);
    return hash && CRYPTO_memcmp(hash->data(), r->hash.data(), hash->size()) == 0;
}

const std::string& impossible_password() {
    static const std::string record =
        fmt::format("scrypt${}${}${}${}${}", kCost, kBlock, kParallel, to_hex("coxswain"),
                    std::string(2 * kHashBytes, '0'));
    return record;
}

std::string random_hex(std::size_t bytes) {
    return to_hex(random_bytes(bytes));
}

std::string sha256(std::string_view bytes) {
    std::string out(32, '\0');
    EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(out.data()), nullptr,
               EVP_sha256(), nullptr);
    return out;
}

}  // namespace kvstore
