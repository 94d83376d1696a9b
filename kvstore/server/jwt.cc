#include "kvstore/server/jwt.h"

#include <fmt/format.h>
#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <boost/json.hpp>
#include <charconv>
#include <map>

#include "base/file.h"

namespace kvstore {

namespace {

using Key = std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)>;
enum class Family { kHmac, kRsa, kRsaPss, kEcdsa, kEd25519 };

struct Method {
    Family family = Family::kRsa;
    const EVP_MD* digest = nullptr;  // null for EdDSA
};

std::optional<Method> parse_method(const std::string& name) {
    if (name == "EdDSA") return Method{Family::kEd25519, nullptr};
    static const std::map<std::string, Family> families = {{"HS", Family::kHmac},
                                                           {"RS", Family::kRsa},
                                                           {"PS", Family::kRsaPss},
                                                           {"ES", Family::kEcdsa}};
    static const std::map<std::string, const EVP_MD*> digests = {
        {"256", EVP_sha256()}, {"384", EVP_sha384()}, {"512", EVP_sha512()}};
    if (name.size() != 5) return std::nullopt;
    const auto family = families.find(name.substr(0, 2));
    const auto digest = digests.find(name.substr(2));
    if (family == families.end() || digest == digests.end()) return std::nullopt;
    return Method{family->second, digest->second};
}

// Base64 for URLs, without padding (RFC 7515).
constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

std::string encode(std::string_view bytes) {
    std::string out;
    std::uint32_t held = 0;
    int bits = 0;
    for (const char c : bytes) {
        held = held << 8 | static_cast<unsigned char>(c);
        for (bits += 8; bits >= 6; bits -= 6)
            out.push_back(kAlphabet[held >> (bits - 6) & 63]);
    }
    if (bits > 0) out.push_back(kAlphabet[held << (6 - bits) & 63]);
    return out;
}

std::optional<std::string> decode(std::string_view text) {
    std::string out;
    std::uint32_t held = 0;
    int bits = 0;
    for (const char c : text) {
        const auto value = kAlphabet.find(c);
        if (value == kAlphabet.npos) return std::nullopt;
        held = held << 6 | static_cast<std::uint32_t>(value);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out.push_back(static_cast<char>(held >> bits & 0xFF));
        }
    }
    return out;
}

// ECDSA: JWT wants r and s side by side (RFC 7518), OpenSSL speaks DER.
std::optional<std::string> raw_from_der(const std::string& der, std::size_t half) {
    const auto* at = reinterpret_cast<const unsigned char*>(der.data());
    std::unique_ptr<ECDSA_SIG, void (*)(ECDSA_SIG*)> sig(
        d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())), ECDSA_SIG_free);
    if (!sig) return std::nullopt;
    std::string out(2 * half, '\0');
    auto* bytes = reinterpret_cast<unsigned char*>(out.data());
    const int n = static_cast<int>(half);
    if (BN_bn2binpad(ECDSA_SIG_get0_r(sig.get()), bytes, n) != n ||
        BN_bn2binpad(ECDSA_SIG_get0_s(sig.get()), bytes + half, n) != n)
        return std::nullopt;
    return out;
}

std::optional<std::string> der_from_raw(std::string_view raw, std::size_t half) {
    if (raw.size() != 2 * half) return std::nullopt;
    std::unique_ptr<ECDSA_SIG, void (*)(ECDSA_SIG*)> sig(ECDSA_SIG_new(), ECDSA_SIG_free);
    const auto* bytes = reinterpret_cast<const unsigned char*>(raw.data());
    const int n = static_cast<int>(half);
    ECDSA_SIG_set0(sig.get(), BN_bin2bn(bytes, n, nullptr), BN_bin2bn(bytes + half, n, nullptr));
    unsigned char* der = nullptr;
    const int size = i2d_ECDSA_SIG(sig.get(), &der);
    if (size <= 0) return std::nullopt;
    std::string out(reinterpret_cast<char*>(der), static_cast<std::size_t>(size));
    OPENSSL_free(der);
    return out;
}

}  // namespace

struct Jwt::Impl {
    std::string method_name;
    Method method;
    std::int64_t ttl_seconds = 300;
    Key public_key{nullptr, EVP_PKEY_free};
    Key private_key{nullptr, EVP_PKEY_free};
    std::string secret;

    std::size_t half() const {
        return (static_cast<std::size_t>(EVP_PKEY_get_bits(public_key.get())) + 7) / 8;
    }
    bool padding(EVP_PKEY_CTX* key) const {
        if (method.family != Family::kRsaPss) return true;
        return EVP_PKEY_CTX_set_rsa_padding(key, RSA_PKCS1_PSS_PADDING) > 0 &&
               EVP_PKEY_CTX_set_rsa_pss_saltlen(key, RSA_PSS_SALTLEN_DIGEST) > 0;
    }
    std::string hmac(std::string_view text) const {
        std::string out(EVP_MAX_MD_SIZE, '\0');
        unsigned int size = 0;
        HMAC(method.digest, secret.data(), static_cast<int>(secret.size()),
             reinterpret_cast<const unsigned char*>(text.data()), text.size(),
             reinterpret_cast<unsigned char*>(out.data()), &size);
        out.resize(size);
        return out;
    }
    std::optional<std::string> signature(std::string_view text) const;
    bool verifies(std::string_view text, const std::string& signature) const;
};

std::optional<std::string> Jwt::Impl::signature(std::string_view text) const {
    if (method.family == Family::kHmac) return hmac(text);
    std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> ctx(EVP_MD_CTX_new(), EVP_MD_CTX_free);
    EVP_PKEY_CTX* key = nullptr;
    const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
    std::size_t size = 0;
    if (EVP_DigestSignInit(ctx.get(), &key, method.digest, nullptr, private_key.get()) != 1 ||
        !padding(key) || EVP_DigestSign(ctx.get(), nullptr, &size, bytes, text.size()) != 1)
        return std::nullopt;
    std::string out(size, '\0');
    if (EVP_DigestSign(ctx.get(), reinterpret_cast<unsigned char*>(out.data()), &size, bytes,
                       text.size()) != 1)
        return std::nullopt;
    out.resize(size);
    return method.family == Family::kEcdsa ? raw_from_der(out, half()) : out;
}

bool Jwt::Impl::verifies(std::string_view text, const std::string& given) const {
    if (method.family == Family::kHmac) {
        const std::string wanted = hmac(text);
        return wanted.size() == given.size() &&
               CRYPTO_memcmp(wanted.data(), given.data(), given.size()) == 0;
    }
    const auto der = method.family == Family::kEcdsa ? der_from_raw(given, half()) : given;
    if (!der) return false;
    std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> ctx(EVP_MD_CTX_new(), EVP_MD_CTX_free);
    EVP_PKEY_CTX* key = nullptr;
    return EVP_DigestVerifyInit(ctx.get(), &key, method.digest, nullptr, public_key.get()) == 1 &&
           padding(key) &&
           EVP_DigestVerify(ctx.get(), reinterpret_cast<const unsigned char*>(der->data()),
                            der->size(), reinterpret_cast<const unsigned char*>(text.data()),
                            text.size()) == 1;
}

namespace {

Key read_key(const std::string& pem, bool is_private) {
    std::unique_ptr<BIO, int (*)(BIO*)> bio(
        BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free);
    EVP_PKEY* key = is_private ? PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr)
                               : PEM_read_bio_PUBKEY(bio.get(), nullptr, nullptr, nullptr);
    return Key(key, EVP_PKEY_free);
}

// Go's durations, as far as anybody writes them here: 300s, 5m, 1h, 1h30m.
std::optional<std::int64_t> parse_seconds(std::string_view text) {
    std::int64_t total = 0;
    if (text.empty()) return std::nullopt;
    while (!text.empty()) {
        std::int64_t n = 0;
        const auto [at, error] = std::from_chars(text.data(), text.data() + text.size(), n);
        if (error != std::errc() || n < 0 || n > 1'000'000'000) return std::nullopt;
        text.remove_prefix(static_cast<std::size_t>(at - text.data()));
        if (text.empty()) return std::nullopt;
        const char unit = text.front();
        if (unit != 's' && unit != 'm' && unit != 'h') return std::nullopt;
        total += n * (unit == 's' ? 1 : unit == 'm' ? 60 : 3600);
        text.remove_prefix(1);
    }
    return total > 0 ? std::optional(total) : std::nullopt;
}

bool fits(const Method& method, EVP_PKEY* key) {
    switch (method.family) {
        case Family::kHmac:
            return true;
        case Family::kRsa:
        case Family::kRsaPss:
            return EVP_PKEY_is_a(key, "RSA");
        case Family::kEcdsa: {
            // RFC 7518: each digest with its own curve.
            const int bits = EVP_PKEY_get_bits(key);
            const int digest = EVP_MD_get_size(method.digest) * 8;
            return EVP_PKEY_is_a(key, "EC") && (bits == digest || (bits == 521 && digest == 512));
        }
        case Family::kEd25519:
            return EVP_PKEY_is_a(key, "ED25519");
    }
    return false;
}

base::Result<std::map<std::string, std::string>> parse_options(std::string_view text) {
    std::map<std::string, std::string> out;
    while (!text.empty()) {
        const auto end = std::min(text.find(','), text.size());
        const auto part = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        const auto equals = part.find('=');
        const std::string name(part.substr(0, equals));
        if (equals == part.npos ||
            (name != "pub-key" && name != "priv-key" && name != "sign-method" && name != "ttl"))
            return base::invalid_argument(
                fmt::format("jwt: {} is none of pub-key=, priv-key=, sign-method=, ttl=", part));
        out[name] = part.substr(equals + 1);
    }
    return out;
}

}  // namespace

Jwt::Jwt(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Jwt::~Jwt() = default;

base::Result<std::shared_ptr<const Jwt>> Jwt::open(std::string_view text) {
    TRY(auto options, parse_options(text));
    auto impl = std::make_unique<Impl>();
    impl->method_name = options["sign-method"];
    const auto method = parse_method(impl->method_name);
    if (!method)
        return base::invalid_argument(
            fmt::format("jwt: sign-method={} is not known", impl->method_name));
    impl->method = *method;
    if (options.count("ttl") != 0) {
        const auto ttl = parse_seconds(options["ttl"]);
        if (!ttl)
            return base::invalid_argument(
                fmt::format("jwt: ttl={} is no duration like 5m", options["ttl"]));
        impl->ttl_seconds = *ttl;
    }
    std::string private_pem, public_pem;
    if (!options["priv-key"].empty()) {
        TRY(private_pem, base::read_file(options["priv-key"]));
    }
    if (!options["pub-key"].empty()) {
        TRY(public_pem, base::read_file(options["pub-key"]));
    }
    if (impl->method.family == Family::kHmac) {
        if (private_pem.empty())
            return base::invalid_argument("jwt: priv-key= must name the file of the secret");
        impl->secret = private_pem;
        return std::shared_ptr<const Jwt>(new Jwt(std::move(impl)));
    }
    if (!private_pem.empty()) {
        impl->private_key = read_key(private_pem, true);
        if (!impl->private_key || !fits(impl->method, impl->private_key.get()))
            return base::invalid_argument(fmt::format("jwt: priv-key={} has no key for {}",
                                                      options["priv-key"], impl->method_name));
    }
    impl->public_key =
        public_pem.empty() ? Key(nullptr, EVP_PKEY_free) : read_key(public_pem, false);
    if (public_pem.empty() && impl->private_key) {
        EVP_PKEY_up_ref(impl->private_key.get());
        impl->public_key.reset(impl->private_key.get());
    }
    if (!impl->public_key || !fits(impl->method, impl->public_key.get()))
        return base::invalid_argument(fmt::format("jwt: pub-key={} has no key for {}",
                                                  options["pub-key"], impl->method_name));
    return std::shared_ptr<const Jwt>(new Jwt(std::move(impl)));
}

base::Result<std::string> Jwt::sign(const std::string& user, std::uint64_t auth_revision,
                                    std::int64_t now) const {
    if (impl_->method.family != Family::kHmac && !impl_->private_key)
        return base::Error(base::Code::kFailedPrecondition,
                           "this member has no key to sign tokens with");
    const boost::json::object header = {{"alg", impl_->method_name}, {"typ", "JWT"}};
    const boost::json::object claims = {
        {"username", user}, {"revision", auth_revision}, {"exp", now + impl_->ttl_seconds}};
    std::string text =
        encode(boost::json::serialize(header)) + "." + encode(boost::json::serialize(claims));
    const auto signature = impl_->signature(text);
    if (!signature) return base::internal_error("the token cannot be signed");
    return text + "." + encode(*signature);
}

std::optional<Jwt::Claims> Jwt::verify(std::string_view token, std::int64_t now) const {
    const auto first = token.find('.');
    const auto last = token.rfind('.');
    if (first == token.npos || first == last) return std::nullopt;
    const auto header = decode(token.substr(0, first));
    const auto body = decode(token.substr(first + 1, last - first - 1));
    const auto signature = decode(token.substr(last + 1));
    if (!header || !body || !signature) return std::nullopt;
    boost::system::error_code bad;
    const auto head = boost::json::parse(*header, bad);
    if (bad || !head.is_object()) return std::nullopt;
    const auto* method = head.as_object().if_contains("alg");
    if (method == nullptr || *method != boost::json::value(impl_->method_name)) return std::nullopt;
    if (!impl_->verifies(token.substr(0, last), *signature)) return std::nullopt;
    const auto value = boost::json::parse(*body, bad);
    if (bad || !value.is_object()) return std::nullopt;
    const auto& object = value.as_object();
    const auto* user = object.if_contains("username");
    const auto* revision = object.if_contains("revision");
    const auto* expires = object.if_contains("exp");
    if (user == nullptr || !user->is_string() || revision == nullptr || expires == nullptr)
        return std::nullopt;
    boost::system::error_code no_revision, no_expiry;
    Claims out;
    out.user = std::string(user->as_string());
    out.auth_revision = revision->to_number<std::uint64_t>(no_revision);
    out.expires = expires->to_number<std::int64_t>(no_expiry);
    if (no_revision || no_expiry || out.expires <= now) return std::nullopt;
    return out;
}

}  // namespace kvstore
